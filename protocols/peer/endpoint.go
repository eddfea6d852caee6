package peer

import (
	"fmt"
	"net/netip"
	"slices"
)

var thisHost = netip.MustParsePrefix("0.0.0.0/8") // RFC 1122 3.2.1.3: a source only

// CheckEndpoint tells whether another node may be dialled at e: nil, or ErrEndpoint
// with the reason. Private addresses are fine, as meshes live behind NATs and on
// LANs; addresses inside networks, the mesh's own ranges, are not, or a tunnel
// would run through itself. It is for addresses that came over the wire, where no
// zone makes sense of a link-local one.
func CheckEndpoint(e netip.AddrPort, networks []netip.Prefix) error {
	a := e.Addr().Unmap()
	why := ""
	switch {
	case !e.IsValid():
		why = "it is no address"
	case e.Port() == 0:
		why = "port 0"
	case a.IsUnspecified() || thisHost.Contains(a):
		why = "unspecified"
	case a.IsLoopback():
		why = "loopback"
	case a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		why = "not unicast"
	case a.IsLinkLocalUnicast() && (a.Is4() || a.Zone() == ""):
		why = "link-local without a zone"
	}
	for _, n := range networks {
		if n.Contains(a.WithZone("")) {
			why = "inside the mesh's own " + n.String()
		}
	}
	if why != "" {
		return fmt.Errorf("%w: %s: %s", ErrEndpoint, e, why)
	}
	return nil
}

// Checked is r with those endpoints that a node can be dialled at.
func (r Rendezvous) Checked(networks []netip.Prefix) Rendezvous {
	r.Endpoints = checked(r.Endpoints, networks)
	r.Endpoints = r.Endpoints[:min(MaxRendezvous, len(r.Endpoints))]
	return r
}

// checked is the good ones of list, each once, at most MaxEndpoints, in a new
// slice, with IPv4 addresses as such.
func checked(list []netip.AddrPort, networks []netip.Prefix) (good []netip.AddrPort) {
	for _, e := range list {
		e = netip.AddrPortFrom(e.Addr().Unmap(), e.Port())
		if len(good) < MaxEndpoints && CheckEndpoint(e, networks) == nil && !slices.Contains(good, e) {
			good = append(good, e)
		}
	}
	return good
}
