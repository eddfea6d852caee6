package monitor

import (
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"re6st/actors/system"
	"re6st/hw/dataplane"
)

// Vitals are what metrics show beside the other sources.
type Vitals struct {
	Path            dataplane.Stats
	Known           int // peers
	Sessions        int // nodes with end-to-end keys or handshakes
	Neighbors       int // of Babel
	NeighborDropped uint64
	// Accepted are the handshakes of links that succeeded here; Refused those that
	// were dropped, by reason.
	Accepted        uint64
	Refused         map[string]uint64
	RefusedSessions map[string]uint64
	CertificateEnd  time.Time
	// Answered is when the registry answered last; zero: not in this run.
	Answered time.Time
}

// metrics answers in the text format of Prometheus. Whatever of the node can be
// numbered by others (peers) is bounded by the limits of links.
func metrics(s *server) http.Handler {
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(collector{s}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{MaxRequestsInFlight: MaxSubscribers})
}

// collector makes metrics of the snapshots at each scrape.
type collector struct{ *server }

// family is one metric's description.
type family struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

var families []*family

func describe(kind prometheus.ValueType, name, help string, labels ...string) *family {
	f := &family{prometheus.NewDesc("re6st_"+name, help, labels, nil), kind}
	families = append(families, f)
	return f
}

func counter(name, help string, labels ...string) *family {
	return describe(prometheus.CounterValue, name, help, labels...)
}

func gauge(name, help string, labels ...string) *family {
	return describe(prometheus.GaugeValue, name, help, labels...)
}

// The families, in the order of the docs.
var (
	mBuild     = gauge("build_info", "What the binary was built from; always 1.", "version", "revision", "goversion")
	mNode      = gauge("node_info", "Who the node is; always 1.", "node", "prefix", "network")
	mState     = gauge("node_state", "1 for the state that the node is in, 0 for the others.", "state")
	mReachable = gauge("reachable_nodes", "Other nodes with a route.")
	mKnown     = gauge("known_peers", "Other nodes that could be dialled.")
	mRoutes    = gauge("routes", "Selected routes.")
	mNeighbors = gauge("neighbors", "Babel neighbors.")
	mClaims    = gauge("claims", "Claims of nodes about their routes that are held, the own one too.")
	mBarred    = counter("babel_barred_announcements_total", "Announcements of routes that were refused for their origin.")
	mParams    = gauge("params_number", "Number of the network parameters in force.")
	mEnd       = gauge("certificate_not_after_timestamp_seconds", "When the node's certificate ends.")
	mAnswer    = gauge("registry_last_answer_timestamp_seconds", "When the registry answered last; 0: not since the node started.")
	mRegistry  = gauge("registry_up", "1 where the registry answered the last question.")

	mLinks      = gauge("links", "Links that are up.", "role")
	mLinksLimit = gauge("links_limit", "As many links as the node opens or accepts.", "role")
	mUp         = gauge("link_up", "1 for a link that is up, 0 for one that is being made.", "peer", "role")
	mCarrier    = gauge("link_carrier", "1 for what carries a link that is up: udp, quic or tls.", "peer", "carrier")
	mRTT        = gauge("link_rtt_seconds", "Smoothed round trip of a link.", "peer")
	mProbeLoss  = gauge("link_probe_loss_ratio", "Share of a link's probes without an answer, in the last minute.", "peer")
	mMTU        = gauge("link_mtu_bytes", "Longest datagram that a link carries, without UDP and IP.", "peer")
	mSentBytes  = counter("link_sent_bytes_total", "Bytes of the frames sent on a link.", "peer")
	mSent       = counter("link_sent_packets_total", "Frames sent on a link.", "peer")
	mControl    = counter("link_control_sent_bytes_total", "Bytes of the control frames among those sent on a link.", "peer", "kind")
	mRecvBytes  = counter("link_received_bytes_total", "Bytes of the frames received on a link.", "peer")
	mRecv       = counter("link_received_packets_total", "Frames received on a link.", "peer")
	mLost       = counter("link_dropped_packets_total", "Frames from a link that were not authentic, or for it that could not go.", "peer")
	mAccepted   = counter("link_handshakes_accepted_total", "Handshakes of peers that made or renewed a link.")
	mRefused    = counter("handshakes_refused_total", "Handshake messages dropped without an answer.", "purpose", "reason")
	mSessions   = gauge("sessions", "Nodes with end-to-end keys, or a handshake for them.")

	mSealed      = counter("dataplane_sealed_packets_total", "Packets sealed here, where they enter the mesh.")
	mSealedBytes = counter("dataplane_sealed_bytes_total", "Bytes of the packets sealed here.")
	mOpened      = counter("dataplane_opened_packets_total", "Packets opened here, where they leave the mesh.")
	mOpenedBytes = counter("dataplane_opened_bytes_total", "Bytes of the packets opened here.")
	mRelayed     = counter("dataplane_relayed_packets_total", "Frames passed on.")
	mRelayBytes  = counter("dataplane_relayed_bytes_total", "Bytes of the frames passed on.")
	mDrops       = counter("dataplane_dropped_packets_total", "Packets that went no further.", "reason")
	mWaiting     = gauge("dataplane_waiting_packets", "Packets that wait for a session.")
	mICMP        = counter("dataplane_icmp_errors_sent_total", "ICMP and ICMPv6 errors given to the kernel.")
	mRelayErrors = counter("dataplane_relay_errors_received_total", "Errors that relays sent.")
	mSockSent    = counter("socket_sent_packets_total", "Datagrams that the kernel took.")
	mSockRecv    = counter("socket_received_packets_total", "Datagrams from the kernel.")
	mSockErrors  = counter("socket_errors_total", "Datagrams that the kernel refused, or that were cut short.", "reason")
	mUnbatched   = counter("socket_unbatched_total", "Batches of datagrams that the kernel would not cut, and so went one by one.")
	mBabelDrops  = counter("babel_dropped_packets_total", "Babel packets for which a neighbor's queue had no room.")

	mActors      = gauge("actors", "Actors, by their kind and state.", "kind", "state")
	mMailbox     = gauge("actor_mailbox_messages", "Messages that wait for actors of a kind.", "kind")
	mFaults      = counter("actor_faults_total", "Faults of actors of a kind.", "kind")
	mRestarts    = counter("actor_restarts_total", "Restarts of actors of a kind.", "kind")
	mQuarantines = counter("actor_quarantines_total", "Quarantines of actors of a kind.", "kind")
	mEvents      = counter("events_total", "Events raised.")
)

