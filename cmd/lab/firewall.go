package lab

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Cut says what becomes of the packets of an edge.
type Cut string

// The ways to cut.
const (
	// Silent drops them at the router without a word, as a radio gap or a broken
	// middlebox does: the hard case, and so the default.
	Silent Cut = "silent"
	// Reject answers "host unreachable", as a router does whose route has gone.
	Reject Cut = "reject"
	// RejectV4 answers so to IPv4; IPv6 passes.
	RejectV4 Cut = "v4"
)

// perMyriad is a probability in 1/10000.
type perMyriad int

// certain is a probability of 1.
const certain perMyriad = 10_000

// verdict renders "drop that share"; nft takes no comparison that is always true.
func (share perMyriad) verdict() string {
	if share == certain {
		return "drop"
	}
	return fmt.Sprintf("numgen random mod %d < %d drop", certain, share)
}

// firewall is what the router does with the packets of each edge. It is a value of
// the lab, from which the whole rule set is rendered after every change: the kernel
// takes it in one transaction, so no packet sees half of it.
type firewall struct {
	topology Topology
	edges    []Edge // sorted; with those to the registry
	cuts     map[Edge]Cut
	losses   map[Edge]perMyriad
	blocked  map[Edge][]Block
	seconds  map[string]bool    // members with a second port
	quiet    map[string]bool    // ports that no packet passes
	delayed  map[towards]string // the device that packets take on their way
}

func newFirewall(t Topology, edges []Edge, names []string) *firewall {
	all := slices.Clone(edges)
	for _, name := range names {
		all = append(all, newEdge(registryName, name))
	}
	slices.SortFunc(all, Edge.compare)
	return &firewall{topology: t, edges: all, cuts: map[Edge]Cut{}, losses: map[Edge]perMyriad{}, blocked: map[Edge][]Block{}, seconds: map[string]bool{}, quiet: map[string]bool{}}
}

// check says whether the edge is one of the underlay.
func (f *firewall) check(e Edge) error {
	if _, ok := slices.BinarySearchFunc(f.edges, e, Edge.compare); !ok {
		return fmt.Errorf("%w: %s and %s are not neighbors in this %s", ErrState, e.A, e.B, f.topology)
	}
	return nil
}

// link adds an edge to the underlay.
func (f *firewall) link(e Edge) error {
	i, there := slices.BinarySearchFunc(f.edges, e, Edge.compare)
	if there {
		return fmt.Errorf("%w: %s and %s are neighbors in this %s", ErrState, e.A, e.B, f.topology)
	}
	f.edges = slices.Insert(f.edges, i, e)
	return nil
}

func (f *firewall) cut(e Edge, how Cut) error {
	if err := f.check(e); err != nil {
		return err
	}
	if f.topology == LAN && how != Silent {
		return fmt.Errorf("%w: on a LAN no router is between the nodes that could answer; cut silently", ErrState)
	}
	f.cuts[e] = how
	return nil
}

func (f *firewall) heal(e Edge) error {
	if err := f.check(e); err != nil {
		return err
	}
	delete(f.cuts, e)
	delete(f.losses, e)
	delete(f.blocked, e)
	return nil
}

func (f *firewall) healAll() {
	clear(f.blocked)
	clear(f.cuts)
	clear(f.losses)
}

func (f *firewall) lose(e Edge, share perMyriad) error {
	if err := f.check(e); err != nil {
		return err
	}
	if share == 0 {
		delete(f.losses, e)
		return nil
	}
	f.losses[e] = share
	return nil
}

// open returns the edges that some packets pass, sorted.
func (f *firewall) open() []Edge {
	return slices.DeleteFunc(slices.Clone(f.edges), func(e Edge) bool { how, cut := f.cuts[e]; return cut && how != RejectV4 })
}

// rules renders the rule set for `nft -f -`: the table is made if it is not there,
// deleted, and made anew, all in one transaction.
func (f *firewall) rules() string {
	var b strings.Builder
	family := "inet"
	if f.topology == LAN {
		family = "bridge"
	}
	fmt.Fprintf(&b, "table %s lab\ndelete table %s lab\ntable %s lab {\n", family, family, family)
	if f.topology == LAN {
		f.bridgeChains(&b)
	} else {
		fmt.Fprintf(&b, "chain forward {\ntype filter hook forward priority 0; policy drop;\n")
		f.silence(&b)
		f.pass(&b)
		f.verdicts(&b, f.edges)
		f.rule(&b, f.edges, "accept")
		b.WriteString("}\n")
	}
	b.WriteString("}\n")
	return b.String()
}

