package monitor

import "net/netip"

// BabelInterface is an interface of the kernel on which the node is to speak Babel.
type BabelInterface struct {
	Name      string            `json:"name"`
	Up        bool              `json:"up"`
	Keys      []string          `json:"keys,omitempty"` // ids and types; none: whoever is there is believed
	AcceptBad bool              `json:"accept_bad,omitempty"`
	Refused   map[string]uint64 `json:"refused,omitempty"` // packets that proved nothing, by reason
	Neighbors []BabelNeighbor   `json:"neighbors,omitempty"`
}

// BabelNeighbor is who is heard there.
type BabelNeighbor struct {
	Address netip.Addr `json:"address"`
	Cost    uint16     `json:"cost"`             // of sending to it; 65535: it is out of reach
	RTT     float64    `json:"rtt_ms,omitempty"` // round trip, where it is measured; 0: not known
	Key     string     `json:"key,omitempty"`    // that it proved to have, and used last; "": none
}
