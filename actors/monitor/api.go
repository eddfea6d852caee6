package monitor

import (
	"net/netip"
	"runtime/debug"
	"time"

	"re6st/actors/system"
	"re6st/protocols/addr"
)

// Schema is the version of all that the sockets answer.
const Schema = 1

// Header begins each answer.
type Header struct {
	Version int       `json:"version"`
	Now     time.Time `json:"now"` // by the node's clock: ages are taken from it
}

// State is how a node is.
type State string

// The states of a node.
const (
	Starting State = "starting" // no link is up yet
	Running  State = "running"
	Degraded State = "degraded" // it runs, and something in Status.Problems wants a person
	Revoked  State = "revoked"  // it is out of the network for good
	Stopping State = "stopping"
)

// Status is the node at a glance.
type Status struct {
	Header
	Node        addr.NodeID      `json:"node"`
	Prefix      addr.Bits        `json:"prefix"`
	Network     netip.Prefix     `json:"network"`
	Addresses   []Address        `json:"addresses"`
	IPv4        *IPv4            `json:"ipv4,omitempty"` // nil: the network has none
	State       State            `json:"state"`
	Problems    []string         `json:"problems,omitempty"` // why it is degraded
	Notices     []string         `json:"notices,omitempty"`  // what waits for a person, and may wait
	Started     time.Time        `json:"started"`
	Links       Links            `json:"links"`
	Reachable   int              `json:"reachable"` // other nodes with a route
	Routes      int              `json:"routes"`
	Params      uint64           `json:"params"` // the number of the network parameters in force
	CRL         uint64           `json:"crl"`    // the number of the revocation list; 0: none was heard of
	Certificate Certificate      `json:"certificate"`
	Origins     Origins          `json:"origins"`
	Relayed     Traffic          `json:"relayed"` // frames passed on, sealed as they are
	Registry    Registry         `json:"registry"`
	NAT         string           `json:"nat"`               // before this node, as peers see it: none, port-restricted, random or unknown
	Clock       string           `json:"clock"`             // synchronised, unsynchronised, or floor: counted from what must have passed
	Mapping     *Mapping         `json:"mapping,omitempty"` // of this node's port, by its gateway
	Babel       []BabelInterface `json:"babel,omitempty"`   // on interfaces of the kernel
	Queues      *Queues          `json:"queues,omitempty"`  // nil: one of each
	PID         int              `json:"pid"`
	Build       Build            `json:"build"`
}

// Queues are how many there are of what packets come by, each with a reader of its own.
type Queues struct {
	TUN int `json:"tun"`
	UDP int `json:"udp"` // sockets of the port
}

// Certificate is the one that the node shows.
type Certificate struct {
	Serial    string    `json:"serial"` // hexadecimal
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
}

// Address is the node's own, in the range of one traffic class.
type Address struct {
	Class   string     `json:"class"`
	Address netip.Addr `json:"address"`
}

// IPv4 is the network's, and what of it is the node's own.
type IPv4 struct {
	Range   netip.Prefix `json:"range"`
	Share   netip.Prefix `json:"share,omitzero"`   // not valid: it has none
	Address netip.Addr   `json:"address,omitzero"` // likewise
}

// Mapping is a port of a gateway that reaches the node.
type Mapping struct {
	External netip.AddrPort `json:"external"`
	Protocol string         `json:"protocol"` // PCP, NAT-PMP or UPnP IGD
	Gateway  netip.Addr     `json:"gateway"`
}

// Links counts links, beside their limits.
type Links struct {
	Opened      int `json:"opened"`
	ClientCount int `json:"client_count"`
	Accepted    int `json:"accepted"`
	MaxClients  int `json:"max_clients"`
	LAN         int `json:"lan"`
}

// Registry is when and how it was last asked.
type Registry struct {
	URL   string    `json:"url"`
	Asked time.Time `json:"asked,omitzero"` // last
	Error string    `json:"error,omitempty"`
}

// Peers is the answer to /v1/peers.
type Peers struct {
	Header
	Peers []Peer `json:"peers"`
}

// Peer is another node that this one knows.
type Peer struct {
	Node      addr.NodeID      `json:"node"`
	Prefix    addr.Bits        `json:"prefix"`
	Source    string           `json:"source"`           // registry, remembered, gossip, lan or direct
	State     string           `json:"state"`            // linked, dialing or idle
	Detail    string           `json:"detail,omitempty"` // why a link with it cannot be
	Reachable bool             `json:"reachable"`
	Seen      time.Time        `json:"seen,omitzero"`
	Failures  int              `json:"failures"` // dials since the last success
	NextDial  time.Time        `json:"next_dial,omitzero"`
	Endpoints []netip.AddrPort `json:"endpoints"`
	Software  string           `json:"software,omitempty"`
}

// Tunnels is the answer to /v1/tunnels.
type Tunnels struct {
	Header
	Tunnels []Tunnel `json:"tunnels"`
}

