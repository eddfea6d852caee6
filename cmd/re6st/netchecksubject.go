package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"re6st/actors/monitor"
	"re6st/actors/netcheck"
	"re6st/actors/node"
	"re6st/actors/portmap"
	"re6st/actors/registry"
	"re6st/hw/doctor"
	"re6st/hw/netlink"
	"re6st/hw/nodedir"
	"re6st/hw/sock"
	"re6st/protocols/addr"
	"re6st/protocols/fabric"
	protocol "re6st/protocols/netcheck"
	wire "re6st/protocols/registry"
	"re6st/protocols/tunnelplan"
)

// registryPatience is how long a registry may take to answer.
const registryPatience = 5 * time.Second

// errNobodyToAsk is that there is no network to examine the way to.
var errNobodyToAsk = errors.New("nobody to ask: give -d DIR of a joined node, --registry HOST:PORT, or --peer HOST:PORT with --fingerprint")

// subject is whom the command line names.
type subject struct {
	registry    string
	peers       []string
	fingerprint string

	at wire.HostPort // of the registry; zero: none
	ca [32]byte      // zero: not known
}

// settle reads what was named, and what the folder knows.
func (s *subject) settle(dir string) (err error) {
	if s.fingerprint != "" {
		if s.ca, err = parseFingerprint(s.fingerprint); err != nil {
			return err
		}
	}
	switch {
	case strings.HasPrefix(s.registry, wire.Scheme):
		line, err := wire.ParseJoinLine(s.registry)
		if err != nil {
			return usageError{err}
		}
		s.at, s.ca = line.HostPort, line.Fingerprint
		return nil
	case s.registry != "":
		text := strings.TrimSuffix(strings.TrimPrefix(s.registry, "https://"), "/")
		if s.at, err = wire.ParseHostPort(text); err != nil {
			return usageError{fmt.Errorf("registry: %w", err)}
		}
		return nil
	}
	at, ca, err := networkOf(dir)
	switch {
	case err == nil:
		if s.at = at; s.ca == ([32]byte{}) {
			s.ca = ca
		}
	case len(s.peers) == 0:
		return fmt.Errorf("%w (%w)", errNobodyToAsk, err)
	case s.ca == ([32]byte{}):
		return usageError{fmt.Errorf("nodes answer those only who know the network's CA: give --fingerprint, --registry, or -d DIR (%w)", err)}
	}
	return nil
}

func networkOf(dir string) (wire.HostPort, [32]byte, error) {
	d, err := nodedir.Open(dir)
	if err != nil {
		return wire.HostPort{}, [32]byte{}, err
	}
	return registry.LoadNetwork(d)
}

// examineNetwork finds what there is to be found, and judges it.
func examineNetwork(ctx context.Context, f *nodeFlags, s subject) (examination, error) {
	if err := s.settle(f.dir); err != nil {
		return examination{}, err
	}
	var facts protocol.Facts
	var mark uint32
	running := nodeAsked(ctx, f, &facts)
	more := []doctor.Finding{doctor.TUN()}
	if c, err := readNodeConfig(f.dir, ""); err == nil {
		if running != nil {
			mark = *c.Mark
		} else if *c.Port != 0 {
			more = append(more, doctor.Port(*c.Port))
		}
	}
	var err error
	if facts.IPv4, facts.IPv6, err = netcheck.Addresses(meshOf(running)...); err != nil {
		return examination{}, err
	}
	asked, err := s.whomToAsk(ctx, f, running != nil)
	if err != nil {
		return examination{}, err
	}
	asked = slices.DeleteFunc(asked, func(p protocol.Peer) bool { // another's behind another NAT
		return slices.Contains(slices.Concat(facts.IPv4.Addresses, facts.IPv6.Addresses), p.Address.Addr())
	})
	var together sync.WaitGroup
	together.Go(func() { facts.Mapping = offers(ctx) })
	if s.at != (wire.HostPort{}) {
		facts.Name = netcheck.Lookup(ctx, s.at.Host)
		facts.Registry = reach(ctx, s.at, s.ca, mark)
		if s.ca == ([32]byte{}) {
			s.ca = facts.Registry.Fingerprint
		}
	}
	if len(asked) > 0 && s.ca != ([32]byte{}) {
		facts.Peers, facts.NAT, err = netcheck.Peers(ctx, netcheck.PeerConfig{Fingerprint: s.ca, Peers: asked, Mark: mark, Carriers: true})
	}
	together.Wait()
	if err != nil {
		return examination{}, fmt.Errorf("asking nodes: %w", err)
	}
	return examinationOf(facts, more...), nil
}

