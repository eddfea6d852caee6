package sock

import (
	"net/netip"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"re6st/hw/fault"
	"re6st/protocols/fabric"
)

// ReadPackets is how many packets one call reads at most. Where the kernel joins what comes
// (UDP_GRO) it is one: several of them were no faster, and memory for each is not small.
const ReadPackets = 32

// mmsghdr is struct mmsghdr of recvmmsg(2) and sendmmsg(2).
type mmsghdr struct {
	header unix.Msghdr
	length uint32
}

// inbox is what one call reads into: of the one reader.
type inbox struct {
	headers  [ReadPackets]mmsghdr
	messages [ReadPackets]message
	oob      [ReadPackets][oobLen]byte
	count    int           // how many there is room for
	got      int           // how many came with the last call
	err      syscall.Errno // of the last call
	singly   bool          // the kernel joins, or has no recvmmsg, or does not allow it
	zones    zones
}

// point makes room for packets, ReadPackets at most.
func (b *inbox) point(packets []Packet) {
	if b.count = min(len(packets), ReadPackets); b.singly {
		b.count = 1
	}
	for i := range packets[:b.count] {
		p := &packets[i]
		b.messages[i].point(p.Data[:cap(p.Data)], b.oob[i][:])
		b.headers[i] = mmsghdr{header: b.messages[i].header}
	}
}

// call is for syscall.RawConn: false where the socket is to be waited for.
func (b *inbox) call(fd uintptr) bool {
	if b.count > 1 {
		for {
			n, _, err := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&b.headers)), uintptr(b.count), 0, 0, 0)
			switch err {
			case unix.EINTR:
				continue
			case unix.ENOSYS, unix.EPERM:
				b.singly, b.count = true, 1
			default:
				b.got, b.err = int(n), err
				return err != unix.EAGAIN
			}
			break
		}
	}
	m := &b.messages[0]
	done := m.call(unix.SYS_RECVMSG, fd)
	b.got, b.err = 1, m.err
	b.headers[0] = mmsghdr{m.header, uint32(m.length)}
	return done
}

// read has the kernel fill packets; n is how many it filled.
func (u *UDP) read(packets []Packet) (n int, err error) {
	if err := u.faults.Check(fault.SockReceive); err != nil {
		return 0, err
	}
	b := &u.in
	b.point(packets)
	err = u.raw.Read(u.receive)
	b.messages[0].err = b.err
	if err = b.messages[0].result("recvmsg", err); err == nil {
		n = u.unpack(packets[:b.got])
	}
	for i := range b.messages[:b.count] {
		b.messages[i].forget()
		b.headers[i] = mmsghdr{}
	}
	return n, err
}

// unpack describes packets that came, those that were whole in front of others.
func (u *UDP) unpack(packets []Packet) (whole int) {
	b, now := &u.in, time.Now()
	for i := range packets {
		h, p := &b.headers[i], &packets[i]
		if h.header.Flags&unix.MSG_TRUNC != 0 {
			u.truncated.Add(1)
			continue
		}
		from := b.messages[i].from(&b.zones, now)
		p.Data, p.Addr = p.Data[:h.length], netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		p.Segment, p.Local, p.Interface, p.TOS, p.Carrier, p.At = 0, netip.Addr{}, 0, 0, fabric.UDP, now
		parseOOB(b.oob[i][:h.header.Controllen], p)
		if u.received.Add(uint64(p.Datagrams())); p.Segment > 0 {
			u.receivedBatches.Add(1)
		}
		packets[whole], packets[i] = packets[i], packets[whole]
		whole++
	}
	return whole
}
