//go:build linux

package babel_test

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"re6st/protocols/babel"
	"re6st/protocols/rib"
)

// told is one line of what babeld tells of itself: its words by the word before each.
func told(line string) map[string]string {
	words := map[string]string{}
	for fields := strings.Fields(line); len(fields) > 1; fields = fields[1:] {
		words[fields[0]] = fields[1]
	}
	return words
}

// neighborOf is what the babeld with this socket says of its first neighbor; nil: nothing yet.
func neighborOf(t *testing.T, socket string) map[string]string {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil // not there yet
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Write([]byte("dump\nquit\n")); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(answer)) {
		if strings.HasPrefix(line, "add neighbour") {
			return told(line)
		}
	}
	return nil
}

// millis is a number of milliseconds that babeld says; -1 where it says none.
func millis(words map[string]string, name string) float64 {
	ms, err := strconv.ParseFloat(words[name], 64)
	if err != nil {
		return -1
	}
	return ms
}

func TestInteropBabeldMeasuresTheRoundTrip(t *testing.T) {
	a, b := lab(t)
	s := openSpeaker(t, a)
	// What it sends comes late by 60 ms, so each round trip takes that much, and babeld's
	// own packets are not late: a clock that were read too early or too late would show.
	s.delay = 60 * time.Millisecond
	s.cost = babel.LinkCost{Type: babel.Tunnel}
	s.speak(babel.Interface{Multicast: true})
	socket := filepath.Join(t.TempDir(), "babeld")
	babeld(t, b, "local-path "+socket, "interface yx type tunnel hello-interval 1 update-interval 4 rtt-decay 125 rtt-min 10 rtt-max 110 max-rtt-penalty 1000",
		"redistribute local ip fd77::/16 allow", "redistribute local deny")
	theirs := rib.Key{Prefix: netip.MustParsePrefix("fd77::1/128")}
	s.until("route of babeld here", func() bool { return s.hasRoute(theirs) })

	s.until("round trip here", func() bool {
		for _, n := range s.neighbors {
			return n.Status().RTT >= s.delay
		}
		return false
	})
	s.until("round trip there", func() bool { return millis(neighborOf(t, socket), "rtt") >= 60 })
	// Of a first sample babeld doubts half: it comes to the truth later.
	s.until("penalty there, of half the scale", func() bool {
		n := neighborOf(t, socket)
		return millis(n, "rtt") < 100 && millis(n, "rttcost") >= 500 && millis(n, "rttcost") < 1000
	})
	s.until("penalty here", func() bool {
		r, ok := s.table.View().Get(theirs)
		return ok && r.Metric >= 96+5000*50/490
	})
}

func TestInteropBabeldOfDebianReadsOneSubTLVOnly(t *testing.T) {
	a, b := lab(t)
	s := openSpeaker(t, a)
	s.cost = babel.LinkCost{Type: babel.Tunnel}
	s.speak(babel.Interface{Multicast: true})
	var origin babel.Timestamp // of ours that babeld told last
	changed, same := 0, 0
	s.heard = func(t babel.TLV) {
		if ihu, ok := t.(babel.IHU); ok && ihu.Origin != 0 {
			if ihu.Origin != origin {
				changed, same = changed+1, 0
			} else {
				same++
			}
			origin = ihu.Origin
		}
	}
	babeld(t, b, "interface yx type tunnel hello-interval 1 update-interval 4", "redistribute deny")
	s.until("answers to what our Hellos say", func() bool { return changed >= 3 })
	// Padding may stand before the timestamp (RFC 8966 section 4.7.1): this babeld takes the
	// type of the first sub-TLV for that of all, and goes on telling what it read before.
	s.alter = padHellos
	same = 0
	s.until("the same answer again and again", func() bool { return same >= 3 })
	s.alter = nil
	changed = 0
	s.until("answers again", func() bool { return changed >= 2 })
}

func TestInteropBabeldJudgesByTheShareOfHellos(t *testing.T) {
	a, b := lab(t)
	s := openSpeaker(t, a)
	s.cost = babel.LinkCost{Type: babel.Wireless}
	s.speak(babel.Interface{Multicast: true})
	socket := filepath.Join(t.TempDir(), "babeld")
	babeld(t, b, "local-path "+socket, "interface yx type wireless hello-interval 1 update-interval 4", "redistribute deny")
	here := func() (n babel.NeighborStatus) {
		for _, neighbor := range s.neighbors {
			n = neighbor.Status()
		}
		return n
	}
	there := func(name string) float64 { return millis(neighborOf(t, socket), name) }
	near := func(cost float64) bool { return cost >= 256 && cost < 300 }
	s.until("the cost without loss, here and there", func() bool {
		return near(float64(here().Cost)) && near(there("cost")) && near(there("rxcost"))
	})
	// Every other packet of ours is lost: what it costs there to hear us costs us.
	lose := false
	s.alter = func(packet []byte) []byte {
		if lose = !lose; lose {
			return nil
		}
		return packet
	}
	s.until("what it costs when half is lost", func() bool {
		n := here()
		return there("rxcost") > 400 && n.Txcost > 400 && n.Txcost < babel.Infinity && n.Cost >= n.Txcost && n.Rxcost < 300
	})
}

// padHellos puts padding before the timestamps in a packet's Hellos.
func padHellos(packet []byte) []byte {
	out := append([]byte(nil), packet[:4]...)
	for b := packet[4:]; len(b) > 0; {
		tlv := b[:2+int(b[1])]
		b = b[len(tlv):]
		if tlv[0] == 4 && len(tlv) == 14 {
			tlv = slices.Concat([]byte{4, 14}, tlv[2:8], []byte{1, 0}, tlv[8:])
		}
		out = append(out, tlv...)
	}
	binary.BigEndian.PutUint16(out[2:], uint16(len(out)-4))
	return out
}
