package babel

import "fmt"

// LinkType is the sort of a kernel interface: how its links are judged.
type LinkType uint8

const (
	Wired    LinkType = iota // up or down by 2-out-of-3 (appendix A.2.1), cost 96
	Wireless                 // by the share of Hellos that come, ETX (appendix A.2.2), cost 256 without loss
	Tunnel                   // as Wired, and by its round trip (RFC 9616)
)

var linkTypes = [...]string{Wired: "wired", Wireless: "wireless", Tunnel: "tunnel"}

// String is the name of the type, as in a configuration.
func (t LinkType) String() string {
	if int(t) < len(linkTypes) {
		return linkTypes[t]
	}
	return fmt.Sprintf("link type %d", uint8(t))
}

// UnmarshalText reads what String says.
func (t *LinkType) UnmarshalText(text []byte) error {
	for i, name := range linkTypes {
		if name == string(text) {
			*t = LinkType(i)
			return nil
		}
	}
	return fmt.Errorf("link type %q, want wired, wireless or tunnel", text)
}

// etxUnit is ETX's cost of one transmission (appendix A.2.2).
const etxUnit = 256

// LinkCost is how the links of a kernel interface are judged.
type LinkCost struct {
	Type   LinkType
	Rxcost uint16 // of a link without loss, 1 to Infinity-1; 0: 96, of Wireless 256
	// RTT is what the round trip costs; the zero RTT: of a Tunnel DefaultRTT, of another
	// nothing, and then it is not measured.
	RTT RTT
}

// MeasuresRTT tells whether the round trip counts, and timestamps have to be sent.
func (c LinkCost) MeasuresRTT() bool { return c.Type == Tunnel || c.RTT != (RTT{}) }

// Check tells what is wrong with c.
func (c LinkCost) Check() error {
	_, err := c.withDefaults()
	return err
}

// withDefaults is c as it is meant, or an error.
func (c LinkCost) withDefaults() (LinkCost, error) {
	switch {
	case int(c.Type) >= len(linkTypes):
		return c, fmt.Errorf("unknown %s", c.Type)
	case c.Rxcost == Infinity:
		return c, fmt.Errorf("rxcost %d, want 1 to %d", c.Rxcost, Infinity-1)
	}
	if c.Rxcost == 0 {
		if c.Rxcost = BaseCost; c.Type == Wireless {
			c.Rxcost = etxUnit
		}
	}
	if c.RTT == (RTT{}) {
		if c.Type == Tunnel {
			c.RTT = DefaultRTT
		}
		return c, nil
	}
	return c, c.RTT.check()
}

// rxcost is what receiving costs, as the Hellos of both sorts tell; the better sort
// counts (appendix A.2.1 and A.2.2).
func (c LinkCost) rxcost(multicast, unicast *history) uint16 {
	if c.Type == Wireless {
		return min(c.etx(multicast), c.etx(unicast))
	}
	if multicast.usable() || unicast.usable() {
		return c.Rxcost
	}
	return Infinity
}

// etx is Rxcost over the share of Hellos that came.
func (c LinkCost) etx(h *history) uint16 {
	if !h.live() {
		return Infinity
	}
	return uint16(min(int64(c.Rxcost)*1<<15/int64(h.share()), Infinity))
}

// share is the share of Hellos that came, 1 to 1<<15: each of the latest three counts a
// quarter, each before them half as much as its follower.
func (h *history) share() int {
	v := int(h.vector)
	return v&(1<<15)>>2 + v&(1<<14)>>1 + v&(1<<14-1) + 1
}

// cost is what sending costs, without the round trip.
func (c LinkCost) cost(txcost, rxcost uint16) uint16 {
	switch {
	case txcost == Infinity || rxcost == Infinity:
		return Infinity
	case c.Type == Wireless: // 256/(alpha*beta), alpha = min(1, 256/txcost)
		return uint16(min(int64(max(txcost, etxUnit))*int64(rxcost)/etxUnit, Infinity))
	}
	return max(txcost, 1)
}
