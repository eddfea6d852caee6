package fabric

import (
	"fmt"
	"slices"
)

// Carrier is what carries the datagrams of a path through the underlay. Smaller is better.
type Carrier uint8

// The carriers.
const (
	UDP  Carrier = iota // a datagram of UDP each, with nothing around it
	QUIC                // a DATAGRAM frame each (RFC 9221), on the same port
	TLS                 // behind its length, in a stream of TLS 1.3 (RFC 8446) over TCP

	Carriers int = iota // their number
)

var carrierNames = [Carriers]string{"udp", "quic", "tls"}

func (c Carrier) String() string {
	if int(c) < len(carrierNames) {
		return carrierNames[c]
	}
	return fmt.Sprintf("carrier %d", uint8(c))
}

// ParseCarrier reads what String writes. The error names the carriers that there are.
func ParseCarrier(name string) (Carrier, error) {
	i := slices.Index(carrierNames[:], name)
	if i < 0 {
		return 0, fmt.Errorf("carrier %q: not udp, quic or tls", name)
	}
	return Carrier(i), nil
}
