package inbound

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// ErrPolicy is a policy or a rule that is none.
var ErrPolicy = errors.New("bad inbound policy")

// Policy is what of the mesh's packets is let in.
type Policy uint8

// The policies.
const (
	All         Policy = iota // whatever comes
	Established               // what answers flows that this node began
	List                      // that, and what a rule lets in
)

var policies = [...]string{"all", "established", "list"}

// String is the policy as the configuration has it.
func (p Policy) String() string { return policies[p] }

// MarshalText is String.
func (p Policy) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads "all", "established" or "list".
func (p *Policy) UnmarshalText(text []byte) error {
	for i, name := range policies {
		if string(text) == name {
			*p = Policy(i)
			return nil
		}
	}
	return fmt.Errorf("%w: %q; write all, established or list", ErrPolicy, text)
}

// MaxRules bounds a list: each packet that answers nothing is compared with all.
const MaxRules = 256

// Rule lets in what comes from Source, by Protocol, to a port from Low to High.
type Rule struct {
	Source    netip.Prefix
	Protocol  uint8  // of IPv6's next header, which stands for ICMP too; 0: any
	Low, High uint16 // 0 and 65535: any, also where the protocol has no ports
}

// protocols are those that a rule may name.
var protocols = map[string]uint8{"tcp": protoTCP, "udp": protoUDP, "sctp": protoSCTP, "icmp": protoICMPv6}

const ruleUsage = "write \"SOURCE [tcp|udp|sctp [PORT[-PORT]]|icmp]\", such as \"2001:db8:42::/48 tcp 22\""

// UnmarshalText reads "2001:db8:42::/48", "::/0 icmp", "2001:db8::1 tcp 22",
// "::/0 udp 5000-5010" or "10.42.0.0/16 tcp 22".
func (r *Rule) UnmarshalText(text []byte) error {
	words := strings.Fields(string(text))
	wrong := func(what string) error { return fmt.Errorf("%w: %q: %s; %s", ErrPolicy, text, what, ruleUsage) }
	if len(words) < 1 || len(words) > 3 {
		return wrong(fmt.Sprintf("%d words", len(words)))
	}
	*r = Rule{High: 1<<16 - 1}
	source, err := netip.ParsePrefix(words[0])
	if a, e := netip.ParseAddr(words[0]); e == nil && a.Zone() == "" {
		source, err = netip.PrefixFrom(a, a.BitLen()), nil
	}
	if err != nil || source.Addr().Is4In6() || source.Addr().Zone() != "" {
		return wrong(words[0] + " is no prefix")
	}
	r.Source = source.Masked()
	if len(words) > 1 {
		protocol, ok := protocols[words[1]]
		if !ok {
			return wrong("unknown protocol " + words[1])
		}
		r.Protocol = protocol
	}
	if len(words) > 2 {
		if !hasPorts(r.Protocol) {
			return wrong(words[1] + " has no ports")
		}
		if r.Low, r.High, err = parsePorts(words[2]); err != nil {
			return wrong(err.Error())
		}
	}
	return nil
}

func parsePorts(s string) (low, high uint16, err error) {
	first, last, ranged := strings.Cut(s, "-")
	if !ranged {
		last = first
	}
	l, err1 := strconv.ParseUint(first, 10, 16)
	h, err2 := strconv.ParseUint(last, 10, 16)
	if err := errors.Join(err1, err2); err != nil || l == 0 || l > h {
		return 0, 0, fmt.Errorf("%s are no ports from 1 to 65535", s)
	}
	return uint16(l), uint16(h), nil
}

// String is the rule as UnmarshalText reads it.
func (r Rule) String() string {
	s := r.Source.String()
	for name, number := range protocols {
		if number == r.Protocol {
			s += " " + name
		}
	}
	switch {
	case r.Low == 0 && r.High == 1<<16-1:
	case r.Low == r.High:
		s += fmt.Sprintf(" %d", r.Low)
	default:
		s += fmt.Sprintf(" %d-%d", r.Low, r.High)
	}
	return s
}

// MarshalText is String.
func (r Rule) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// lets tells whether the rule lets a packet in.
func (r Rule) lets(p *parsed) bool {
	return r.Source.Contains(p.src) && (r.Protocol == 0 || r.Protocol == p.proto) && (r.Low == 0 || p.dport >= r.Low && p.dport <= r.High)
}