// bridgeChains renders the rules of a shared segment, on whose bridge the registry's
// packets come and go by the router's own port: they are seen as input and output.
func (f *firewall) bridgeChains(b *strings.Builder) {
	between := slices.DeleteFunc(slices.Clone(f.edges), func(e Edge) bool { return e.B == registryName })
	b.WriteString("chain forward {\ntype filter hook forward priority 0; policy accept;\n")
	f.verdicts(b, between)
	b.WriteString("}\n")
	for _, way := range []struct{ hook, match string }{{"input", "iifname"}, {"output", "oifname"}} {
		fmt.Fprintf(b, "chain %s {\ntype filter hook %s priority 0; policy accept;\n", way.hook, way.hook)
		for _, e := range f.edges {
			if e.B != registryName {
				continue
			}
			if _, cut := f.cuts[e]; cut {
				fmt.Fprintf(b, "%s %q drop\n", way.match, e.A)
			} else if share := f.losses[e]; share != 0 {
				fmt.Fprintf(b, "%s %q %s\n", way.match, e.A, share.verdict())
			}
		}
		b.WriteString("}\n")
	}
}

// verdicts renders the cuts and losses of edges whose ends have a port each.
func (f *firewall) verdicts(b *strings.Builder, edges []Edge) {
	var silent, reject, reject4 []Edge
	losses := map[perMyriad][]Edge{}
	for _, e := range edges {
		switch f.cuts[e] {
		case Silent:
			silent = append(silent, e)
		case Reject:
			reject = append(reject, e)
		case RejectV4:
			reject4 = append(reject4, e)
		}
		if share := f.losses[e]; share != 0 {
			losses[share] = append(losses[share], e)
		}
	}
	f.rule(b, silent, "drop")
	f.rule(b, reject, "reject with icmpx type host-unreachable")
	f.rule(b, reject4, "meta nfproto ipv4 reject with icmp type host-unreachable")
	f.blockings(b, edges)
	for _, share := range slices.Sorted(maps.Keys(losses)) {
		f.rule(b, losses[share], share.verdict())
	}
}

// silence renders the ports that no packet passes.
func (f *firewall) silence(b *strings.Builder) {
	for _, port := range slices.SortedFunc(maps.Keys(f.quiet), compareNames) {
		fmt.Fprintf(b, "iifname %[1]q drop\noifname %[1]q drop\n", port)
	}
}

func (f *firewall) rule(b *strings.Builder, edges []Edge, verdict string) {
	if len(edges) > 0 {
		fmt.Fprintf(b, "iifname . oifname %s %s\n", f.bothWays(edges), verdict)
	}
}

// ports are the router's links to a member.
func (f *firewall) ports(name string) []string {
	if f.seconds[name] {
		return []string{name, name + secondSuffix}
	}
	return []string{name}
}

// bothWays renders the set of both directions of the edges.
func (f *firewall) bothWays(edges []Edge) string {
	var pairs []string
	for _, e := range edges {
		for _, t := range []towards{{e.A, e.B}, {e.B, e.A}} {
			out := f.ports(t.to)
			if device, ok := f.delayed[t]; ok {
				out = append(out, device)
			}
			pairs = append(pairs, product(f.ports(t.from), out)...)
		}
	}
	return "{ " + strings.Join(pairs, ", ") + " }"
}

// product is all that come by one of the first and leave by one of the second.
func product(in, out []string) (pairs []string) {
	for _, a := range in {
		for _, b := range out {
			pairs = append(pairs, fmt.Sprintf("%q . %q", a, b))
		}
	}
	return pairs
}

// pass renders that packets which were delayed go on.
func (f *firewall) pass(b *strings.Builder) {
	var pairs []string
	for t, device := range f.delayed {
		pairs = append(pairs, product([]string{device}, f.ports(t.to))...)
	}
	if slices.Sort(pairs); len(pairs) > 0 {
		fmt.Fprintf(b, "iifname . oifname { %s } accept\n", strings.Join(pairs, ", "))
	}
}
