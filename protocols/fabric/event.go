package fabric

import (
	"fmt"
	"net/netip"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/cert"
)

// CloseReason tells why a link or session ended, or was refused.
type CloseReason uint8

// The reasons. Those up to CloseDuplicate are decided, the others found out; all may
// be told to the peer.
const (
	CloseNone      CloseReason = 0
	CloseShutdown  CloseReason = 1 // the node stops
	CloseIdle      CloseReason = 2 // nobody uses it
	CloseFull      CloseReason = 3 // as many as the node takes
	CloseReplaced  CloseReason = 4 // the peer restarted, or a better one took over
	CloseRevoked   CloseReason = 5 // the peer's certificate was revoked
	CloseDraining  CloseReason = 6 // the node is about to stop and takes nobody
	CloseDuplicate CloseReason = 7 // another live node has the peer's certificate

	CloseSilence    CloseReason = 64 // the peer answers no probe
	CloseNoAnswer   CloseReason = 65 // no endpoint answered a handshake
	CloseUnverified CloseReason = 66 // who answered is not the wanted node of this network
	CloseStale      CloseReason = 67 // the keys are too old, and no handshake brought new ones
)

var closeNames = map[CloseReason]string{
	CloseNone: "none", CloseShutdown: "shutdown", CloseIdle: "idle", CloseFull: "full", CloseReplaced: "replaced",
	CloseRevoked: "revoked", CloseDraining: "draining", CloseDuplicate: "duplicate", CloseSilence: "silence",
	CloseNoAnswer: "no answer", CloseUnverified: "unverified", CloseStale: "stale keys",
}

// String is for logs and snapshots.
func (r CloseReason) String() string {
	if s, ok := closeNames[r]; ok {
		return s
	}
	return fmt.Sprintf("reason %d", uint8(r))
}

// Event is what a machine has for its driver, in the order in which it is to be
// carried out. Slices and sessions in it belong to the driver.
type Event interface{ event() }

// Send is a datagram of a handshake. From Acceptor and Link.
type Send struct {
	To       Path
	Datagram []byte
}

// SendControl is a control frame to seal with the link's session of the last Use.
// From Link.
type SendControl struct {
	Kind ControlKind
	Body []byte
	To   Path // the zero Path is that of the last Use
}

// Expect has handshake messages with this HandshakeIndex brought to this Link,
// until Forget.
type Expect struct{ Index uint32 }

// Forget ends Expect.
type Forget struct{ Index uint32 }

// Install has frames accepted that come with this session's local index. From
// Link.
type Install struct{ Session *LinkSession }

// Use has frames sent with this session, by this path. From Link.
type Use struct {
	Session *LinkSession
	Path    Path
}

// Retire ends Install for the session with this local index. From Link.
type Retire struct{ Index uint32 }

// Up says that both ends have keys, once in the life of a Link.
type Up struct {
	Peer      *cert.Identity
	BootID    BootID
	Static    [32]byte // the peer's, to dial it with next time
	Remote    netip.AddrPort
	Carrier   Carrier
	RTT       time.Duration // of the handshake or of the first probe
	Initiator bool
}

// Down ends a Link: no event follows, and inputs are ignored.
type Down struct {
	Reason CloseReason
	Remote bool // the peer said so
}

// RTTChanged says that the round trip has another length. From Link.
type RTTChanged struct {
	Smoothed time.Duration
	Minimum  time.Duration // of the last RTTWindow
}

// Verified says that the peer answered a probe that was sent after Link.Verify.
// Acceptor.HandleVerified wants to know.
type Verified struct{ Peer addr.NodeID }

// Duplicate says that two live nodes show one certificate. From Acceptor, for the
// newcomer that it refused, and from Link, for one that answered in the peer's
// place. Where Peer is this node itself, another uses its certificate.
type Duplicate struct {
	Peer   addr.NodeID
	BootID BootID // of the other
	From   netip.AddrPort
}

// Verify wants Link.Verify called for the link with this peer. From Acceptor.
type Verify struct{ Peer addr.NodeID }

// Accepted is a stranger's or a peer's handshake that succeeded: it is for
// HandleAccepted of the Link with this peer, or of a new one. From Acceptor.
type Accepted struct {
	Peer    *cert.Identity
	BootID  BootID
	From    netip.AddrPort
	Session *LinkSession

	agreed *agreement
	reply  [][]byte
}

// SendTransit is a message to bring to a node through the fabric. From Sessions.
type SendTransit struct {
	Egress  addr.NodeID
	Payload []byte
}

// InstallSession has frames accepted that come with this session's local index,
// from the node that showed this certificate. From Sessions.
type InstallSession struct {
	Session *Session
	Peer    *cert.Identity
}

// UseSession has frames to the session's peer sent with it. From Sessions.
type UseSession struct{ Session *Session }

// RetireSession ends InstallSession, and UseSession where it is still in use.
type RetireSession struct{ Index uint32 }

// SessionFailed says that what waits for this node waits in vain. Sessions takes
// no new wish for it before RetryAfter.
type SessionFailed struct {
	Egress     addr.NodeID
	Reason     CloseReason
	RetryAfter time.Duration
}

func (Send) event()           {}
func (SendControl) event()    {}
func (Expect) event()         {}
func (Forget) event()         {}
func (Install) event()        {}
func (Use) event()            {}
func (Retire) event()         {}
func (Up) event()             {}
func (Down) event()           {}
func (RTTChanged) event()     {}
func (Verified) event()       {}
func (Duplicate) event()      {}
func (Verify) event()         {}
func (Accepted) event()       {}
func (SendTransit) event()    {}
func (InstallSession) event() {}
func (UseSession) event()     {}
func (RetireSession) event()  {}
func (SessionFailed) event()  {}

// outbox keeps events until the driver drains them.
type outbox []Event

func (o *outbox) put(e Event) { *o = append(*o, e) }

func (o *outbox) drain(f func(Event)) {
	events := *o
	*o = nil
	for _, e := range events {
		f(e)
	}
}
