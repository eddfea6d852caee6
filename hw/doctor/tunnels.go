package doctor

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	vnl "github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"re6st/hw/ktunnel"
)

// tunnelOwner is who has the tunnels that are tried.
const tunnelOwner = "re6st"

// nearBits is how long the prefix of the near ends' network is, in which the far ends are.
const nearBits = 24

// tunnelSort is what some tunnels take of the kernel.
type tunnelSort struct {
	name, purpose, modules, options string
	spec                            ktunnel.Spec
}

// tunnelSorts are tried with addresses of documentation (RFC 5737, RFC 3849).
func tunnelSorts() []tunnelSort {
	sort := func(name, purpose, modules, options string, kind ktunnel.Kind, local, remote string) tunnelSort {
		spec := ktunnel.Spec{
			Name: tunnelOwner + "-" + name, Kind: kind, Local: netip.MustParseAddrPort(local), Remote: netip.MustParseAddrPort(remote),
			Key: 1, Private: [ktunnel.KeyLen]byte{1}, Peer: [ktunnel.KeyLen]byte{2}, LinkLocal: netip.MustParseAddr("fe80::1"), MTU: ktunnel.MinMTU,
		}
		return tunnelSort{name, purpose, modules, options, spec}
	}
	const near4, far4, near6, far6 = "192.0.2.1:7326", "192.0.2.2:7326", "[2001:db8::1]:7326", "[2001:db8::2]:7326"
	return []tunnelSort{
		sort("gre", "gre tunnels over IPv4", "ip_gre", "CONFIG_NET_IPGRE", ktunnel.GRE, near4, far4),
		sort("ip6gre", "gre tunnels over IPv6", "ip6_gre", "CONFIG_IPV6_GRE", ktunnel.GRE, near6, far6),
		sort("fou", "fou tunnels over IPv4", "fou ip_gre", "CONFIG_NET_FOU_IP_TUNNELS and CONFIG_NET_IPGRE", ktunnel.FOU, near4, far4),
		sort("fou6", "fou tunnels over IPv6", "fou fou6 ip6_gre", "CONFIG_NET_FOU_IP_TUNNELS, CONFIG_IPV6_FOU and CONFIG_IPV6_GRE", ktunnel.FOU, near6, far6),
		sort("wireguard", "wireguard tunnels", "wireguard", "CONFIG_WIREGUARD", ktunnel.WireGuard, near4, far4),
	}
}

// tunnels makes one of each sort, as a node does, and then filters, in the namespace of the
// calling thread. Nothing passes its loopback from then on.
func tunnels(h *vnl.Handle) (all []Finding) {
	finding := func(name, purpose, modules, options string) Finding {
		return Finding{
			Area: "kernel", Name: name, For: purpose,
			Cure: fmt.Sprintf("modprobe -a %s, and these names in /etc/modules-load.d/re6st.conf, on the host where this is a container; or ", modules) + fmt.Sprintf(kernelCure, options),
		}
	}
	t, err := ktunnel.Open(tunnelOwner)
	if err == nil {
		defer t.Close()
		err = addLocals(h)
	}
	for _, s := range tunnelSorts() {
		tried := err
		if tried == nil {
			tried = lack(t.Add(s.spec))
			_ = t.Remove(s.spec.Name) // the namespace ends soon
		}
		all = append(all, finding(s.name, s.purpose, s.modules, s.options).wanted(tried, "yes"))
	}
	tried := err
	if tried == nil {
		tried = lack(t.Filters("lo"))
	}
	return append(all, finding(
		"tunnel filters", "keeping out of tunnels what is not theirs; trusted tunnels by gre and fou", "sch_ingress cls_u32 act_gact",
		"CONFIG_NET_SCH_INGRESS, CONFIG_NET_CLS_U32 and CONFIG_NET_ACT_GACT",
	).wanted(tried, "yes"))
}

// addLocals gives the loopback the near ends' addresses, and so ways to the far ones.
func addLocals(h *vnl.Handle) error {
	lo, err := h.LinkByName("lo")
	if err == nil {
		err = h.LinkSetUp(lo)
	}
	for _, s := range tunnelSorts() {
		a := s.spec.Local.Addr()
		if err == nil {
			err = h.AddrReplace(lo, &vnl.Addr{IPNet: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(nearBits, a.BitLen())}})
		}
	}
	return err
}

// lack is what a tunnel was not made for, in few words where the kernel has no such.
func lack(err error) error {
	switch {
	case errors.Is(err, ktunnel.ErrUnsupported), errors.Is(err, ktunnel.ErrUnfiltered):
		return errors.New("not in this kernel, or not loaded")
	case errors.Is(err, unix.EPERM):
		return errors.New("not allowed to this user")
	}
	return err
}