// Tunnel is one link of the fabric.
type Tunnel struct {
	Link     uint32         `json:"link"`
	Node     addr.NodeID    `json:"node"` // at the other end
	Prefix   addr.Bits      `json:"prefix"`
	Role     string         `json:"role"`               // opened, accepted or lan
	Shortcut bool           `json:"shortcut,omitempty"` // for the traffic with the node, beside the limits
	State    string         `json:"state"`
	Since    time.Time      `json:"since"`
	Remote   netip.AddrPort `json:"remote"`
	Gateway  string         `json:"gateway,omitempty"` // of remote_gateways, through which the link goes
	Carrier  string         `json:"carrier"`           // udp, quic or tls
	Tunnel   string         `json:"tunnel,omitempty"`  // by which the link goes: gre, fou, wireguard, openvpn-udp or openvpn-tcp
	Trusted  bool           `json:"trusted,omitempty"` // what the two nodes send each other goes by the tunnel as it is
	Suite    string         `json:"suite,omitempty"`
	RTT      int64          `json:"rtt_us"`         // smoothed; 0: not known yet
	Loss     *Loss          `json:"loss,omitempty"` // left out: not known yet
	MTU      int            `json:"mtu,omitempty"`  // of datagrams in bytes, without UDP and IP; left out: not known yet
	Sent     Traffic        `json:"sent"`
	Received Traffic        `json:"received"`
	// ControlSent is what of Sent was control frames, by kind: babel, peer, probe, ...
	ControlSent  map[string]Traffic `json:"control_sent,omitempty"`
	Dropped      uint64             `json:"dropped"`
	Destinations int                `json:"destinations"` // nodes routed through it
	// Rates since the answer before, of a caller that asks again and again; the node
	// leaves them out.
	SentRate     *Rate `json:"sent_rate,omitempty"`
	ReceivedRate *Rate `json:"received_rate,omitempty"`
}

// Loss counts the probes of a link in the last minute, by the path in use.
type Loss struct {
	Probes int `json:"probes"`
	Lost   int `json:"lost"` // of these: they, or their answers
}

// Traffic counts since the link came up.
type Traffic struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// Rate is traffic a second.
type Rate struct {
	Packets float64 `json:"packets_per_s"`
	Bytes   float64 `json:"bytes_per_s"`
}

// Routes is the answer to /v1/routes.
type Routes struct {
	Header
	Routes []Route `json:"routes"`
}

// Route is one selected route.
type Route struct {
	Prefix   netip.Prefix `json:"prefix"`
	Source   netip.Prefix `json:"source,omitzero"` // of the packets that it is for; none: of all
	Topology uint8        `json:"topology"`
	Egress   addr.NodeID  `json:"egress,omitzero"` // none: unreachable
	Via      string       `json:"via"`             // the neighbor's node id, an interface, or "self"
	Metric   uint16       `json:"metric"`
	Origin   string       `json:"origin"`
	Since    time.Time    `json:"since"`
}

// Actors is the answer to /v1/actors.
type Actors struct {
	Header
	Actors []Actor `json:"actors"`
}

// Actor is what the system knows of one of the node's actors.
type Actor struct {
	Path      string    `json:"path"`
	Kind      string    `json:"kind"`
	State     string    `json:"state"` // starting, running, restarting, quarantined or stopped
	Since     time.Time `json:"since"`
	Restarts  uint64    `json:"restarts"`
	LastFault string    `json:"last_fault,omitempty"`
	FaultKind string    `json:"fault_kind,omitempty"` // transient, config or bug
	FaultAt   time.Time `json:"fault_at,omitzero"`
	Mailbox   int       `json:"mailbox"` // messages waiting
	Dropped   uint64    `json:"dropped"`
}

func actorOf(r system.Record) Actor {
	return Actor{r.Path, r.Kind, r.State.String(), r.Since, r.Restarts, r.LastFault, r.FaultKind, r.FaultAt, r.Mailbox, r.Dropped}
}

// Event is one line of /v1/events.
type Event struct {
	Version int       `json:"version"`
	Seq     uint64    `json:"seq"` // from 1, without gaps
	Time    time.Time `json:"time"`
	Actor   string    `json:"actor"`
	Kind    string    `json:"kind"` // started, faulted, restarted, quarantined, stopped, stuck or an actor's own
	Text    string    `json:"text,omitempty"`
	Missed  uint64    `json:"missed,omitempty"` // events lost before this one, as the reader was slow
}

func eventOf(e system.Event, missed uint64) Event {
	return Event{Schema, e.Seq, e.Time, e.Actor, string(e.Kind), e.Text, missed}
}

// VersionInfo is the answer to /v1/version.
type VersionInfo struct {
	Header
	Build
}

// Build is what a binary was built from.
type Build struct {
	Module   string `json:"module"`             // its version, such as v0.1.0 or (devel)
	Revision string `json:"revision,omitempty"` // of its source
	Modified bool   `json:"modified,omitempty"` // the source was changed after Revision
	Go       string `json:"go"`
}

// ReadBuild tells what this binary was built from.
func ReadBuild() Build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return Build{Module: "unknown"}
	}
	b := Build{Module: info.Main.Version, Go: info.GoVersion}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

