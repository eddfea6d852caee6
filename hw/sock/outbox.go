package sock

import (
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"re6st/hw/fault"
)

// outbox is what one call writes: datagrams for one address.
type outbox struct {
	message // with what all have in common
	headers [MaxSegments]mmsghdr
	vectors [MaxSegments]unix.Iovec
	count   int
	sent    int
	err     syscall.Errno
	send    func(fd uintptr) bool
}

var outboxes = sync.Pool{New: func() any {
	b := &outbox{}
	b.send = b.call
	return b
}}

// call is for syscall.RawConn: false where the socket is to be waited for.
func (b *outbox) call(fd uintptr) bool {
	for {
		n, _, err := unix.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&b.headers)), uintptr(b.count), 0, 0, 0)
		if err != unix.EINTR {
			b.sent, b.err = int(n), err
			return err != unix.EAGAIN
		}
	}
}

// load takes the datagrams of a packet, MaxSegments at most.
func (b *outbox) load(p *Packet) {
	b.count = 0
	for rest := p.Data; len(rest) > 0 && b.count < len(b.headers); b.count++ {
		one := rest[:min(p.Segment, len(rest))]
		rest = rest[len(one):]
		v, h := &b.vectors[b.count], &b.headers[b.count].header
		v.Base = &one[0]
		v.SetLen(len(one))
		*h = b.header
		h.Iov = v
		h.SetIovlen(1)
	}
}

// forget lets go of the packet.
func (b *outbox) forget() {
	b.message.forget()
	clear(b.headers[:b.count])
	clear(b.vectors[:b.count])
}

// writeTogether sends the datagrams of a packet by one call (sendmmsg), and tells how many
// the kernel took before one that it did not. That one's error is not told, unless err is.
func (u *UDP) writeTogether(p *Packet, oob *[oobLen]byte) (sent int, err error) {
	if u.noTogether.Load() {
		return 0, nil
	}
	if err := u.faults.Check(fault.SockSend); err != nil {
		return 0, err
	}
	b := outboxes.Get().(*outbox)
	defer outboxes.Put(b)
	b.message.point(nil, putOOB(oob, &Packet{Addr: p.Addr, Local: p.Local, Interface: p.Interface, TOS: p.TOS}))
	defer b.forget()
	if !b.aim(p.Addr, u.six, &u.scopes) {
		return 0, nil
	}
	b.load(p)
	if err := u.raw.Write(b.send); err != nil {
		return 0, err
	}
	if b.err != 0 {
		if b.err == unix.ENOSYS {
			u.noTogether.Store(true)
		}
		return 0, nil
	}
	u.sent.Add(uint64(b.sent))
	return b.sent, nil
}
