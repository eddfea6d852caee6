package ktunnel

import (
	"fmt"
	"net/netip"
	"strings"

	"re6st/protocols/ktunnel"
)

// Kind is a sort of tunnel: those that two ends agree on.
type Kind = ktunnel.Kind

// The kinds. The zero Kind is none.
const (
	GRE       = ktunnel.GRE
	FOU       = ktunnel.FOU
	WireGuard = ktunnel.WireGuard
)

// MTU bounds in bytes: IPv6 needs MinMTU (RFC 8200 section 5).
const (
	MinMTU     = ktunnel.MinMTU
	packetSize = 65535 // that an IP header can tell
)

// ifNameSize is the room for a link's name, with a zero at its end (IFNAMSIZ).
const ifNameSize = 16

// KeyLen is the length of WireGuard's keys in bytes (X25519, RFC 7748).
const KeyLen = 32

// Spec is one end of a tunnel.
type Spec struct {
	Name string // of the interface; begins with the owner and a dash
	Kind Kind

	// Local and Remote are the outer addresses, of one family; crossed at the other end. Local is
	// an address of this host; WireGuard sends from where the route leads out, whatever Local is.
	// The ports, of FOU and WireGuard alone, are the UDP ports of the two ends; Local's is this
	// tunnel's alone.
	Local, Remote netip.AddrPort

	// Key tells tunnels between the same addresses apart: GRE and FOU, the same at both ends,
	// not 0. It is no secret.
	Key uint32

	// WireGuard: the private key of this end, the public key of the other, and a secret that both
	// share, or zeros.
	Private, Peer, Preshared [KeyLen]byte

	LinkLocal netip.Addr // this end's address inside: fe80::/64, another than the peer's
	MTU       int        // bytes inside; the same at both ends
	Mark      uint32     // SO_MARK of the outer packets, or 0

	// Port is the UDP port of this host to which the tunnel leads: datagrams for it, between
	// link-local addresses, are taken, and nothing else but what is trusted. 0: all is taken. Where
	// the kernel has no filters Add fails with ErrUnfiltered, unless Unfiltered takes the rest too.
	Port       uint16
	Unfiltered bool

	// Trust is what the tunnel takes besides the link's own datagrams, of whatever kind; the zero
	// one leaves that to who uses it.
	Trust Trust
}

// check tells whether s can be a tunnel of owner.
func (s *Spec) check(owner string) error {
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("%w: %q: %s", ErrSpec, s.Name, fmt.Sprintf(format, args...))
	}
	local, remote := s.Local.Addr(), s.Remote.Addr()
	udp := s.Kind == FOU || s.Kind == WireGuard
	switch {
	case s.Kind != GRE && !udp:
		return refuse("its %v is none of gre, fou, wireguard", s.Kind)
	case !usable(local) || !usable(remote):
		return refuse("outer addresses %v and %v: both are unicast addresses without a zone", local, remote)
	case local.Is4() != remote.Is4():
		return refuse("outer addresses %v and %v are of two families", local, remote)
	case local == remote:
		return refuse("both outer addresses are %v", local)
	case udp && (s.Local.Port() == 0 || s.Remote.Port() == 0):
		return refuse("%v takes a UDP port at both ends", s.Kind)
	case s.Kind != WireGuard && s.Key == 0:
		return refuse("%v takes a key that is not 0", s.Kind)
	case s.Kind == WireGuard && (s.Private == [KeyLen]byte{} || s.Peer == [KeyLen]byte{}):
		return refuse("wireguard takes a private key and the peer's public key")
	}
	if s.Trust != (Trust{}) {
		if err := s.Trust.check(); err != nil {
			return refuse("%v", err)
		}
	}
	return checkInside(owner, s.Name, s.LinkLocal, s.MTU)
}

// checkInside looks at what is the same for all sorts.
func checkInside(owner, name string, linkLocal netip.Addr, mtu int) error {
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("%w: %q: %s", ErrSpec, name, fmt.Sprintf(format, args...))
	}
	prefix := netip.PrefixFrom(linkLocal, 64).Masked()
	switch {
	case !strings.HasPrefix(name, owner+"-") || len(name) == len(owner)+1 || len(name) >= ifNameSize || strings.ContainsAny(name, "/: \t\n"):
		return refuse("the name begins with %q and has at most %d bytes", owner+"-", ifNameSize-1)
	case !linkLocal.Is6() || prefix != netip.MustParsePrefix("fe80::/64") || linkLocal == prefix.Addr():
		return refuse("the address inside, %v, is one of fe80::/64", linkLocal)
	case mtu < MinMTU || mtu > packetSize:
		return refuse("an MTU of %d bytes; it is %d to %d", mtu, MinMTU, packetSize)
	}
	return nil
}

// usable: a tunnel is no link, so that an address of one link alone cannot be its end.
func usable(a netip.Addr) bool {
	return a.IsValid() && !a.Is4In6() && a.Zone() == "" && a.IsGlobalUnicast()
}

// String names the tunnel and its ends, without its keys.
func (s *Spec) String() string {
	return fmt.Sprintf("%v tunnel %s from %v to %v", s.Kind, s.Name, s.Local, s.Remote)
}
