//go:build linux

package babel_test

import (
	"bytes"
	"encoding/binary"
	"math/rand"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"re6st/protocols/babel"
)

// recording is packets as a capture file has them: from IPv6 on.
type recording struct{ bytes.Buffer }

const linktypeIPv6 = 229

func newRecording() *recording {
	r := &recording{}
	for _, v := range []any{uint32(0xa1b2c3d4), uint16(2), uint16(4), uint32(0), uint32(0), uint32(65535), uint32(linktypeIPv6)} {
		r.put(v)
	}
	return r
}

func (r *recording) put(v any) {
	if err := binary.Write(r, binary.LittleEndian, v); err != nil {
		panic(err) // a buffer takes all
	}
}

// add is a packet of Babel between two routers.
func (r *recording) add(from, to netip.Addr, packet []byte) {
	udp := binary.BigEndian.AppendUint16(nil, babel.Port)
	udp = binary.BigEndian.AppendUint16(udp, babel.Port)
	udp = binary.BigEndian.AppendUint16(udp, uint16(8+len(packet)))
	udp = append(append(udp, 0, 0), packet...)
	addresses := append(from.AsSlice(), to.AsSlice()...)
	binary.BigEndian.PutUint16(udp[6:], checksum(append(append(addresses, 0, 0, byte(len(udp)>>8), byte(len(udp)), 0, 0, 0, 17), udp...)))
	ip := append([]byte{0x6c, 0, 0, 0, byte(len(udp) >> 8), byte(len(udp)), 17, 1}, addresses...)
	for _, v := range []uint32{1_800_000_000, 0, uint32(len(ip) + len(udp)), uint32(len(ip) + len(udp))} {
		r.put(v)
	}
	r.Write(ip)
	r.Write(udp)
}

func checksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// read has tshark take the recording apart, and returns the types of the TLVs that it
// found in each packet.
func (r *recording) read(t *testing.T) (packets [][]string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "babel.pcap")
	if err := os.WriteFile(file, r.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	tshark := func(args ...string) string {
		t.Helper()
		out, err := exec.Command("tshark", append([]string{"-n", "-o", "udp.check_checksum:TRUE", "-r", file}, args...)...).Output()
		if err != nil {
			t.Fatalf("tshark %s: %v", args, err)
		}
		return string(out)
	}
	if bad := tshark("-V", "-Y", "_ws.malformed || _ws.expert.severity >= 0x600000"); bad != "" { // a warning, or worse
		t.Errorf("tshark does not understand:\n%s", bad[:min(len(bad), 4000)])
	}
	for line := range strings.Lines(tshark("-Y", "babel", "-T", "fields", "-e", "babel.message.type")) {
		packets = append(packets, strings.Split(strings.TrimSpace(line), ","))
	}
	return packets
}

func needTshark(t *testing.T) {
	if _, err := exec.LookPath("tshark"); err != nil {
		t.Skip("needs tshark: ", err)
	}
}

// finds fails the test where a type of TLV is in none of the packets.
func finds(t *testing.T, packets [][]string, types ...string) {
	t.Helper()
	for _, typ := range types {
		if !slices.ContainsFunc(packets, func(p []string) bool { return slices.Contains(p, typ) }) {
			t.Errorf("no TLV of type %s among %d packets", typ, len(packets))
		}
	}
}

