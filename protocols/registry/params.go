package registry

import (
	"fmt"
	"net/netip"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/cert"
	"re6st/protocols/peer"
)

// Params is what all nodes of a network have to agree on, and what its operator
// may tune. The zero value is not valid: start from DefaultParams.
type Params struct {
	// Number grows by one with each version; the first is 1.
	Number  uint64       `json:"number"`
	Network netip.Prefix `json:"network"`
	// LocatorRange is addr.LocatorRange of the CA.
	LocatorRange netip.Prefix `json:"locator_range"`

	// ClientCount is how many links a node opens, MaxClients how many it accepts.
	ClientCount int `json:"client_count"`
	MaxClients  int `json:"max_clients"`
	// HelloInterval is Babel's, on links of the fabric.
	HelloInterval Duration `json:"hello_interval"`
	// TunnelRefresh is how often a node reconsiders its worst link.
	TunnelRefresh Duration `json:"tunnel_refresh"`
	Liveness      Liveness `json:"liveness"`
	// MTU of the TUN, in bytes.
	MTU int `json:"mtu"`
	// CertificateLifetime of node certificates issued from now on.
	CertificateLifetime Duration `json:"certificate_lifetime"`
	// Classes are the traffic classes; the first is general, on the network itself.
	Classes []Class `json:"classes"`
	Limits  Limits  `json:"limits"`
	// Registries are more addresses, HOST:PORT, at which the registry is reached,
	// beside the one that a node joined by.
	Registries []string `json:"registries"`
	// Origins is how nodes take routes whose origin no claim proves.
	Origins Origins `json:"origins"`
	// Rights are what some nodes may announce beside their own prefixes.
	Rights []Right `json:"rights"`
	// SameCountry are the countries, two letters each, out of which and into which no link
	// goes; a node that says none is in none of them.
	SameCountry []string `json:"same_country"`
	// IPv4 is the range of which each node has a share of IPv4Share bits; not valid: the
	// network carries no IPv4.
	IPv4      netip.Prefix `json:"ipv4"`
	IPv4Share int          `json:"ipv4_share"`
}

// Liveness says how often a link is probed: at InUse while it carries traffic,
// at IdleMin to IdleMax while it does not.
type Liveness struct {
	InUse   Duration `json:"in_use"`
	IdleMin Duration `json:"idle_min"`
	IdleMax Duration `json:"idle_max"`
}

// Class is one traffic class: its number in the frame, its range, in which each
// node has its prefix, and the DSCP of its outer packets.
type Class struct {
	ID    uint8        `json:"id"`
	Name  string       `json:"name"`
	Range netip.Prefix `json:"range"`
	DSCP  uint8        `json:"dscp"`
}

// Limits bound what a node spends, below what it is built for (MostLimits).
type Limits struct {
	// Sessions end to end; those idle for SessionIdle are dropped.
	Sessions    int      `json:"sessions"`
	SessionIdle Duration `json:"session_idle"`
	// QueueBytes wait per destination while its session is made.
	QueueBytes int `json:"queue_bytes"`
	// Routes of one neighbor; those beyond are refused, and who is only reached by them
	// is not reached.
	Routes int `json:"routes"`
	// LANLinks to nodes found on a LAN.
	LANLinks int `json:"lan_links"`
}

// MostLimits are those that nodes are built for, and LeastLimits what they need: a
// network's lie between them.
var (
	MostLimits  = Limits{Sessions: 4096, SessionIdle: Duration(120 * time.Second), QueueBytes: 64 << 10, Routes: 16384, LANLinks: 8}
	LeastLimits = Limits{Sessions: 16, SessionIdle: Duration(10 * time.Second), QueueBytes: 2048, Routes: 16, LANLinks: 0}
)

