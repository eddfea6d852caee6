package lab

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"re6st/actors/monitor"
)

// tap is a capture of all that passes the interfaces of a node, until the lab ends.
type tap struct {
	fd      int
	self    []netip.Prefix
	pairOf  func(train uint32) (Pair, bool)
	name    string
	relayed uint64 // by the node, before

	mu   sync.Mutex
	seen tapCounts
}

// tapCounts is what a tap has seen. Own is the proof that it sees what is there to see.
type tapCounts struct {
	frames  int // in all
	own     int // echoes in the clear of which the node is one end
	others  int // echoes in the clear of which it is none
	foreign int // packets on its TUN of which it is neither end
	lost    int // that the tap itself missed
}

const (
	tapBuffer   = 16 << 20               // bytes that wait for the tap
	tapPatience = 100 * time.Millisecond // between two looks whether the lab ends
)

// openTap begins to capture at a node.
func (l *Lab) openTap(ctx context.Context, m *member) (*tap, error) {
	own, err := l.ownClaim(ctx, m)
	if err != nil {
		return nil, err
	}
	t := &tap{name: m.name, pairOf: l.prober.pairOf}
	for _, p := range own.Prefixes {
		t.self = append(t.self, p.Prefix)
	}
	if t.relayed, err = l.relayed(ctx, m); err != nil {
		return nil, err
	}
	err = m.ns.Do(func() (err error) {
		t.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(htons(unix.ETH_P_ALL)))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("lab: tap of %s: %w", m.name, err)
	}
	wait := unix.NsecToTimeval(int64(tapPatience))
	if err := errors.Join(unix.SetsockoptInt(t.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, tapBuffer),
		unix.SetsockoptTimeval(t.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait)); err != nil {
		unix.Close(t.fd)
		return nil, fmt.Errorf("lab: tap of %s: %w", m.name, err)
	}
	return t, nil
}

func htons(v uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return binary.NativeEndian.Uint16(b[:])
}

// run counts until ctx ends.
func (t *tap) run(ctx context.Context) {
	defer unix.Close(t.fd)
	frame := make([]byte, 1<<16)
	for ctx.Err() == nil {
		n, from, err := unix.Recvfrom(t.fd, frame, 0)
		if err != nil {
			if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) || errors.Is(err, unix.ENETDOWN) {
				continue // nothing came; or a TUN went with its node
			}
			return
		}
		link, ok := from.(*unix.SockaddrLinklayer)
		t.count(frame[:n], ok && link.Hatype == unix.ARPHRD_NONE)
	}
}

// count takes one frame, from a TUN or from another interface.
func (t *tap) count(frame []byte, tun bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seen.frames++
	for _, train := range echoesIn(frame) {
		pair, ok := t.pairOf(train)
		switch {
		case !ok:
		case pair.From == t.name || pair.To == t.name:
			t.seen.own++
		default:
			t.seen.others++
		}
	}
	if tun && t.isForeign(frame) {
		t.seen.foreign++
	}
}

// echoesIn are the trains of the echoes of ours whose data is in a frame as it is.
func echoesIn(frame []byte) (trains []uint32) {
	magic := binary.BigEndian.AppendUint32(nil, echoMagic)
	for {
		at := bytes.Index(frame, magic)
		if at < 0 || len(frame) < at+8 {
			return trains
		}
		trains = append(trains, binary.BigEndian.Uint32(frame[at+4:]))
		frame = frame[at+8:]
	}
}

// isForeign tells whether an IPv6 packet is between others.
func (t *tap) isForeign(packet []byte) bool {
	const header = 40
	if len(packet) < header || packet[0]>>4 != 6 {
		return false
	}
	for _, at := range []int{8, 24} {
		a, _ := netip.AddrFromSlice(packet[at : at+16])
		if !a.IsGlobalUnicast() || a.IsLinkLocalUnicast() {
			return false
		}
		for _, p := range t.self {
			if p.Bits() > 0 && p.Contains(a) {
				return false
			}
		}
	}
	return true
}

// look is what it has seen so far.
func (t *tap) look() (tapCounts, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	// Reading sets the kernel's counter back.
	stats, err := unix.GetsockoptTpacketStats(t.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return t.seen, fmt.Errorf("lab: tap of %s: %w", t.name, err)
	}
	t.seen.lost += int(stats.Drops)
	return t.seen, nil
}

// relayed is how many frames a running node has passed on.
func (l *Lab) relayed(ctx context.Context, m *member) (uint64, error) {
	var s monitor.Status
	if err := monitor.NewClient(l.program.socket(m.dir)).Get(ctx, "status", &s); err != nil {
		return 0, fmt.Errorf("lab: %s: %w", m.name, err)
	}
	return s.Relayed.Packets, nil
}

// TapExpect is what a tap must have seen.
type TapExpect struct {
	Of      string // a node
	Relayed uint64 // it has passed on more frames than that since the tap began; else it has read nothing
	reads   bool
}

// parseTapExpect reads `tap n4 reads nothing` or `tap n4 relayed > 100`.
func parseTapExpect(words []string) (e TapExpect, err error) {
	const usage = "write: expect tap n4 reads nothing, or expect tap n4 relayed > 100"
	switch {
	case len(words) == 4 && words[2] == "reads" && words[3] == "nothing":
		e.reads = true
	case len(words) == 5 && words[2] == "relayed" && words[3] == ">":
		if e.Relayed, err = strconv.ParseUint(words[4], 10, 32); err != nil {
			return e, fmt.Errorf("%q is no number of frames; %s", words[4], usage)
		}
	default:
		return e, fmt.Errorf("cannot expect that of a tap; %s", usage)
	}
	e.Of = words[1]
	return e, checkNode(e.Of, usage)
}

func (e *TapExpect) names() []string { return []string{e.Of} }

// String gives the expectation as it is written.
func (e *TapExpect) String() string {
	if e.reads {
		return fmt.Sprintf("expect tap %s reads nothing", e.Of)
	}
	return fmt.Sprintf("expect tap %s relayed > %d", e.Of, e.Relayed)
}

func (e *TapExpect) meet(ctx context.Context, r *rehearsal, report *StepReport) error {
	t := r.taps[e.Of]
	if t == nil {
		return fmt.Errorf("%w: nothing is captured at %s; write before it: tap %[2]s", ErrState, e.Of)
	}
	if !e.reads {
		now, err := r.lab.relayed(ctx, r.lab.members[e.Of])
		if err != nil {
			return err
		}
		since := now - min(now, t.relayed)
		report.OK, report.Saw = since > e.Relayed, fmt.Sprintf("it has passed on %d frames", since)
		return nil
	}
	if err := r.until(ctx, r.prober.now()+echoGrace); err != nil {
		return err
	}
	seen, err := t.look()
	if err != nil {
		return err
	}
	report.OK = seen.foreign == 0 && seen.others == 0 && seen.own > 0 && seen.lost == 0
	report.Saw = fmt.Sprintf("of %d frames on all its interfaces %d on its TUN are between others, %d carry an echo of others in the clear, %d one of its own",
		seen.frames, seen.foreign, seen.others, seen.own)
	switch {
	case seen.own == 0:
		report.Saw += ": a tap that does not see these proves nothing; write before it: ping " + e.Of + " n1 every 100ms"
	case seen.lost > 0:
		report.Saw += fmt.Sprintf(": it missed %d frames", seen.lost)
	}
	return nil
}
