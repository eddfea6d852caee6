package ktunnel

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"re6st/hw/netlink"
)

// TAP is an interface whose Ethernet frames a process of this machine carries.
type TAP struct {
	Name      string     // begins with the owner and a dash
	LinkLocal netip.Addr // this end's address: fe80::/64
	MTU       int        // bytes
	// Port and Unfiltered are those of a Spec.
	Port       uint16
	Unfiltered bool
}

// cloneDevice is where TAPs come from.
const cloneDevice = "/dev/net/tun"

// AddTAP makes a TAP in place of ours with that name, and sets it up: whole, or not at all. It
// stays when the process that carries its frames ends, and waits for another. The thread of
// the caller is in t's namespace.
func (t *Tunnels) AddTAP(tap TAP) error {
	if err := checkInside(t.owner, tap.Name, tap.LinkLocal, tap.MTU); err != nil {
		return err
	}
	if err := t.Remove(tap.Name); err != nil {
		return err
	}
	fd, err := unix.Open(cloneDevice, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrUnsupported, cloneDevice, err)
	}
	defer unix.Close(fd) // before it is persistent it goes with this
	request, err := unix.NewIfreq(tap.Name)
	if err != nil {
		return fmt.Errorf("ktunnel: TAP %s: %w", tap.Name, err)
	}
	request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("%w: %s", ErrForeign, tap.Name)
	} else if err != nil {
		return fmt.Errorf("ktunnel: TAP %s: %w", tap.Name, err)
	}
	if err := t.configureTAP(tap); err != nil {
		return errors.Join(fmt.Errorf("ktunnel: TAP %s: %w", tap.Name, err), t.conn.Unshut(tap.Name))
	}
	// After the mark, by which a sweep finds it.
	if err := unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 1); err != nil {
		return fmt.Errorf("ktunnel: TAP %s: keep it: %w", tap.Name, err)
	}
	return nil
}

func (t *Tunnels) configureTAP(tap TAP) error {
	link, err := t.handle.LinkByName(tap.Name)
	if err != nil {
		return err
	}
	if err := t.handle.LinkSetAlias(link, t.mark()); err != nil {
		return fmt.Errorf("mark: %w", err)
	}
	if err := t.shut(tap.Name, Trust{}); err != nil {
		return err
	}
	if tap.Port != 0 && !tap.Unfiltered {
		if err := t.admit(link.Attrs().Index, append(neighbors(), datagrams(tap.Port))); err != nil {
			return err
		}
	}
	if err := t.conn.SetGroup(tap.Name, netlink.TunnelGroup); err != nil {
		return err
	}
	if err := t.conn.SetMTU(tap.Name, tap.MTU); err != nil {
		return err
	}
	return t.setUp(tap.Name, tap.LinkLocal)
}
