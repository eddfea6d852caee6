package netcheck

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"re6st/hw/doctor"
	"re6st/protocols/fabric"
	"re6st/protocols/nat"
	"re6st/protocols/netcheck"
)

// Outcome is what an examination comes to.
type Outcome string

// The outcomes.
const (
	Well     Outcome = "ok"
	Degraded Outcome = "degraded" // something lacks
	Failed   Outcome = "failed"   // nobody of the network is reached
)

// What is judged by its size.
const (
	// clockSlack is how far the clocks of the machine and the registry may be apart.
	clockSlack = time.Minute
	// leastPacket is what a path has to carry, in bytes: a handshake's datagram, with the headers
	// of UDP and of IPv6. wholePacket is that of a packet of IPv6's least MTU, which goes in two
	// where the path carries less.
	leastPacket = fabric.LinkHandshakeSize + 8 + 40
	wholePacket = 1280 + fabric.Overhead + 8 + 40
)

// Judge tells what the facts mean, in a fixed order.
func Judge(f netcheck.Facts) (all []doctor.Finding, o Outcome) {
	all = append(all, addresses(f)...)
	if f.Name != nil {
		all = append(all, name(*f.Name))
	}
	if f.Registry != nil {
		all = append(all, registry(*f.Registry)...)
	}
	all = append(all, peers(f)...)
	if len(f.Peers) > 0 {
		all = append(all, carriers(f.Peers)...)
	}
	if slices.ContainsFunc(f.Peers, func(p netcheck.Peer) bool { return p.Largest > 0 || p.TooBig > 0 }) {
		all = append(all, sizes(f.Peers))
	}
	if f.NAT.Kind != nat.Unknown || f.Node != nil {
		all = append(all, translation(f))
	}
	if f.Mapping != nil {
		all = append(all, mapping(f))
	}
	return all, outcome(f, all)
}

// outcome is Failed where there was somebody to reach, and nobody was.
func outcome(f netcheck.Facts, all []doctor.Finding) Outcome {
	reached := f.Registry != nil && f.Registry.Trouble == netcheck.NoTrouble || f.Node != nil && f.Node.Links > 0 ||
		slices.ContainsFunc(f.Peers, func(p netcheck.Peer) bool { return p.Answered || p.QUIC || p.TLS })
	switch {
	case !reached && (f.Registry != nil || len(f.Peers) > 0):
		return Failed
	case doctor.Count(all, doctor.Lack) > 0:
		return Degraded
	}
	return Well
}

func finding(name, purpose string) doctor.Finding {
	return doctor.Finding{Area: "network", Name: name, For: purpose}
}

func graded(f doctor.Finding, g doctor.Grade, found, cure string) doctor.Finding {
	f.Grade, f.Found, f.Cure = g, found, cure
	if g == doctor.OK {
		f.Cure = ""
	}
	return f
}

// addresses judges both families: one is enough.
func addresses(f netcheck.Facts) (all []doctor.Finding) {
	some := len(f.IPv4.Default)+len(f.IPv6.Default) > 0
	for _, v := range []struct {
		name string
		netcheck.Family
	}{{"IPv4", f.IPv4}, {"IPv6", f.IPv6}} {
		x := finding(v.name, "peers by "+v.name)
		var text []string
		for _, a := range v.Addresses {
			text = append(text, a.String())
		}
		switch {
		case len(v.Default) > 0:
			x = graded(x, doctor.OK, fmt.Sprintf("%s, default route by %s", strings.Join(text, ", "), strings.Join(v.Default, ", ")), "")
		case some:
			x = graded(x, doctor.Note, lacking(text), "nothing to do: the other family has a way out")
		default:
			x = graded(x, doctor.Lack, lacking(text), "an address and a default route: only this machine's own networks are reached")
		}
		all = append(all, x)
	}
	return all
}

func lacking(addresses []string) string {
	if len(addresses) == 0 {
		return "no address"
	}
	return strings.Join(addresses, ", ") + ", no default route"
}

func name(n netcheck.Name) doctor.Finding {
	x := finding("DNS", "the registry's name")
	if n.Error != "" || len(n.Addresses) == 0 {
		return graded(x, doctor.Lack, fmt.Sprintf("%s is not resolved: %s", n.Host, cmp.Or(n.Error, "no address")),
			"see /etc/resolv.conf and that the name servers there are reached; or name the registry by its address")
	}
	return graded(x, doctor.OK, fmt.Sprintf("%s is %s", n.Host, join(n.Addresses)), "")
}