// Describe tells which families there are.
func (collector) Describe(out chan<- *prometheus.Desc) {
	for _, f := range families {
		out <- f.desc
	}
}

// Collect reads the snapshots.
func (c collector) Collect(out chan<- prometheus.Metric) {
	put := func(f *family, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(f.desc, f.kind, value, labels...)
	}
	c.node(put)
	c.links(put)
	c.path(put)
	c.actorsAndEvents(put)
}

// sink takes one value.
type sink func(f *family, value float64, labels ...string)

func (c collector) node(put sink) {
	s, v, b := c.status(), c.cfg.Sources.Vitals(), c.cfg.Build
	put(mBuild, 1, b.Module, b.Revision, b.Go)
	put(mNode, 1, s.Node.String(), s.Prefix.CN(), s.Network.String())
	for _, state := range []State{Starting, Running, Degraded, Stopping} {
		put(mState, truth(s.State == state), string(state))
	}
	put(mReachable, float64(s.Reachable))
	put(mKnown, float64(v.Known))
	put(mRoutes, float64(s.Routes))
	put(mNeighbors, float64(v.Neighbors))
	put(mClaims, float64(s.Origins.Claims))
	put(mBarred, float64(s.Origins.Barred))
	put(mBabelDrops, float64(v.NeighborDropped))
	put(mParams, float64(s.Params))
	put(mEnd, timestamp(v.CertificateEnd))
	put(mAnswer, timestamp(v.Answered))
	put(mRegistry, truth(!s.Registry.Asked.IsZero() && s.Registry.Error == ""))
	put(mSessions, float64(v.Sessions))
	put(mAccepted, float64(v.Accepted))
	for reason, n := range v.Refused {
		put(mRefused, float64(n), "link", reason)
	}
	for reason, n := range v.RefusedSessions {
		put(mRefused, float64(n), "session", reason)
	}
	put(mLinks, float64(s.Links.Opened), "opened")
	put(mLinks, float64(s.Links.Accepted), "accepted")
	put(mLinks, float64(s.Links.LAN), "lan")
	put(mLinksLimit, float64(s.Links.ClientCount), "opened")
	put(mLinksLimit, float64(s.Links.MaxClients), "accepted")
}