func reach(ctx context.Context, at wire.HostPort, ca [32]byte, mark uint32) *protocol.Contact {
	ctx, cancel := context.WithTimeout(ctx, registryPatience)
	defer cancel()
	dialer := net.Dialer{}
	if mark != 0 && doctor.MayMark() {
		dialer.Control = sock.Mark(mark)
	}
	c := registry.Reach(ctx, at, ca, dialer.DialContext)
	return &c
}

// offers asks the gateway of the IPv4 default route, where there is one.
func offers(ctx context.Context) *protocol.Mapping {
	conn, err := netlink.Open()
	if err != nil {
		return nil
	}
	defer conn.Close()
	gateway, err := conn.Gateway()
	switch {
	case err != nil:
		return nil
	case !gateway.Is4():
		return &protocol.Mapping{}
	}
	m := portmap.Offers(ctx, gateway)
	return &m
}

// nodeAsked asks the node of this machine; nil where none runs.
func nodeAsked(ctx context.Context, f *nodeFlags, facts *protocol.Facts) *monitor.Status {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var s monitor.Status
	if err := f.client().Get(ctx, "status", &s); err != nil {
		return nil
	}
	facts.Node = &protocol.NodeFact{State: string(s.State), NAT: s.NAT, Links: s.Links.Opened + s.Links.Accepted + s.Links.LAN}
	if s.Mapping != nil {
		facts.Node.Mapped = s.Mapping.External
	}
	return &s
}

// whomToAsk are the addresses of nodes: those named, then those of links, then those that are
// known, of each node one for each family.
func (s *subject) whomToAsk(ctx context.Context, f *nodeFlags, running bool) (all []protocol.Peer, err error) {
	add := func(p protocol.Peer) {
		a := p.Address.Addr()
		known := slices.ContainsFunc(all, func(q protocol.Peer) bool {
			return q.Address == p.Address || p.Node != nil && q.Node != nil && *q.Node == *p.Node && q.Address.Addr().Is4() == a.Is4()
		})
		if a.IsValid() && !a.IsLinkLocalUnicast() && !known {
			all = append(all, p)
		}
	}
	for _, text := range s.peers {
		at, err := resolvePeer(ctx, text)
		if err != nil {
			return nil, err
		}
		add(protocol.Peer{Address: at})
	}
	if s.registry != "" { // the folder's nodes are of another network, it may be
		return all, nil
	}
	var remembered []tunnelplan.Peer
	if d, err := nodedir.Open(f.dir); err == nil { // without a folder nobody is remembered
		remembered, _ = node.Remembered(d) // a spoilt file is none
	}
	defer func() { addTLSPorts(all, remembered) }()
	if !running {
		for _, p := range remembered {
			addNode(add, p.ID, p.Endpoints)
		}
		return all, nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var links monitor.Tunnels
	var known monitor.Peers
	if err := errors.Join(f.client().Get(ctx, "tunnels", &links), f.client().Get(ctx, "peers", &known)); err != nil {
		return nil, err
	}
	for _, t := range links.Tunnels {
		if t.State != "dialing" && t.Carrier != fabric.TLS.String() { // whose port is of TCP, and no UDP is heard there
			add(protocol.Peer{Node: &t.Node, Address: t.Remote, Linked: true})
		}
	}
	for _, p := range known.Peers {
		addNode(add, p.Node, p.Endpoints)
	}
	return all, nil
}

func addNode(add func(protocol.Peer), id addr.NodeID, at []netip.AddrPort) {
	for _, e := range at {
		add(protocol.Peer{Node: &id, Address: e})
	}
}

// addTLSPorts notes where the nodes that are remembered serve TLS.
func addTLSPorts(all []protocol.Peer, remembered []tunnelplan.Peer) {
	for i := range all {
		for _, p := range remembered {
			if all[i].Node != nil && *all[i].Node == p.ID {
				all[i].TLSPort = p.TLSPort
			}
		}
	}
}

// resolvePeer reads HOST:PORT.
func resolvePeer(ctx context.Context, text string) (netip.AddrPort, error) {
	at, err := wire.ParseHostPort(text)
	if err != nil {
		return netip.AddrPort{}, usageError{fmt.Errorf("peer: %w", err)}
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", at.Host)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("peer %s: %w", text, err)
	}
	return netip.AddrPortFrom(found[0].Unmap(), at.Port), nil
}