func join[T fmt.Stringer](all []T) string {
	var text []string
	for _, a := range all {
		text = append(text, a.String())
	}
	return strings.Join(text, ", ")
}

// cures of a registry that does not answer.
var cures = map[netcheck.Trouble]string{
	netcheck.Refused:   "see on its machine that re6st registry serve runs, at that address and port",
	netcheck.Silent:    "see that its machine runs, and that firewalls let TCP to that port pass",
	netcheck.NotSecure: "something else listens there: correct the address, or sign in where the network asks for it",
	netcheck.Foreign:   "somebody else answers: a proxy or a sign-in page of this network; sign in, or have TCP to the registry pass as it is",
	netcheck.Other:     "see the error",
}

func registry(c netcheck.Contact) []doctor.Finding {
	x := finding("registry", "joining, new peers and certificates; what runs goes on without")
	if c.Trouble != netcheck.NoTrouble {
		return []doctor.Finding{graded(x, doctor.Lack, fmt.Sprintf("%s does not answer: %s", c.At, c.Error), cures[c.Trouble])}
	}
	all := []doctor.Finding{graded(x, doctor.OK,
		fmt.Sprintf("%s answers in %s, round trip %s", c.At, ms(c.Answer), ms(c.Connect)), "")}
	if c.Clock == nil {
		return all
	}
	x = finding("clock", "the dates of certificates")
	off := time.Duration(*c.Clock) * time.Millisecond
	switch {
	case off.Abs() <= clockSlack:
		x = graded(x, doctor.OK, fmt.Sprintf("no more than %v from the registry's", (off.Abs()+time.Second).Truncate(time.Second)), "")
	case off > 0:
		x = graded(x, doctor.Lack, fmt.Sprintf("%v behind the registry's", off.Truncate(time.Second)), "set the clock of the machine that is wrong: run a time service")
	default:
		x = graded(x, doctor.Lack, fmt.Sprintf("%v ahead of the registry's", -off.Truncate(time.Second)), "set the clock of the machine that is wrong: run a time service")
	}
	return append(all, x)
}

