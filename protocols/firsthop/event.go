package firsthop

import "net/netip"

// Event is what is to be done: Set or Remove.
//
//sumtype:decl
type Event interface{ event() }

// Set has packets for an address go through a router, be it that they went through another one.
type Set struct{ Route }

// Remove takes the route of an address away.
type Remove struct{ Addr netip.Addr }

func (Set) event()    {}
func (Remove) event() {}

// Route is a host route. Comparable.
type Route struct{ Addr, Via netip.Addr }