// bounded are limits that a node can have: earlier versions let others be set, which
// had no effect.
func (l Limits) bounded() Limits {
	least, most := LeastLimits, MostLimits
	return Limits{
		Sessions:    min(max(l.Sessions, least.Sessions), most.Sessions),
		SessionIdle: min(max(l.SessionIdle, least.SessionIdle), most.SessionIdle),
		QueueBytes:  min(max(l.QueueBytes, least.QueueBytes), most.QueueBytes),
		Routes:      min(max(l.Routes, least.Routes), most.Routes),
		LANLinks:    min(max(l.LANLinks, least.LANLinks), most.LANLinks),
	}
}

// General is the name of class 0, whose range is the network itself.
const General = "general"

// DefaultIPv4Share is the length of a node's share of IPv4.
const DefaultIPv4Share = 24

// MaxClasses bounds the classes: a node has as many addresses and queues.
const MaxClasses = 16

// MaxRegistries bounds the addresses of the registry: a node tries them one by one.
const MaxRegistries = 8

// MaxCountries bounds those that links do not leave.
const MaxCountries = 64

// maxName bounds the name of a class, in bytes.
const maxName = 32

// DefaultParams are the parameters of a new network.
func DefaultParams(a *cert.Authority) Params {
	return Params{
		Number:              1,
		Network:             a.Network,
		LocatorRange:        addr.LocatorRange(a.Fingerprint),
		ClientCount:         4,
		MaxClients:          16,
		HelloInterval:       Duration(4 * time.Second),
		TunnelRefresh:       Duration(300 * time.Second),
		Liveness:            Liveness{Duration(200 * time.Millisecond), Duration(time.Second), Duration(60 * time.Second)},
		MTU:                 1380,
		CertificateLifetime: Duration(365 * 24 * time.Hour),
		Classes:             []Class{{Name: General, Range: a.Network}},
		Limits:              MostLimits,
		Registries:          []string{},
		Origins:             OriginsPrefer,
		Rights:              []Right{},
		SameCountry:         []string{},
		IPv4Share:           DefaultIPv4Share,
	}
}

// Check tells, as ErrParams, which value is out of its range.
func (p Params) Check() error {
	const ms, s, day = int64(time.Millisecond), int64(time.Second), 24 * int64(time.Hour)
	least, most := LeastLimits, MostLimits
	for _, v := range []struct {
		key              string
		value, low, high int64
		unit             func(int64) string
	}{
		{"client_count", int64(p.ClientCount), 0, 64, number},
		{"max_clients", int64(p.MaxClients), 0, 64, number},
		{"hello_interval", int64(p.HelloInterval), 100 * ms, 60 * s, duration},
		{"tunnel_refresh", int64(p.TunnelRefresh), 5 * s, day, duration},
		{"liveness.in_use", int64(p.Liveness.InUse), 20 * ms, 60 * s, duration},
		{"liveness.idle_min", int64(p.Liveness.IdleMin), int64(p.Liveness.InUse), 600 * s, duration},
		{"liveness.idle_max", int64(p.Liveness.IdleMax), int64(p.Liveness.IdleMin), 600 * s, duration},
		{"mtu", int64(p.MTU), 1280, 65000, number},
		{"certificate_lifetime", int64(p.CertificateLifetime), 20 * s, 20 * 365 * day, duration},
		{"ipv4_share", int64(p.IPv4Share), addr.MinIPv4Range + 1, addr.MaxIPv4, number},
		{"limits.sessions", int64(p.Limits.Sessions), int64(least.Sessions), int64(most.Sessions), number},
		{"limits.session_idle", int64(p.Limits.SessionIdle), int64(least.SessionIdle), int64(most.SessionIdle), duration},
		{"limits.queue_bytes", int64(p.Limits.QueueBytes), int64(least.QueueBytes), int64(most.QueueBytes), number},
		{"limits.routes", int64(p.Limits.Routes), int64(least.Routes), int64(most.Routes), number},
		{"limits.lan_links", int64(p.Limits.LANLinks), int64(least.LANLinks), int64(most.LANLinks), number},
	} {
		if v.value < v.low || v.value > v.high {
			return fmt.Errorf("%w: %s is %s; it must be %s to %s", ErrParams, v.key, v.unit(v.value), v.unit(v.low), v.unit(v.high))
		}
	}
	if p.Number == 0 {
		return fmt.Errorf("%w: number is 0; the first is 1", ErrParams)
	}
	if n := len(p.Registries); n > MaxRegistries {
		return fmt.Errorf("%w: %d registries; at most %d", ErrParams, n, MaxRegistries)
	}
	for _, at := range p.Registries {
		if _, err := ParseHostPort(at); err != nil {
			return fmt.Errorf("%w: registries: %w", ErrParams, err)
		}
	}
	if n := len(p.SameCountry); n > MaxCountries {
		return fmt.Errorf("%w: %d countries of same_country; at most %d", ErrParams, n, MaxCountries)
	}
	for _, c := range p.SameCountry {
		if !peer.IsCountry(c) {
			return fmt.Errorf("%w: same_country has %q; a country is two capital letters, such as FR", ErrParams, c)
		}
	}
	if err := p.checkRights(); err != nil {
		return err
	}
	if err := p.checkIPv4(); err != nil {
		return err
	}
	return p.checkClasses()
}

