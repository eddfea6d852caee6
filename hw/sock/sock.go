package sock

import (
	"cmp"
	"net/netip"
	"time"

	"re6st/protocols/fabric"
)

// Packet is one datagram of UDP, or several of one length from and to the same.
type Packet struct {
	// Data is what to write. For a read its capacity is the room; its length is set.
	Data []byte
	// Segment is 0 for one datagram. Else Data is datagrams of so many bytes one behind
	// another, of which the last may be shorter: MaxSegments at most, MaxBatch bytes in all.
	Segment int
	// Addr is the other end. IPv4 is never mapped; link-local IPv6 has a zone.
	Addr netip.AddrPort
	// Local is our address: of a packet read, where it was sent to; of one to
	// write, the source, or the zero Addr where the kernel shall choose.
	Local netip.Addr
	// Interface is the index of the interface that a packet came by, or is to leave
	// by; 0 is the one that leads there.
	Interface int
	// TOS is the traffic class: DSCP in the upper six bits, ECN in the lower two.
	TOS uint8
	// Carrier is what carries it; a socket of UDP takes all for its own.
	Carrier fabric.Carrier
	// TooBig is set by a write: the interface does not take a datagram of that length.
	TooBig bool
	// At is when the kernel took a packet in; set by a read. It has a monotonic
	// reading.
	At time.Time
}

// Conn is the socket, or a test's stand-in for it.
type Conn interface {
	// ReadBatch waits for at least one packet, and fills the first n of packets.
	// It fails only for good: with net.ErrClosed after Close.
	ReadBatch(packets []Packet) (n int, err error)
	// WriteBatch sends them in order; those that the kernel refuses are counted.
	// n is how many datagrams were handed over. It fails only for good.
	WriteBatch(packets []Packet) (n int, err error)
	// LocalAddr is the address and port that the socket is bound to.
	LocalAddr() netip.AddrPort
	Stats() Stats
	Close() error
}

// Stats counts what happened to datagrams since the socket was opened.
type Stats struct {
	Received, Sent uint64
	// ReceivedBatches and SentBatches are the calls that took several at a time.
	ReceivedBatches, SentBatches uint64
	// Unbatched are batches that the kernel would not take, and so went one by one.
	Unbatched uint64
	// Truncated were longer than the room that ReadBatch was given.
	Truncated uint64
	// TooBig did not fit the interface (EMSGSIZE).
	TooBig uint64
	// NoBuffer were refused for want of memory or queue (ENOBUFS, EAGAIN).
	NoBuffer uint64
	// Refused were stopped by a firewall (EPERM, EACCES) or by what ICMP said of an
	// earlier packet (ECONNREFUSED).
	Refused uint64
	// Unreachable had no route or no such source address.
	Unreachable uint64
	// OtherErrors are the rest; LastError names the latest.
	OtherErrors uint64
	LastError   string
}

// Plus is the sum of two sockets'.
func (s Stats) Plus(o Stats) Stats {
	s.Received += o.Received
	s.Sent += o.Sent
	s.ReceivedBatches += o.ReceivedBatches
	s.SentBatches += o.SentBatches
	s.Unbatched += o.Unbatched
	s.Truncated += o.Truncated
	s.TooBig += o.TooBig
	s.NoBuffer += o.NoBuffer
	s.Refused += o.Refused
	s.Unreachable += o.Unreachable
	s.OtherErrors += o.OtherErrors
	s.LastError = cmp.Or(s.LastError, o.LastError)
	return s
}
