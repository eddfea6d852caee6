package netlink

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// batchLen is how many requests go to the kernel in one datagram. It answers each of them
// before it returns from sendmsg, so that all answers have to fit the socket's receive
// buffer: of the usual 212,992 bytes an answer takes less than a thousand.
const batchLen = 128

// executeAll has the kernel carry out requests in their order, a batch at a time, and
// returns the error of each, nil where it was acknowledged. It goes on after a failure.
func (c *Conn) executeAll(requests []*nl.NetlinkRequest) []error {
	errs := make([]error, len(requests))
	for from := 0; from < len(requests); from += batchLen {
		to := min(from+batchLen, len(requests))
		c.executeBatch(requests[from:to], errs[from:to])
	}
	return errs
}

func (c *Conn) executeBatch(requests []*nl.NetlinkRequest, errs []error) {
	waiting := make(map[uint32]int, len(requests)) // index by sequence number
	var datagram []byte
	for i, r := range requests {
		r.Flags |= unix.NLM_F_ACK
		datagram = append(datagram, r.Serialize()...)
		waiting[r.Seq], errs[i] = i, ErrUnanswered
	}
	fd := c.sockets[unix.NETLINK_ROUTE].Socket.GetFd()
	err := unix.Sendto(fd, datagram, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	buffer := make([]byte, nl.RECEIVE_BUFFER_SIZE)
	for len(waiting) > 0 && err == nil {
		var n int
		// Not waited for: what is not there by now was lost.
		n, _, err = unix.Recvfrom(fd, buffer, unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.ENOBUFS): // some were lost, others are there
			err = nil
		case err == nil:
			err = acknowledge(buffer[:n], waiting, errs)
		}
	}
	if err == nil || errors.Is(err, unix.EAGAIN) {
		return
	}
	for _, i := range waiting {
		errs[i] = err
	}
}

// acknowledge takes the answers of one datagram for the requests that wait for them.
func acknowledge(datagram []byte, waiting map[uint32]int, errs []error) error {
	messages, err := syscall.ParseNetlinkMessage(datagram)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMessage, err)
	}
	for _, m := range messages {
		if i, ok := waiting[m.Header.Seq]; ok && m.Header.Type == unix.NLMSG_ERROR {
			delete(waiting, m.Header.Seq)
			errs[i] = decodeAnswer(m.Header.Flags, m.Data)
		}
	}
	return nil
}

// decodeAnswer is what an NLMSG_ERROR says, with the kernel's reason where it gives one.
func decodeAnswer(flags uint16, b []byte) error {
	if len(b) < unix.SizeofNlMsgerr {
		return fmt.Errorf("%w: answer of %d bytes", ErrMessage, len(b))
	}
	errno := int32(nl.NativeEndian().Uint32(b))
	if errno == 0 {
		return nil
	}
	err := error(syscall.Errno(-errno))
	asked := unix.SizeofNlMsghdr
	if flags&unix.NLM_F_CAPPED == 0 { // the request comes back whole
		asked = int(nl.NativeEndian().Uint32(b[4:]))
	}
	if flags&unix.NLM_F_ACK_TLVS == 0 || asked < unix.SizeofNlMsghdr || asked > len(b)-4 {
		return err
	}
	reason := ""
	_ = attributes(b[min(4+(asked+3)&^3, len(b)):], func(kind uint16, value []byte) error { // without one the number has to do
		if kind == nl.NLMSGERR_ATTR_MSG {
			reason = unix.ByteSliceToString(value)
		}
		return nil
	})
	if reason != "" {
		return fmt.Errorf("%w: %s", err, reason)
	}
	return err
}