// checkIPv4 looks at the range where there is one, for the length has a default.
func (p Params) checkIPv4() error {
	if p.IPv4 == (netip.Prefix{}) {
		return nil
	}
	if err := addr.CheckIPv4(p.IPv4, p.IPv4Share); err != nil {
		return fmt.Errorf("%w: ipv4 and ipv4_share: %w", ErrParams, err)
	}
	return nil
}

func (p Params) checkClasses() error {
	if n := len(p.Classes); n < 1 || n > MaxClasses {
		return fmt.Errorf("%w: %d classes; 1 to %d", ErrParams, n, MaxClasses)
	}
	if c := p.Classes[0]; c.ID != 0 || c.Name != General || c.Range != p.Network {
		return fmt.Errorf("%w: the first class is %d %q on %s; it must be 0 %q on the network %s", ErrParams, c.ID, c.Name, c.Range, General, p.Network)
	}
	for i, c := range p.Classes {
		switch {
		case !c.Range.IsValid() || !c.Range.Addr().Is6() || c.Range != c.Range.Masked():
			return fmt.Errorf("%w: range %s of class %q is not an IPv6 prefix without host bits", ErrParams, c.Range, c.Name)
		case c.Range.Bits() > p.Network.Bits():
			return fmt.Errorf("%w: range %s of class %q is smaller than the network %s; node prefixes do not fit", ErrParams, c.Range, c.Name, p.Network)
		case c.Name == "" || len(c.Name) > maxName:
			return fmt.Errorf("%w: class %d needs a name of 1 to %d bytes", ErrParams, c.ID, maxName)
		case c.DSCP > 63:
			return fmt.Errorf("%w: DSCP %d of class %q; it must be 0 to 63", ErrParams, c.DSCP, c.Name)
		}
		for _, d := range p.Classes[:i] {
			if c.ID == d.ID || c.Name == d.Name || c.Range.Overlaps(d.Range) {
				return fmt.Errorf("%w: classes %d %q on %s and %d %q on %s clash", ErrParams, d.ID, d.Name, d.Range, c.ID, c.Name, c.Range)
			}
		}
	}
	return nil
}

func number(n int64) string   { return fmt.Sprint(n) }
func duration(n int64) string { return time.Duration(n).String() }

// Duration is a time.Duration that is written as text, such as "200ms" or "4s".
type Duration time.Duration

// MarshalText is time.Duration's String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText is time.ParseDuration.
func (d *Duration) UnmarshalText(t []byte) error {
	v, err := time.ParseDuration(string(t))
	*d = Duration(v)
	return err
}