func TestTsharkFindsABadPacket(t *testing.T) {
	needTshark(t)
	r := newRecording()
	r.add(selfLL, babel.Group, plain)
	r.add(selfLL, babel.Group, append([]byte{42, 2, 0, 8, 4, 9}, plain[6:]...)) // a TLV longer than the packet
	file := filepath.Join(t.TempDir(), "babel.pcap")
	if err := os.WriteFile(file, r.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("tshark", "-n", "-r", file, "-Y", "_ws.malformed || _ws.expert.severity >= 0x600000", "-T", "fields", "-e", "frame.number").Output()
	if err != nil || strings.TrimSpace(string(out)) != "2" {
		t.Errorf("bad are the packets %q, %v", out, err)
	}
}

// everyTLV is all that a Router may send, and more than once.
func everyTLV(fabric bool) []babel.TLV {
	return append(randomTLVs(rand.New(rand.NewSource(7)), 300, fabric), babel.AckRequest{Opaque: 5, Interval: time.Second}, babel.Ack{Opaque: 5},
		babel.Update{Metric: babel.Infinity, Interval: time.Second}, babel.RouteRequest{}, babel.Hello{Seqno: 9}, babel.IHU{Rxcost: 96, Interval: time.Second})
}

func TestTsharkReadsAllThatLeavesByAKernelInterface(t *testing.T) {
	needTshark(t)
	r, n := newRecording(), 0
	p := newMACPair(t)
	p.peer = newAuthenticator(t, 2, peerLL, oldKey, newKey)
	for i, packet := range (babel.Encoder{From: peerLL, Max: babel.DefaultPacket - babel.MACOverhead}).Encode(everyTLV(false)) {
		if i == 0 { // the challenge, and with the reply another
			challenge := p.self.Open(p.now, p.hello(), peerLL, babel.Group).Answer
			r.add(selfLL, peerLL, challenge)
			r.add(peerLL, selfLL, p.peer.Open(p.now, challenge, selfLL, peerLL).Answer)
			n += 2
		}
		r.add(peerLL, babel.Group, packet)
		r.add(peerLL, babel.Group, p.peer.Seal(packet, netip.Addr{}))
		r.add(peerLL, selfLL, p.peer.Seal(packet, selfLL))
		n += 3
	}
	packets := r.read(t)
	if len(packets) != n {
		t.Errorf("tshark found %d packets of %d", len(packets), n)
	}
	finds(t, packets, "2", "3", "4", "5", "6", "7", "8", "9", "10", "17", "18", "19")
}

func TestTsharkReadsWhatIsSaidOverTheFabric(t *testing.T) {
	needTshark(t)
	r, n := newRecording(), 0
	for _, packet := range (babel.Encoder{From: peerLL, Fabric: true, Max: babel.DefaultPacket}).Encode(everyTLV(true)) {
		r.add(peerLL, selfLL, packet)
		n++
	}
	packets := r.read(t)
	if len(packets) != n {
		t.Errorf("tshark found %d packets of %d", len(packets), n)
	}
	finds(t, packets, "2", "3", "4", "5", "6", "8", "9", "10")
}

// Both sides of a real conversation: source-specific routes, timestamps, MACs.
func TestTsharkReadsAConversation(t *testing.T) {
	needTshark(t)
	text := babel.MACKey{ID: "text", Algorithm: babel.HMACSHA256, Value: []byte("a text, as BIRD has it")}
	for name, with := range map[string]func(t *testing.T, ns string){
		"babeld": func(t *testing.T, ns string) { keyedBabeld(t, ns, "enable-timestamps true", text) },
		"bird":   func(t *testing.T, ns string) { bird(t, ns, "hmac sha256", string(text.Value)) },
	} {
		t.Run(name, func(t *testing.T) {
			a, b := labWith(t, name)
			r, n := newRecording(), 0
			record := func(from, to netip.Addr, packet []byte) { r.add(from, to, packet); n++ }
			s := keyedRecorded(t, a, record, text)
			with(t, b)
			protocol := strings.NewReplacer("babeld", "babel").Replace(name)
			s.whole(b, protocol)
			s.router.Retract(time.Now())
			s.until("end of our routes there", func() bool { return !strings.Contains(kernelOf(t, b, protocol), "via "+s.local.String()) })
			packets := r.read(t)
			if len(packets) != n {
				t.Errorf("tshark found %d packets of %d", len(packets), n)
			}
			finds(t, packets, "4", "5", "6", "8", "9", "17", "18", "19")
		})
	}
}