// links adds up the tunnels with one peer: while one takes over from another there
// are two.
func (c collector) links(put sink) {
	tunnels := c.cfg.Sources.Tunnels()
	slices.SortStableFunc(tunnels, func(a, b Tunnel) int { return slices.Compare(a.Node[:], b.Node[:]) })
	for len(tunnels) > 0 {
		sum := tunnels[0]
		up := isUp(sum)
		for tunnels = tunnels[1:]; len(tunnels) > 0 && tunnels[0].Node == sum.Node; tunnels = tunnels[1:] {
			t := tunnels[0]
			if isUp(t) && !up {
				up, sum.Role, sum.RTT, sum.Loss, sum.MTU, sum.Carrier = true, t.Role, t.RTT, t.Loss, t.MTU, t.Carrier
			}
			sum.Sent = Traffic{sum.Sent.Packets + t.Sent.Packets, sum.Sent.Bytes + t.Sent.Bytes}
			sum.Received = Traffic{sum.Received.Packets + t.Received.Packets, sum.Received.Bytes + t.Received.Bytes}
			sum.Dropped += t.Dropped
			sum.ControlSent = addTraffic(sum.ControlSent, t.ControlSent)
		}
		peer := sum.Node.String()
		put(mUp, truth(up), peer, sum.Role)
		if !up { // being made: there is nothing to count
			continue
		}
		put(mCarrier, 1, peer, sum.Carrier)
		if sum.RTT > 0 {
			put(mRTT, float64(sum.RTT)/1e6, peer)
		}
		if l := sum.Loss; l != nil && l.Probes > 0 {
			put(mProbeLoss, float64(l.Lost)/float64(l.Probes), peer)
		}
		if sum.MTU > 0 {
			put(mMTU, float64(sum.MTU), peer)
		}
		put(mSentBytes, float64(sum.Sent.Bytes), peer)
		put(mSent, float64(sum.Sent.Packets), peer)
		for kind, sent := range sum.ControlSent {
			put(mControl, float64(sent.Bytes), peer, kind)
		}
		put(mRecvBytes, float64(sum.Received.Bytes), peer)
		put(mRecv, float64(sum.Received.Packets), peer)
		put(mLost, float64(sum.Dropped), peer)
	}
}

func addTraffic(a, b map[string]Traffic) map[string]Traffic {
	sum := map[string]Traffic{}
	maps.Copy(sum, b)
	for kind, t := range a {
		sum[kind] = Traffic{t.Packets + sum[kind].Packets, t.Bytes + sum[kind].Bytes}
	}
	return sum
}

func isUp(t Tunnel) bool { return t.State != "dialing" }

func (c collector) path(put sink) {
	p := c.cfg.Sources.Vitals().Path
	put(mSealed, float64(p.Ingress.Packets))
	put(mSealedBytes, float64(p.Ingress.Bytes))
	put(mOpened, float64(p.Egress.Packets))
	put(mOpenedBytes, float64(p.Egress.Bytes))
	put(mRelayed, float64(p.Relayed.Packets))
	put(mRelayBytes, float64(p.Relayed.Bytes))
	for _, r := range dataplane.Reasons() {
		put(mDrops, float64(p.Drops[r]), r.String())
	}
	put(mWaiting, float64(p.Waiting.Packets))
	put(mICMP, float64(p.ICMP))
	put(mRelayErrors, float64(p.RelayErrors))
	put(mSockSent, float64(p.Conn.Sent))
	put(mSockRecv, float64(p.Conn.Received))
	put(mUnbatched, float64(p.Conn.Unbatched))
	for reason, n := range map[string]uint64{
		"truncated": p.Conn.Truncated, "too-big": p.Conn.TooBig, "no-buffer": p.Conn.NoBuffer, "refused": p.Conn.Refused,
		"unreachable": p.Conn.Unreachable, "other": p.Conn.OtherErrors,
	} {
		put(mSockErrors, float64(n), reason)
	}
}

func (c collector) actorsAndEvents(put sink) {
	type key struct{ kind, state string }
	count, mailbox := map[key]int{}, map[string]int{}
	for _, r := range c.cfg.System.Actors() {
		count[key{r.Kind, r.State.String()}]++
		mailbox[r.Kind] += r.Mailbox
	}
	for k, n := range count {
		put(mActors, float64(n), k.kind, k.state)
	}
	for kind, n := range mailbox {
		put(mMailbox, float64(n), kind)
	}
	events, all := map[string]map[system.EventKind]uint64{}, uint64(0)
	for _, t := range c.cfg.System.Tallies() {
		if events[t.Actor] == nil {
			events[t.Actor] = map[system.EventKind]uint64{}
		}
		events[t.Actor][t.Event] = t.Count
		all += t.Count
	}
	for kind, n := range events { // those that have not occurred too: a total begins at 0
		put(mFaults, float64(n[system.EventFaulted]), kind)
		put(mRestarts, float64(n[system.EventRestarted]), kind)
		put(mQuarantines, float64(n[system.EventQuarantined]), kind)
	}
	put(mEvents, float64(all))
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// timestamp is a time as Prometheus has it, 0 for never.
func timestamp(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
