package sock

import (
	"errors"

	"golang.org/x/sys/unix"
)

// The limits of a packet of several datagrams.
const (
	// MaxSegments is what kernels since 4.18 take; newer ones take twice as many.
	MaxSegments = 64
	// MaxBatch is the longest payload of UDP over IPv4, in bytes: the kernel cuts no more.
	MaxBatch = 65507
	// ReadRoom is what a packet of several datagrams may need when it is read, in bytes.
	ReadRoom = 1 << 16
)

// Datagrams is how many are in a packet.
func (p *Packet) Datagrams() int {
	if p.Segment <= 0 || p.Segment >= len(p.Data) {
		return 1
	}
	return (len(p.Data) + p.Segment - 1) / p.Segment
}

// writeSegments has the kernel cut a packet into its datagrams (UDP_SEGMENT). What it fails
// with may be no matter of the datagrams.
func (u *UDP) writeSegments(p *Packet, oob *[oobLen]byte) error {
	if u.noSegments.Load() {
		return unix.EOPNOTSUPP
	}
	err := u.write(p, oob)
	switch {
	case err == nil:
		u.sentBatches.Add(1)
	case errors.Is(err, unix.EIO), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOPROTOOPT):
		// The interface makes no checksums (udp_send_skb in the kernel), or the kernel is old.
		u.noSegments.Store(true)
	}
	return err
}

// writeSingly sends the datagrams of a packet that the kernel would not cut, by one call as
// far as it takes them. Each is counted by what becomes of it.
func (u *UDP) writeSingly(p *Packet, oob *[oobLen]byte) (sent int, err error) {
	u.unbatched.Add(1)
	one := *p
	one.Segment = 0
	defer func() { p.TooBig = one.TooBig }()
	for rest := *p; len(rest.Data) > 0; {
		n, err := u.writeTogether(&rest, oob)
		sent += n
		if rest.Data = rest.Data[min(n*p.Segment, len(rest.Data)):]; len(rest.Data) == 0 {
			return sent, nil
		}
		one.Data = rest.Data[:min(p.Segment, len(rest.Data))]
		if err != nil {
			n, err = u.settle(&one, err)
		} else {
			n, err = u.writeOut(&one, oob)
		}
		sent += n
		if err == nil && one.TooBig { // nor is any other of that length taken
			u.tooBig.Add(uint64((len(rest.Data) - 1) / p.Segment))
			return sent, nil
		}
		if err != nil {
			return sent, err
		}
		rest.Data = rest.Data[len(one.Data):]
	}
	return sent, nil
}
