package doctor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	vnl "github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// underlay examines the ways out of this machine, and the interfaces they take.
func underlay() []Finding {
	var all []Finding
	found := false
	var links []int
	for _, f := range []struct {
		name   string
		family int
	}{{"IPv4", unix.AF_INET}, {"IPv6", unix.AF_INET6}} {
		finding := Finding{Area: "underlay", Name: f.name, For: "peers by " + f.name, Cure: "nothing to do, if the other family has one; else an address and a default route"}
		routes, err := vnl.RouteListFiltered(f.family, &vnl.Route{Dst: nil, Table: unix.RT_TABLE_MAIN}, vnl.RT_FILTER_TABLE)
		via, at := defaults(routes)
		links = append(links, at...)
		switch {
		case err != nil:
		case len(via) == 0:
			err = errors.New("no default route")
		default:
			found = true
		}
		all = append(all, finding.wanted(err, "default route "+strings.Join(via, ", ")))
	}
	if !found {
		all = append(all, Finding{
			Area: "underlay", Name: "reach", Grade: Lack, Found: "no default route of either family: only peers on this machine's own networks can be reached",
			For: "peers elsewhere", Cure: "a default route",
		})
	}
	slices.Sort(links)
	for _, index := range slices.Compact(links) {
		all = append(all, nic(index))
	}
	return all
}

// defaults are the default routes among routes, for people, and their interfaces.
func defaults(routes []vnl.Route) (via []string, links []int) {
	for _, r := range routes {
		if r.Dst != nil {
			if ones, _ := r.Dst.Mask.Size(); ones != 0 {
				continue
			}
		}
		link, err := vnl.LinkByIndex(r.LinkIndex)
		if err != nil || r.Type != unix.RTN_UNICAST {
			continue
		}
		text := "by " + link.Attrs().Name
		if r.Gw != nil {
			text = fmt.Sprintf("via %v %s", r.Gw, text)
		}
		via, links = append(via, text), append(links, r.LinkIndex)
	}
	return via, links
}

// nic tells what an interface can do.
func nic(index int) Finding {
	link, err := vnl.LinkByIndex(index)
	if err != nil {
		return Finding{Area: "underlay", Name: fmt.Sprint("interface ", index), Grade: Unknown, Found: err.Error()}
	}
	name := link.Attrs().Name
	f := Finding{Area: "underlay", Name: name, For: "frames of 1500 bytes", Cure: "the node finds what fits; ip link set " + name + " mtu 1500, if the network carries it"}
	queues, _ := filepath.Glob("/sys/class/net/" + name + "/queues/tx-*")
	found := fmt.Sprintf("MTU %d, %d send queues, driver %s, %s", link.Attrs().MTU, len(queues), driver(name), timestamps(name))
	if link.Attrs().MTU < 1500 {
		return f.wanted(errors.New(found), "")
	}
	return f.wanted(nil, found)
}

func driver(name string) string {
	if target, err := os.Readlink("/sys/class/net/" + name + "/device/driver"); err == nil {
		return filepath.Base(target)
	}
	return "none (virtual)"
}

// timestamps tells whether the NIC stamps packets with a clock of its own, for PTP.
func timestamps(name string) string {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "timestamps unknown"
	}
	defer unix.Close(fd)
	info, err := unix.IoctlGetEthtoolTsInfo(fd, name)
	const hardware = unix.SOF_TIMESTAMPING_TX_HARDWARE | unix.SOF_TIMESTAMPING_RX_HARDWARE
	switch {
	case err != nil:
		return "no timestamps"
	case info.So_timestamping&hardware == hardware && info.Phc_index >= 0:
		return fmt.Sprintf("hardware timestamps by /dev/ptp%d", info.Phc_index)
	}
	return "software timestamps"
}
