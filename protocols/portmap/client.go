package portmap

import (
	"errors"
	"net/netip"
	"time"
)

// Times and numbers of a Client.
const (
	// Lifetime is asked for. A gateway that restarts has forgotten the mapping, and half
	// of it goes by until that is mended: so it is less than the hours that RFC 6886
	// has in mind.
	Lifetime = 20 * time.Minute
	// MinLifetime is what a grant has at least to be of use.
	MinLifetime = 30 * time.Second
	// Tries is how often a request is sent, RetryMin apart at first, doubling. Gateways
	// answer in a moment: RFC 6887 section 8.1.1 would have 3 s at first, and no end.
	Tries    = 4
	RetryMin = 250 * time.Millisecond
	// IGDPatience is how long a question by UPnP may take.
	IGDPatience = 15 * time.Second
	// IdleMin and IdleMax are until a gateway that has refused all is asked again,
	// doubling.
	IdleMin = 5 * time.Minute
	IdleMax = time.Hour
)

// ErrRefused is HandleIGD's argument where there is no gateway that maps.
var ErrRefused = errors.New("portmap: no gateway maps the port")

var sharedAddresses = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598: of a carrier's NAT

// Client keeps one UDP port mapped. Not safe for concurrent use.
type Client struct {
	port  uint16
	nonce [NonceLen]byte

	gateway, client netip.Addr
	protocol        Protocol // that is asked; zero: there is no gateway
	tries           int
	next            time.Time // what is due: a try, a renewal, a new beginning
	idles           int       // times that all have refused

	address  netip.Addr     // NAT-PMP's answer to the first of two questions
	mapping  NATPMPAnswer   // and to the second; its Lifetime 0: not yet
	external netip.AddrPort // mapped; not valid: not
	until    time.Time
	question int // the last one by UPnP

	events []Event
}

// NewClient wants a UDP port of this node mapped. The nonce must be this node's secret,
// and the same in its next life: a gateway lets no other change the mapping.
func NewClient(port uint16, nonce [NonceLen]byte) *Client {
	return &Client{port: port, nonce: nonce}
}

// Drain hands over the events since the last call, in order.
func (c *Client) Drain(yield func(Event)) {
	events := c.events
	c.events = nil
	for _, e := range events {
		yield(e)
	}
}

func (c *Client) emit(e Event) { c.events = append(c.events, e) }

// NextTimeout is when HandleTimeout is due.
func (c *Client) NextTimeout() (time.Time, bool) { return c.next, !c.next.IsZero() }

// HandleGateway takes the gateway of the default route, and this node's address towards
// it; zero where there is none. If neither changed it does nothing.
func (c *Client) HandleGateway(now time.Time, gateway, client netip.Addr) {
	if gateway == c.gateway && client == c.client {
		return
	}
	c.unmap()
	c.gateway, c.client, c.idles = gateway, client, 0
	c.protocol, c.next = 0, time.Time{}
	if gateway.Is4() && client.Is4() {
		c.try(now, PCP)
	}
}

// try begins to ask by a protocol.
func (c *Client) try(now time.Time, p Protocol) {
	c.protocol, c.tries = p, 0
	c.address, c.mapping = netip.Addr{}, NATPMPAnswer{}
	switch p {
	case PCP, NATPMP:
		c.ask(now)
	case IGD:
		c.askIGD(now)
	case none:
		wait := IdleMin
		for range c.idles {
			wait = min(2*wait, IdleMax)
		}
		c.idles++
		c.next = now.Add(wait)
	}
}

// ask sends a request, once more.
func (c *Client) ask(now time.Time) {
	c.tries++
	c.next = now.Add(RetryMin << (c.tries - 1))
	if c.protocol == PCP {
		c.emit(Send{c.pcp(Lifetime).Append(nil)})
		return
	}
	if !c.address.IsValid() {
		c.emit(Send{NATPMPAddress()})
	}
	if c.mapping.Lifetime == 0 {
		c.emit(Send{NATPMPMap(c.port, c.wish(), seconds(Lifetime))})
	}
}

func (c *Client) pcp(lifetime time.Duration) PCPMap {
	m := PCPMap{Client: c.client, Lifetime: seconds(lifetime), Nonce: c.nonce, Internal: c.port, External: c.external}
	if !c.external.IsValid() {
		m.External = netip.AddrPortFrom(netip.Addr{}, c.port)
	}
	return m
}

// wish is the port outside that is asked for: what was granted, or else this node's own.
func (c *Client) wish() uint16 {
	if c.external.IsValid() {
		return c.external.Port()
	}
	return c.port
}

