package netlink

import (
	"encoding/binary"
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// answer is the kernel's to the request seq, with its reason behind the request's header,
// or behind the whole request.
func answer(seq uint32, errno unix.Errno, reason string, whole []byte) []byte {
	order := nl.NativeEndian()
	body := make([]byte, 4)
	order.PutUint32(body, uint32(-int32(errno)))
	flags := uint16(unix.NLM_F_CAPPED)
	if whole == nil {
		body = append(body, make([]byte, unix.SizeofNlMsghdr)...)
	} else {
		body, flags = append(body, whole...), 0
	}
	if reason != "" {
		flags |= unix.NLM_F_ACK_TLVS
		body = append(body, nl.NewRtAttr(nl.NLMSGERR_ATTR_MSG, nl.ZeroTerminated(reason)).Serialize()...)
	}
	return append(header(order, unix.NLMSG_ERROR, flags, seq, len(body)), body...)
}

func header(order binary.ByteOrder, kind, flags uint16, seq uint32, body int) []byte {
	b := make([]byte, unix.SizeofNlMsghdr)
	order.PutUint32(b, uint32(len(b)+body))
	order.PutUint16(b[4:], kind)
	order.PutUint16(b[6:], flags)
	order.PutUint32(b[8:], seq)
	return b
}

func TestAnswersFindTheirRequests(t *testing.T) {
	whole := append(header(nl.NativeEndian(), unix.RTM_NEWROUTE, 0, 12, 5), 1, 2, 3, 4, 5, 0, 0, 0)
	waiting := map[uint32]int{10: 0, 11: 1, 12: 2, 13: 3}
	errs := []error{ErrUnanswered, ErrUnanswered, ErrUnanswered, ErrUnanswered}
	datagram := append(answer(11, unix.EINVAL, "Invalid gateway", nil), answer(10, 0, "", nil)...)
	datagram = append(datagram, answer(12, unix.ENODEV, "No such device here", whole)...)
	datagram = append(datagram, answer(99, unix.EPERM, "", nil)...) // of who asked before
	if err := acknowledge(datagram, waiting, errs); err != nil {
		t.Fatal(err)
	}
	if errs[0] != nil || len(waiting) != 1 || !errors.Is(errs[3], ErrUnanswered) {
		t.Errorf("%v, waiting %v", errs, waiting)
	}
	for i, want := range map[int]string{1: "invalid argument: Invalid gateway", 2: "no such device: No such device here"} {
		if errs[i] == nil || errs[i].Error() != want {
			t.Errorf("answer %d is %v, want %s", i, errs[i], want)
		}
	}
	if !errors.Is(errs[1], syscall.EINVAL) {
		t.Error("its number is lost")
	}
}

// FuzzAnswer: no answer makes the decoder panic, and none turns a failure into success.
func FuzzAnswer(f *testing.F) {
	f.Add(uint16(0), answer(1, unix.EINVAL, "why", nil)[unix.SizeofNlMsghdr:])
	f.Add(uint16(unix.NLM_F_CAPPED|unix.NLM_F_ACK_TLVS), answer(1, unix.EINVAL, "why", nil)[unix.SizeofNlMsghdr:])
	f.Add(uint16(unix.NLM_F_ACK_TLVS), answer(1, unix.EINVAL, strings.Repeat("why", 30), make([]byte, 20))[unix.SizeofNlMsghdr:])
	f.Fuzz(func(t *testing.T, flags uint16, b []byte) {
		err := decodeAnswer(flags, b)
		if ok := len(b) >= unix.SizeofNlMsgerr && nl.NativeEndian().Uint32(b) == 0; (err == nil) != ok {
			t.Errorf("%x is %v", b, err)
		}
	})
}
