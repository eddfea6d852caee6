package inbound

import (
	"fmt"
	"hash/maphash"
	"time"
)

// Verdict is what Admit thinks of a packet.
type Verdict uint8

// The verdicts.
const (
	Admitted       Verdict = iota
	NotEstablished         // it answers nothing that this node began
	NotListed              // nor does a rule let it in
	Unreadable             // its headers do not tell what it is
)

// Filter enforces a policy. Its methods may be called by any goroutine.
type Filter struct {
	policy Policy
	rules  []Rule
	flows  *table
}

// New makes a filter. It fails with ErrPolicy where there are too many rules, or
// rules without the policy List.
func New(policy Policy, rules []Rule, seed maphash.Seed) (*Filter, error) {
	if len(rules) > MaxRules {
		return nil, fmt.Errorf("%w: %d rules, at most %d", ErrPolicy, len(rules), MaxRules)
	}
	if len(rules) > 0 && policy != List {
		return nil, fmt.Errorf("%w: a list, and the policy is %q; write list", ErrPolicy, policy)
	}
	f := &Filter{policy: policy, rules: append([]Rule(nil), rules...)}
	if policy != All {
		f.flows = &table{seed: seed}
	}
	return f, nil
}

// Change is a filter with another policy that knows the flows of f, where f keeps any.
// f may be nil. It fails as New does.
func (f *Filter) Change(policy Policy, rules []Rule, seed maphash.Seed) (*Filter, error) {
	next, err := New(policy, rules, seed)
	if err == nil && f != nil && f.flows != nil && next.flows != nil {
		next.flows = f.flows
	}
	return next, err
}

// Sent notes a packet that leaves for the mesh: what answers it will be let in.
func (f *Filter) Sent(now time.Duration, packet []byte) {
	if f == nil || f.flows == nil {
		return
	}
	var p parsed
	if !p.parse(packet) || p.later || p.proto == protoICMPv6 && p.typ != icmpEchoRequest {
		return // it begins nothing
	}
	var key [keyLen]byte
	p.answer(&key)
	at := seconds(now)
	place, known := f.flows.take(&key, at)
	var s state
	if known {
		s = place.state().after(&p)
	}
	place.keep(at+lasting(p.proto, s), s)
}

// Admit tells whether a packet of the mesh is let in, and if not why.
func (f *Filter) Admit(now time.Duration, packet []byte) Verdict {
	if f == nil || f.flows == nil {
		return Admitted
	}
	var p parsed
	if !p.parse(packet) {
		return Unreadable
	}
	at := seconds(now)
	var key [keyLen]byte
	if p.later {
		if p.fragments(&key); f.flows.find(&key, at) != nil {
			return Admitted
		}
		return f.refusal()
	}
	if !f.answers(&p, at) && !f.listed(&p) {
		return f.refusal()
	}
	if p.fragment {
		p.fragments(&key)
		place, _ := f.flows.take(&key, at)
		place.keep(at+uint32(Fragments/time.Second), 0)
	}
	return Admitted
}

// answers tells whether a packet is of a flow that this node began, and keeps that.
func (f *Filter) answers(p *parsed, at uint32) bool {
	var key [keyLen]byte
	if p.quoted != nil {
		var about parsed
		if !about.parse(p.quoted) || about.later {
			return false
		}
		about.answer(&key)
		return f.flows.find(&key, at) != nil
	}
	p.key(&key)
	place := f.flows.find(&key, at)
	if place == nil {
		return false
	}
	s := place.state().after(p) | answered
	place.keep(at+lasting(p.proto, s), s)
	return true
}

func (f *Filter) listed(p *parsed) bool {
	for i := range f.rules {
		if f.rules[i].lets(p) {
			return true
		}
	}
	return false
}

func (f *Filter) refusal() Verdict {
	if f.policy == List {
		return NotListed
	}
	return NotEstablished
}

// lasting is for how many seconds a flow may be silent.
func lasting(proto uint8, s state) uint32 {
	d := AnsweredOther
	switch {
	case proto == protoTCP && s == answered:
		d = AnsweredTCP
	case proto == protoTCP:
		d = Unanswered
	case proto == protoICMPv6:
		d = AnsweredICMP
	}
	return uint32(d / time.Second)
}

func seconds(now time.Duration) uint32 { return uint32(now / time.Second) }