func ms(us int64) string {
	d := time.Duration(us) * time.Microsecond
	if d < 10*time.Millisecond {
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(time.Millisecond).String()
}

// peers judges UDP to the nodes.
func peers(f netcheck.Facts) []doctor.Finding {
	x := finding("UDP", "links to other nodes")
	if len(f.Peers) == 0 {
		if f.Registry == nil {
			return nil
		}
		return []doctor.Finding{graded(x, doctor.Unknown, "no other node is known here", "name one: --peer HOST:PORT; or join, and start the node once")}
	}
	nodes, silent := map[string]bool{}, []string{} // whether they answer; those that do not
	least, most := int64(0), int64(0)
	for _, p := range f.Peers {
		nodes[p.Name()] = nodes[p.Name()] || p.Answered
		if p.Answered && (least == 0 || p.RTT < least) {
			least = p.RTT
		}
		most = max(most, p.RTT)
	}
	reasons := map[string]int{}
	for _, p := range f.Peers {
		if !nodes[p.Name()] {
			silent = append(silent, p.Address.String())
			reasons[p.Refusal]++
		}
	}
	if most == 0 {
		return []doctor.Finding{noneAnswers(x, f, reasons)}
	}
	answered := 0
	for _, does := range nodes {
		if does {
			answered++
		}
	}
	ok := graded(x, doctor.OK, fmt.Sprintf("%d of %d nodes answer, in %s to %s", answered, len(nodes), ms(least), ms(most)), "")
	if len(silent) == 0 {
		return []doctor.Finding{ok}
	}
	return []doctor.Finding{ok, graded(finding("UDP to some", x.For), doctor.Note, "no answer from "+strings.Join(silent, ", ")+because(reasons),
		"nothing to do, if these nodes are down, or behind NATs that let in only whom they know")}
}

// because is what the kernel says of those that do not answer, the gravest first.
func because(reasons map[string]int) string {
	for _, r := range []netcheck.Refusal{netcheck.FilteredHere, netcheck.Filtered, netcheck.NoRoute, netcheck.NobodyThere} {
		if n := reasons[string(r)]; n > 0 {
			return fmt.Sprintf("; of %d: %s", n, r)
		}
	}
	return ""
}

// noneAnswers tells what is in the way, as far as that is seen.
func noneAnswers(x doctor.Finding, f netcheck.Facts, reasons map[string]int) doctor.Finding {
	none := fmt.Sprintf("none of %d addresses answers", len(f.Peers))
	says := func(r netcheck.Refusal) bool { return reasons[string(r)] > 0 }
	switch {
	case says(netcheck.FilteredHere):
		return graded(x, doctor.Lack, none+because(reasons), "let this machine's firewall pass UDP out, and its answers in: nft list ruleset, iptables -S")
	case count(f.Peers, byQUIC) > 0:
		return graded(x, doctor.Lack, none+", though some do by QUIC at the same ports: UDP passes, and ours is dropped for what is in it",
			"nothing that has to be done: links go by QUIC, slower; have the network's firewall let UDP to the nodes' ports pass")
	case count(f.Peers, byTLS) > 0:
		return graded(x, doctor.Lack, none+", nor by QUIC, though some do by TLS: UDP is dropped as a whole",
			"nothing that has to be done: links go by TLS, slower; have the network's firewall let UDP to the nodes' ports pass")
	case f.Node != nil && f.Node.Links > 0:
		return graded(x, doctor.Note, none+", though this machine's node has links", "nothing to do: these nodes are down, or behind NATs that let in only whom they know")
	case says(netcheck.Filtered):
		return graded(x, doctor.Lack, none+because(reasons), "have the network's firewall let UDP to the nodes' ports pass")
	case reasons[string(netcheck.NobodyThere)] == len(f.Peers):
		return graded(x, doctor.Lack, none+": datagrams arrive, and "+string(netcheck.NobodyThere), "start the nodes there, or correct the ports")
	case reasons[string(netcheck.NoRoute)] == len(f.Peers):
		return graded(x, doctor.Lack, none+because(reasons), "an address and a default route of the family that the nodes have")
	case f.Registry != nil && f.Registry.Trouble == netcheck.NoTrouble:
		return graded(x, doctor.Lack, none+", though the registry does by TCP", "most likely UDP is blocked on the way: have the network's firewall let UDP to the nodes' ports pass; or the nodes are down")
	}
	return graded(x, doctor.Lack, none, "see that this machine is connected at all; then that firewalls let UDP to the nodes' ports pass, and that the nodes run")
}

func byQUIC(p netcheck.Peer) bool { return p.QUIC }
func byTLS(p netcheck.Peer) bool  { return p.TLS }
func anyhow(netcheck.Peer) bool   { return true }

// count is how many nodes answer in some way.
func count(all []netcheck.Peer, how func(netcheck.Peer) bool) int {
	nodes := map[string]bool{}
	for _, p := range all {
		if how(p) {
			nodes[p.Name()] = true
		}
	}
	return len(nodes)
}

// carriers judges what links go by where UDP does not pass.
func carriers(all []netcheck.Peer) (found []doctor.Finding) {
	for _, c := range []struct {
		name, where string
		by          func(netcheck.Peer) bool
	}{{"QUIC", "the same ports", byQUIC}, {"TLS", tlsPorts(all), byTLS}} {
		x := finding(c.name, "links where the network drops UDP, or ours")
		if n := count(all, c.by); n > 0 {
			found = append(found, graded(x, doctor.OK, fmt.Sprintf("%d of %d nodes answer, at %s", n, count(all, anyhow), c.where), ""))
			continue
		}
		found = append(found, graded(x, doctor.Note, "no node answers, at "+c.where,
			"nothing to do while UDP passes; else see that the nodes serve it (carriers, tls_port), and that firewalls let it pass"))
	}
	return found
}

// tlsPorts names those by which nodes were asked.
func tlsPorts(all []netcheck.Peer) string {
	var ports []string
	for _, p := range all {
		ports = append(ports, strconv.Itoa(int(cmp.Or(p.TLSPort, tlsPort))))
	}
	slices.Sort(ports)
	if ports = slices.Compact(ports); len(ports) == 1 {
		return "TCP port " + ports[0]
	}
	return "TCP ports " + strings.Join(ports, ", ")
}

// sizes judges the narrowest path.
func sizes(all []netcheck.Peer) doctor.Finding {
	x := finding("MTU", "packets of full size")
	var narrowest *netcheck.Peer
	for i, p := range all {
		if p.Answered && p.TooBig > 0 && (narrowest == nil || p.Largest < narrowest.Largest) {
			narrowest = &all[i]
		}
	}
	if narrowest == nil {
		return graded(x, doctor.OK, fmt.Sprintf("packets of %d bytes pass to all that answer", netcheck.Largest), "")
	}
	found := fmt.Sprintf("packets of at most %d bytes pass to %s", narrowest.Largest, narrowest.Address)
	if narrowest.Largest == 0 {
		found = fmt.Sprintf("packets of %d bytes do not pass to %s", narrowest.TooBig, narrowest.Address)
	}
	blackHole := narrowest.Told == 0
	if blackHole {
		found += "; longer ones vanish without a word"
	}
	if narrowest.Largest < leastPacket {
		return graded(x, doctor.Lack, found, fmt.Sprintf("have the network carry packets of %d bytes, or links go by QUIC or TLS", leastPacket))
	}
	cure := "nothing to do: the node finds out what fits"
	if narrowest.Largest < wholePacket {
		cure += ", and sends long packets in two"
	}
	if blackHole {
		cure += "; other programs may not: the network drops ICMP errors that it should not"
	}
	return graded(x, doctor.Note, found, cure)
}

// translation judges the NAT: by what these questions found, else by what the node knows.
func translation(f netcheck.Facts) doctor.Finding {
	x := finding("NAT", "links with nodes that are behind NATs too")
	kind := f.NAT.Kind.String()
	if f.NAT.Kind == nat.Unknown && f.Node != nil {
		kind = f.Node.NAT
	}
	at := ""
	if four := slices.DeleteFunc(slices.Clone(f.NAT.Seen), func(a netip.AddrPort) bool { return !a.Addr().Is4() }); len(four) > 0 {
		at = ", seen at " + join(four)
	}
	mapped := f.Node != nil && f.Node.Mapped.IsValid()
	switch {
	case kind == nat.None.String():
		return graded(x, doctor.OK, "none"+at, "")
	case mapped:
		return graded(x, doctor.OK, fmt.Sprintf("%s%s; the gateway maps %s to the node", kind, at, f.Node.Mapped), "")
	case kind == nat.PortRestricted.String():
		return graded(x, doctor.OK, "the same address for all peers (port-restricted)"+at, "")
	case kind == nat.Random.String():
		return graded(x, doctor.Note, "another port for each peer (random)"+at, "nothing that has to be done: nodes behind other NATs are reached by relays; a gateway that maps ports makes direct links")
	}
	return graded(x, doctor.Unknown, "not known: two nodes that tell where they see this machine would show it", "name more nodes: --peer HOST:PORT")
}

// mapping judges what the gateway would do; it matters behind a NAT.
func mapping(f netcheck.Facts) doctor.Finding {
	x := finding("port mapping", "being reached from outside a NAT")
	var speaks []string
	for _, o := range f.Mapping.Offers {
		switch {
		case o.Refusal != "":
			speaks = append(speaks, fmt.Sprintf("%s, which refuses: %s", o.Protocol, o.Refusal))
		case o.External.IsValid():
			speaks = append(speaks, fmt.Sprintf("%s, outside address %s", o.Protocol, o.External))
		default:
			speaks = append(speaks, o.Protocol)
		}
	}
	willing := slices.ContainsFunc(f.Mapping.Offers, func(o netcheck.Offer) bool { return o.Refusal == "" })
	const cure = "nothing that has to be done; turn on PCP, NAT-PMP or UPnP in the gateway, where it has them"
	switch {
	case !f.Mapping.Gateway.IsValid():
		return graded(x, doctor.OK, "no IPv4 gateway", "")
	case willing:
		return graded(x, doctor.OK, fmt.Sprintf("%s speaks %s", f.Mapping.Gateway, strings.Join(speaks, "; ")), "")
	case f.NAT.Kind == nat.None:
		return graded(x, doctor.OK, "not needed: there is no NAT", "")
	case len(speaks) > 0:
		return graded(x, doctor.Note, fmt.Sprintf("%s speaks %s", f.Mapping.Gateway, strings.Join(speaks, "; ")), cure)
	}
	return graded(x, doctor.Note, fmt.Sprintf("%s speaks neither PCP nor NAT-PMP nor UPnP IGD", f.Mapping.Gateway), cure)
}
