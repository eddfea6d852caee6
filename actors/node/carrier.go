package node

import (
	"errors"
	"fmt"
	"strings"

	"re6st/actors/monitor"
	"re6st/hw/carrier"
	"re6st/hw/sock"
	"re6st/protocols/addr"
	"re6st/protocols/fabric"
)

// Carrier is a fabric.Carrier as it stands in the configuration.
type Carrier fabric.Carrier

// UnmarshalText reads udp, quic or tls.
func (c *Carrier) UnmarshalText(text []byte) error {
	parsed, err := fabric.ParseCarrier(string(text))
	*c = Carrier(parsed)
	return err
}

// carriers are those that the configuration allows.
func (c Config) carriers() fabric.CarrierSet {
	if len(c.Carriers) == 0 {
		return fabric.AllCarriers
	}
	var s fabric.CarrierSet
	for _, one := range c.Carriers {
		s |= 1 << one
	}
	return s
}

// ServesTLS tells whether the node is to listen for links by TLS.
func (c Config) ServesTLS() bool { return c.carriers().Has(fabric.TLS) && *c.TLSPort != 0 }

// openCarriers has the socket carry links by all carriers of the configuration.
func (h *host) openCarriers(c Config, udp carrier.Socket, more ...sock.Conn) (err error) {
	h.carriers, err = carrier.Open(carrier.Config{UDP: udp, More: more, Carriers: c.carriers(), TLSPort: *c.TLSPort, Mark: *c.Mark})
	if err != nil {
		return err
	}
	h.conn, h.more = h.carriers, h.carriers.Lanes()
	return nil
}

// served is what links are offered: by what carriers, and where TLS is served.
func (h *host) served() (fabric.CarrierSet, uint16) {
	if h.carriers == nil { // in tests without a kernel
		return 0, 0
	}
	return h.carriers.Carriers(), h.carriers.TLSPort()
}

// provenBy is whom to tell who has proven itself by a connection; nil: nobody.
func (h *host) provenBy() func(fabric.Path, addr.NodeID) {
	if h.carriers == nil {
		return nil
	}
	return h.carriers.Proven
}

// blockCarrier stands for a firewall that drops a carrier, or ends that.
func (n *parts) blockCarrier(name string, off bool) ([]string, error) {
	c, err := fabric.ParseCarrier(name)
	switch {
	case err != nil:
		return nil, err
	case n.host.carriers == nil:
		return nil, errors.New("this node has no carriers")
	}
	blocked := n.host.carriers.Blocked() | 1<<c
	if off {
		blocked &^= 1 << c
	}
	n.host.carriers.Block(blocked)
	return namesOf(blocked), nil
}

func namesOf(s fabric.CarrierSet) (names []string) {
	for c := range fabric.Carrier(fabric.Carriers) {
		if s.Has(c) {
			names = append(names, c.String())
		}
	}
	return names
}

// carrierStatus tells what keeps links from a carrier here.
func (n *parts) carrierStatus(s *monitor.Status) {
	if n.host.carriers == nil {
		return
	}
	if err := n.host.carriers.TLSRefused(); err != nil {
		s.Problems = append(s.Problems, fmt.Sprintf("links by tls are only dialled: %v; free the port, or name another by tls_port, or 0", err))
	}
	if names := namesOf(n.host.carriers.Blocked()); len(names) > 0 {
		s.Problems = append(s.Problems, "blocked by re6st debug block: "+strings.Join(names, ", "))
	}
}

// String is as in the configuration.
func (c Carrier) String() string { return fabric.Carrier(c).String() }