// PingRequest is the body of POST /v1/ping.
type PingRequest struct {
	Dest     string `json:"dest"`        // an address, a prefix such as 5/16, or a node id
	Count    int    `json:"count"`       // 1 to MaxPings; 0: DefaultPings
	Interval int64  `json:"interval_ms"` // 0: a second; at least MinPingInterval
	Timeout  int64  `json:"timeout_ms"`  // 0: a second; at most MaxPingTimeout
	Size     int    `json:"size"`        // bytes of data
}

// PingLine is one line of the answer: a Reply, or at the end a Summary, or an Error.
type PingLine struct {
	Version int          `json:"version"`
	Reply   *PingReply   `json:"reply,omitempty"`
	Summary *PingSummary `json:"summary,omitempty"`
	Error   string       `json:"error,omitempty"`
}

// PingReply is what became of one echo.
type PingReply struct {
	Address  netip.Addr `json:"address"`
	Sequence int        `json:"seq"`
	RTT      int64      `json:"rtt_us"`
	Lost     bool       `json:"lost,omitempty"`
	Error    string     `json:"error,omitempty"` // why it could not be sent
}

// PingSummary counts the echoes.
type PingSummary struct {
	Address  netip.Addr `json:"address"`
	Source   netip.Addr `json:"source"`
	Sent     int        `json:"sent"`
	Received int        `json:"received"`
	Min      int64      `json:"min_us"`
	Avg      int64      `json:"avg_us"`
	Max      int64      `json:"max_us"`
}

// FaultRequest is the body of POST /v1/debug/fault: an actor that is to fail, or one of
// its pumps, or a system call.
type FaultRequest struct {
	Actor string `json:"actor,omitempty"`  // its path
	How   string `json:"how,omitempty"`    // of an actor: panic, error, stall, or pump: a panic in a pump begun for it
	Pump  string `json:"pump,omitempty"`   // the actor's pump that is to fail; none: the actor itself does
	Call  string `json:"call,omitempty"`   // such as sock.send
	Errno string `json:"errno,omitempty"`  // of a call: such as ENOBUFS
	Count uint64 `json:"count,omitempty"`  // of a call: how often; 0: for as long as For
	For   int64  `json:"for_ms,omitempty"` // of a call, or of a stall
}

// FaultAnswer says that the fault is on its way.
type FaultAnswer struct {
	Header
	FaultRequest
}

// BlockRequest is the body of POST /v1/debug/block: a carrier whose traffic the node drops, both
// ways, as a firewall does, or drops no more.
type BlockRequest struct {
	Carrier string `json:"carrier"` // udp, quic or tls
	Off     bool   `json:"off,omitempty"`
}

// BlockAnswer says what is blocked now.
type BlockAnswer struct {
	Header
	Blocked []string `json:"blocked"`
}

// ClockRequest is the body of POST /v1/debug/clock: by how much the node's wall clock
// is to jump.
type ClockRequest struct {
	Shift int64 `json:"shift_ms"`
}

// ClockAnswer says that it did.
type ClockAnswer struct {
	Header
	ClockRequest
}

// Reloaded is the answer to POST /v1/reload: the keys that changed.
type Reloaded struct {
	Header
	Changes []Change `json:"changes"`
}

// Change is a key of the configuration with another value than before.
type Change struct {
	Key     string `json:"key"`
	Old     string `json:"old"`
	New     string `json:"new"`
	Applied bool   `json:"applied"` // it is in force; else it takes a restart
}

// RenewRequest is the body of POST /v1/renew.
type RenewRequest struct {
	NewKey bool `json:"new_key"` // to change the keys too
}

// Renewed is the answer: the certificate that the node shows from now on.
type Renewed struct {
	Header
	Certificate
}

// Debug is the answer to GET /v1/debug: what can be made to fail, and what a leak would
// show in.
type Debug struct {
	Header
	Goroutines int          `json:"goroutines"`
	Actors     []DebugActor `json:"actors"`
	Faults     bool         `json:"faults"` // system calls can be made to fail: debug_faults = true
	Calls      []DebugCall  `json:"calls"`
}

// DebugActor is an actor and its pumps.
type DebugActor struct {
	Path  string   `json:"path"`
	Kind  string   `json:"kind"`
	State string   `json:"state"`
	Pumps []string `json:"pumps"`
	Stuck []string `json:"stuck,omitempty"` // pumps that do not end though they are to
}

// DebugCall is a system call that can be made to fail.
type DebugCall struct {
	Call   string `json:"call"`
	What   string `json:"what"`
	Failed uint64 `json:"failed"`           // on purpose, so far
	Errno  string `json:"errno,omitempty"`  // it fails now, with this
	Left   uint64 `json:"left,omitempty"`   // so many times yet
	For    int64  `json:"for_ms,omitempty"` // so long yet
}

// Error is the body of every refusal.
type Error struct {
	Version int    `json:"version"`
	Error   string `json:"error"`
}