func (c *Client) askIGD(now time.Time) {
	c.tries++
	c.question++
	c.next = now.Add(IGDPatience)
	c.emit(AskIGD{c.question, c.gateway, c.client, c.port, c.wish(), Lifetime})
}

func seconds(d time.Duration) uint32 { return uint32(d / time.Second) }

// HandleDatagram takes what came from the gateway; what is no answer to a request under
// way is dropped.
func (c *Client) HandleDatagram(now time.Time, b []byte) {
	if c.tries == 0 || len(b) > MaxMessage {
		return
	}
	switch c.protocol {
	case PCP:
		c.handlePCP(now, b)
	case NATPMP:
		c.handleNATPMP(now, b)
	case IGD, none:
	}
}

func (c *Client) handlePCP(now time.Time, b []byte) {
	m, err := ParsePCPMapped(b)
	switch {
	case errors.Is(err, ErrVersion) && b[0] == versionNATPMP: // RFC 6887 appendix A
		c.refused(now)
	case err != nil:
	case m.Result != Success:
		c.refused(now)
	case m.Nonce == c.nonce && m.Internal == c.port:
		c.granted(now, m.External, time.Duration(m.Lifetime)*time.Second)
	}
}

func (c *Client) handleNATPMP(now time.Time, b []byte) {
	a, err := ParseNATPMPAnswer(b)
	switch {
	case err != nil:
		return
	case a.Result != Success:
		c.refused(now)
		return
	case a.Address.IsValid():
		c.address = a.Address
	case a.Internal == c.port:
		c.mapping = a
	}
	if c.address.IsValid() && c.mapping.Lifetime > 0 {
		c.granted(now, netip.AddrPortFrom(c.address, c.mapping.External), time.Duration(c.mapping.Lifetime)*time.Second)
	}
}

// HandleIGD takes the answer to an AskIGD: the address outside and for how long (0: for
// ever), or an error.
func (c *Client) HandleIGD(now time.Time, number int, external netip.AddrPort, lifetime time.Duration, err error) {
	if c.protocol != IGD || c.tries == 0 || number != c.question {
		return
	}
	if err != nil {
		c.refused(now)
		return
	}
	if lifetime == 0 {
		lifetime = 2 * IdleMax // to see whether it is still there
	}
	c.granted(now, external, lifetime)
}

// granted takes a mapping, if it is of use.
func (c *Client) granted(now time.Time, external netip.AddrPort, lifetime time.Duration) {
	a := external.Addr()
	if external.Port() == 0 || !a.IsGlobalUnicast() || a.IsPrivate() || sharedAddresses.Contains(a) || lifetime < MinLifetime {
		c.refused(now)
		return
	}
	lifetime = min(lifetime, 2*IdleMax)
	c.tries, c.idles = 0, 0
	c.until, c.next = now.Add(lifetime), now.Add(lifetime/2)
	if external != c.external {
		c.external = external
		c.emit(Mapped{c.protocol, external})
	}
}

// refused goes on with the next protocol. A mapping that was to be renewed is gone.
func (c *Client) refused(now time.Time) {
	c.unmap()
	c.try(now, c.protocol+1)
}

func (c *Client) unmap() {
	if c.external.IsValid() {
		c.external = netip.AddrPort{}
		c.emit(Unmapped{})
	}
	c.tries = 0
}

// HandleTimeout does what is due at now.
func (c *Client) HandleTimeout(now time.Time) {
	if c.next.IsZero() || now.Before(c.next) {
		return
	}
	switch {
	case c.protocol == none:
		c.try(now, PCP)
	case c.external.IsValid() && !now.Before(c.until): // the gateway has gone silent: begin anew
		c.unmap()
		c.try(now, PCP)
	case c.tries == 0: // a renewal
		c.try(now, c.protocol)
	case c.protocol == IGD, c.tries >= Tries:
		c.unanswered(now)
	default:
		c.ask(now)
	}
}

// unanswered goes on with the next protocol; a renewal is tried again, until the mapping ends.
func (c *Client) unanswered(now time.Time) {
	if !c.external.IsValid() {
		c.try(now, c.protocol+1)
		return
	}
	c.tries = 0
	wait := max(c.until.Sub(now)/2, RetryMin) // RFC 6887 section 11.2.1
	c.next = now.Add(wait)
}

// Release gives the mapping back, and ends the asking.
func (c *Client) Release() {
	c.next = time.Time{}
	if !c.external.IsValid() {
		return
	}
	switch c.protocol {
	case PCP:
		c.emit(Send{c.pcp(0).Append(nil)})
	case NATPMP:
		c.emit(Send{NATPMPMap(c.port, 0, 0)})
	case IGD:
		c.emit(ReleaseIGD{c.gateway, c.client, c.external.Port()})
	case none:
	}
	c.unmap()
}
