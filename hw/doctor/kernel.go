package doctor

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"

	vnl "github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"re6st/hw/tun"
)

// kernelCure is that of every feature which Debian's own kernel has.
const kernelCure = "a kernel with %s, as Debian's linux-image has"

// kernel examines what can be made in a network namespace.
func kernel() []Finding {
	tun := TUN()
	ended := make(chan []Finding)
	go func() {
		// Never unlocked: the thread ends with its goroutine, and the namespace with it.
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			ended <- []Finding{{
				Area: "kernel", Name: "features", Grade: Unknown, Found: "no network namespace to try them in: " + err.Error(),
				Cure: "run re6st doctor as root",
			}}
			return
		}
		ended <- features()
	}()
	return append([]Finding{tun}, <-ended...)
}

// features are tried in the namespace of the calling thread, which is empty.
func features() (all []Finding) {
	h, err := vnl.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return []Finding{{Area: "kernel", Name: "features", Grade: Unknown, Found: "netlink: " + err.Error()}}
	}
	defer h.Close()
	feature := func(name, purpose, option string) Finding {
		return Finding{Area: "kernel", Name: name, For: purpose, Cure: fmt.Sprintf(kernelCure, option)}
	}
	all = append(
		all,
		feature("policy rules", "keeping the underlay off the mesh's own routes", "CONFIG_IPV6_MULTIPLE_TABLES").needed(rules(h), "yes"),
		feature("source routes", "default_route, and other routes by source (RFC 9079)", "CONFIG_IPV6_SUBTREES").wanted(sourceRoutes(h), "yes"),
		feature("multicast routing", "PIM multicast between LANs", "CONFIG_IPV6_PIMSM_V2").wanted(multicastRouting(), "yes"),
	)
	all = append(all, superPackets()...)
	all = append(all, tunnels(h)...)
	return append(all, qdiscs(h, feature)...)
}

// superPackets makes a TUN, which ends with its file.
func superPackets() []Finding {
	finding := func(kind string) Finding {
		return Finding{
			Area: "kernel", Name: "super-packets of " + kind, For: "speed: packets of a flow of " + kind + " go through the TUN together",
			Cure: "a kernel of 6.2 or newer; without it the node works, slower",
		}
	}
	d, err := tun.Open(tun.Config{Name: "re6st-tun"})
	if err != nil {
		return []Finding{finding("TCP").wanted(err, ""), finding("UDP").wanted(err, "")}
	}
	defer d.Close()
	given := func(yes bool) error {
		if yes {
			return nil
		}
		return errors.New("not in this kernel")
	}
	return []Finding{finding("TCP").wanted(given(d.Support().TCP), "yes"), finding("UDP").wanted(given(d.Support().UDP), "yes")}
}

// missing tells the errors by which the kernel says that it does not know a kind. Any
// other is about what was asked of that kind, so it is there.
func missing(err error, unknown ...error) error {
	for _, u := range unknown {
		if errors.Is(err, u) {
			return errors.New("not in this kernel")
		}
	}
	if errors.Is(err, unix.EPERM) {
		return errors.New("not allowed to this user")
	}
	return nil
}

// qdiscs are tried on a veth of several queues.
func qdiscs(h *vnl.Handle, feature func(name, purpose, option string) Finding) (all []Finding) {
	const name = "re6st-q"
	attrs := vnl.LinkAttrs{Name: name, NumTxQueues: 4, NumRxQueues: 4}
	if err := h.LinkAdd(&vnl.Veth{LinkAttrs: attrs, PeerName: name + "peer"}); err != nil {
		return []Finding{feature("veth", "trying queue disciplines", "CONFIG_VETH").wanted(err, "")}
	}
	link, err := h.LinkByName(name)
	if err != nil {
		return []Finding{feature("veth", "trying queue disciplines", "CONFIG_VETH").wanted(err, "")}
	}
	for _, q := range []struct{ kind, purpose, option string }{
		{"mqprio", "traffic classes on NIC queues", "CONFIG_NET_SCH_MQPRIO"},
		{"taprio", "TSN gate schedules (IEEE 802.1Qbv)", "CONFIG_NET_SCH_TAPRIO"},
		{"etf", "sending at a given time", "CONFIG_NET_SCH_ETF"},
		{"tbf", "rates in the lab", "CONFIG_NET_SCH_TBF"},
	} {
		qdisc := &vnl.GenericQdisc{QdiscAttrs: vnl.QdiscAttrs{LinkIndex: link.Attrs().Index, Parent: vnl.HANDLE_ROOT}, QdiscType: q.kind}
		all = append(all, feature(q.kind, q.purpose, q.option).wanted(missing(h.QdiscAdd(qdisc), unix.ENOENT), "yes"))
	}
	return all
}

func rules(h *vnl.Handle) error {
	r := vnl.NewRule()
	r.Family, r.Table, r.Mark, r.Priority = unix.AF_INET6, 7326, 7326, 7326
	return missing(h.RuleAdd(r), unix.EOPNOTSUPP, unix.EAFNOSUPPORT)
}

// multicastRouting asks for an MRT6 table, of which a namespace has one.
func multicastRouting() error {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMPV6)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return missing(unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, mrt6Init, 1), unix.ENOPROTOOPT, unix.EOPNOTSUPP)
}

// mrt6Init is MRT6_INIT of linux/mroute6.h.
const mrt6Init = 200

// TUN examines the device file, and what it offers; no TUN is made.
func TUN() Finding {
	f := Finding{
		Area: "kernel", Name: "TUN", For: "the node's own addresses",
		Cure: "modprobe tun; in a container give it /dev/net/tun (DeviceAllow=/dev/net/tun rw)",
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return f.needed(&os.PathError{Op: "open", Path: "/dev/net/tun", Err: err}, "")
	}
	defer unix.Close(fd)
	got, err := unix.IoctlGetUint32(fd, unix.TUNGETFEATURES)
	if err != nil {
		return f.needed(err, "")
	}
	var have []string
	for _, o := range []struct {
		flag uint32
		name string
	}{{unix.IFF_VNET_HDR, "offloads"}, {unix.IFF_MULTI_QUEUE, "several queues"}} {
		if got&o.flag != 0 {
			have = append(have, o.name)
		}
	}
	return f.needed(nil, "/dev/net/tun, "+strings.Join(have, ", "))
}
