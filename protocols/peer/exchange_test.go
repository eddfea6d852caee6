package peer_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/peer"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// link is two Exchanges, and a line between them that loses and repeats.
type link struct {
	t      *testing.T
	now    time.Time
	ends   [2]*peer.Exchange
	heard  [2][]peer.Event
	sent   [2]int // messages, acknowledgements included
	rand   *rand.Rand
	lossy  bool
	broken bool
	line   []frame
}

type frame struct {
	to   int
	body []byte
}

func id(n int) addr.NodeID { return addr.NodeIDFromUint64(uint64(n)) }

func config(t testing.TB, i int) peer.Config {
	prefixes := []string{"5/16", "6/16"}
	return peer.Config{
		Self: id(1 + i), Peer: id(2 - i), PeerPrefix: prefix(t, prefixes[1-i]), Epoch: uint32(100 + i),
		Hello: peer.Hello{
			Prefix: prefix(t, prefixes[i]), Static: [32]byte{byte(i + 1)}, Software: "re6st",
			Endpoints: []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), 326)},
		},
		Observed: netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(2 - i)}), 4000),
		Networks: []netip.Prefix{netip.MustParsePrefix("2001:db8:42::/48")},
	}
}

func newLink(t *testing.T) *link {
	l := &link{t: t, now: epoch, rand: rand.New(rand.NewPCG(1, 1))}
	for i := range l.ends {
		l.ends[i] = peer.New(l.now, config(t, i))
	}
	return l
}

func (l *link) drain() {
	for i, x := range l.ends {
		x.Drain(func(e peer.Event) {
			s, ok := e.(peer.Send)
			if !ok {
				l.heard[i] = append(l.heard[i], e)
				return
			}
			l.sent[i]++
			if l.broken || l.lossy && l.rand.IntN(3) == 0 {
				return
			}
			l.line = append(l.line, frame{1 - i, s.Body})
			if l.lossy && l.rand.IntN(5) == 0 {
				l.line = append(l.line, frame{1 - i, s.Body})
			}
		})
	}
}

// run lets d pass.
func (l *link) run(d time.Duration) {
	l.t.Helper()
	end := l.now.Add(d)
	for range 100000 {
		l.drain()
		if len(l.line) > 0 {
			f := l.line[0]
			l.line = l.line[1:]
			if err := l.ends[f.to].HandleMessage(l.now, f.body); err != nil {
				l.t.Errorf("end %d: %v", f.to, err)
			}
			continue
		}
		next := end
		for _, x := range l.ends {
			if at, ok := x.NextTimeout(); ok && at.Before(next) {
				next = at
			}
		}
		l.now = next
		if !next.Before(end) {
			return
		}
		for _, x := range l.ends {
			x.HandleTimeout(l.now)
		}
	}
	l.t.Fatal("the link does not come to rest")
}

func of[E peer.Event](events []peer.Event) (out []E) {
	for _, e := range events {
		if e, ok := e.(E); ok {
			out = append(out, e)
		}
	}
	return out
}

func others(from, n int) (out []peer.Peer) {
	for i := range n {
		out = append(out, peer.Peer{
			ID: id(from + i), Static: [32]byte{byte(i)}, Age: time.Duration(i) * time.Second,
			Endpoints: []netip.AddrPort{
				netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}), 326),
				netip.AddrPortFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(i)}), 326),
			},
		})
	}
	return out
}

func learned(events []peer.Event) (out []peer.Peer) {
	for _, l := range of[peer.Learned](events) {
		out = append(out, l.Peers...)
	}
	return out
}

func TestLinkUpIntroducesBothAndThenIsSilent(t *testing.T) {
	l := newLink(t)
	l.run(time.Second)
	for i := range 2 {
		hello, seen := of[peer.Introduced](l.heard[i]), of[peer.SeenAt](l.heard[i])
		want := config(t, 1-i)
		if len(hello) != 1 || hello[0].Hello.Static != want.Hello.Static || hello[0].Hello.Software != "re6st" ||
			!slices.Equal(hello[0].Hello.Endpoints, want.Hello.Endpoints) {
			t.Errorf("end %d heard %+v", i, hello)
		}
		if len(seen) != 1 || seen[0].Address != want.Observed {
			t.Errorf("end %d is seen at %v, want %v", i, seen, want.Observed)
		}
	}
	before := l.sent
	l.run(24 * time.Hour)
	if l.sent != before {
		t.Errorf("%v messages in a day without news", l.sent)
	}
}

func TestNothingIsLostOnALossyLink(t *testing.T) {
	l := newLink(t)
	l.lossy = true
	signed := bytes.Repeat([]byte("signed"), 1000)
	l.ends[0].HandleDocument(l.now, peer.Params, 7, signed)
	l.ends[0].HandlePeers(l.now, others(50, 60))
	l.run(10 * time.Minute)
	if n := len(of[peer.Introduced](l.heard[1])); n != 1 {
		t.Errorf("%d introductions, want one", n)
	}
	got := learned(l.heard[1])
	if len(got) != 60 {
		t.Errorf("%d peers, want 60", len(got))
	}
	for i, p := range got {
		if p.ID != id(50+i) {
			t.Fatalf("peer %d is %s: not in order", i, p.ID)
		}
	}
	p := of[peer.Received](l.heard[1])
	if len(p) != 1 || p[0].Number != 7 || !bytes.Equal(p[0].Signed, signed) {
		t.Errorf("%d times parameters", len(p))
	}
}

func TestOnlyNewsIsTold(t *testing.T) {
	l := newLink(t)
	list := others(50, 3)
	l.ends[0].HandlePeers(l.now, list)
	l.run(10 * time.Second)
	l.heard[1] = nil
	list = others(50, 4)
	list[1].Endpoints = list[1].Endpoints[:1]
	slices.Reverse(list[0].Endpoints)
	list[2].Age = time.Hour
	l.ends[0].HandlePeers(l.now, list)
	l.run(10 * time.Second)
	got := learned(l.heard[1])
	if len(got) != 2 || got[0].ID != id(51) || got[1].ID != id(53) {
		t.Errorf("told %v, want the changed 51 and the new 53", got)
	}
}

func TestNewsIsNotEchoed(t *testing.T) {
	l := newLink(t)
	l.ends[0].HandlePeers(l.now, others(50, 5))
	l.run(time.Second)
	l.ends[1].HandlePeers(l.now, learned(l.heard[1]))
	l.run(10 * time.Second)
	if got := learned(l.heard[0]); len(got) != 0 {
		t.Errorf("told back %v", got)
	}
}

func TestNewsIsHeldTogether(t *testing.T) {
	l := newLink(t)
	l.run(time.Second)
	l.ends[0].HandlePeers(l.now, others(50, 1))
	l.run(10 * time.Millisecond)
	before := len(of[peer.Learned](l.heard[1]))
	for i := range 10 {
		l.ends[0].HandlePeers(l.now, others(50, 2+i))
		l.run(10 * time.Millisecond)
	}
	l.run(peer.PeersHold)
	if n := len(of[peer.Learned](l.heard[1])); before != 1 || n != 2 {
		t.Errorf("%d and %d lists, want the first at once and the rest in one", before, n)
	}
	if n := len(learned(l.heard[1])); n != 11 {
		t.Errorf("%d peers, want 11", n)
	}
}

func TestNeitherEndNorUselessPeersAreTold(t *testing.T) {
	l := newLink(t)
	list := others(1, 5) // ids 1 and 2 are the ends
	list[3].Endpoints = []netip.AddrPort{at("[2001:db8:42::1]:326"), at("127.0.0.1:1")}
	l.ends[0].HandlePeers(l.now, append(list, others(100, 500)...))
	l.run(time.Minute)
	got := learned(l.heard[1])
	if len(got) != peer.MaxTold || got[0].ID != id(3) || got[1].ID != id(5) {
		t.Errorf("told %d, first %v and %v, want %d from 3 and 5 on", len(got), got[0].ID, got[1].ID, peer.MaxTold)
	}
}

func TestParamsGoToTheOneThatHasOlder(t *testing.T) {
	for _, size := range []int{1, peer.ChunkLen, peer.ChunkLen + 1, peer.Params.MaxDocument()} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			l := newLink(t)
			l.ends[0].HandleDocument(l.now, peer.Params, 3, []byte("old"))
			l.ends[1].HandleDocument(l.now, peer.Params, 3, []byte("old"))
			l.run(time.Second)
			news := bytes.Repeat([]byte{9}, size)
			l.ends[1].HandleDocument(l.now, peer.Params, 4, news)
			l.run(time.Second)
			if n := len(of[peer.Received](l.heard[1])); n != 0 {
				t.Errorf("the newer end received %d", n)
			}
			got := of[peer.Received](l.heard[0])
			if len(got) != 1 || got[0].Number != 4 || !bytes.Equal(got[0].Signed, news) {
				t.Fatalf("received %d times", len(got))
			}
			before := l.sent
			l.ends[0].HandleDocument(l.now, peer.Params, 4, got[0].Signed)
			l.run(time.Minute)
			if l.sent != before {
				t.Error("what the peer sent is offered to it")
			}
		})
	}
}

func TestParamsThatCameAnotherWayAreNotFetchedOn(t *testing.T) {
	l := newLink(t)
	l.ends[0].HandleDocument(l.now, peer.Params, 4, make([]byte, peer.Params.MaxDocument()))
	for range 5 { // until a few chunks have arrived
		l.drain()
		line := l.line
		l.line = nil
		for _, f := range line {
			if err := l.ends[f.to].HandleMessage(l.now, f.body); err != nil {
				t.Fatal(err)
			}
		}
	}
	l.ends[1].HandleDocument(l.now, peer.Params, 4, make([]byte, peer.Params.MaxDocument()))
	l.run(time.Minute)
	if n := len(of[peer.Received](l.heard[1])); n != 0 {
		t.Errorf("received %d times", n)
	}
	if l.sent[0] > 15 {
		t.Errorf("%d messages, though the other end had all", l.sent[0])
	}
}

func TestPeerThatBeginsAnewIsToldAllAgain(t *testing.T) {
	l := newLink(t)
	l.ends[0].HandlePeers(l.now, others(50, 3))
	l.ends[0].HandleDocument(l.now, peer.Params, 2, []byte("signed"))
	l.run(time.Second)
	l.heard[1] = nil
	again := config(t, 1)
	again.Epoch = 999
	l.ends[1] = peer.New(l.now, again)
	l.run(time.Minute)
	if len(of[peer.Introduced](l.heard[1])) != 1 || len(of[peer.SeenAt](l.heard[1])) != 1 ||
		len(learned(l.heard[1])) != 3 || len(of[peer.Received](l.heard[1])) != 1 {
		t.Errorf("heard only %v", l.heard[1])
	}
}

func TestUnansweredMessageIsRepeatedAFewTimes(t *testing.T) {
	l := newLink(t)
	l.broken = true
	l.run(time.Hour)
	if want := 2 * peer.MaxTries; l.sent[0] != want { // the hello and the observed address
		t.Errorf("%d messages into silence, want %d", l.sent[0], want)
	}
}

func TestGoodbyeArrives(t *testing.T) {
	l := newLink(t)
	l.run(time.Second)
	l.ends[0].HandleGoodbye(l.now, peer.Draining)
	l.run(time.Second)
	l.ends[0].HandleGoodbye(l.now, peer.Keeping)
	l.run(time.Second)
	if got := of[peer.Parting](l.heard[1]); len(got) != 2 || got[0].Reason != peer.Draining || got[1].Reason != peer.Keeping {
		t.Errorf("heard %v", got)
	}
}

func TestChangedSelfAndObservationAreTold(t *testing.T) {
	l := newLink(t)
	l.run(time.Second)
	h := config(t, 0).Hello
	h.Endpoints = []netip.AddrPort{at("[::ffff:192.0.2.77]:326"), at("192.0.2.77:326"), at("127.0.0.1:9")}
	l.ends[0].HandleSelf(l.now, h)
	l.ends[0].HandleObserved(l.now, at("203.0.113.9:9"))
	l.ends[0].HandleObserved(l.now, at("203.0.113.9:9"))
	l.run(time.Second)
	hello, seen := of[peer.Introduced](l.heard[1]), of[peer.SeenAt](l.heard[1])
	if len(hello) != 2 || !slices.Equal(hello[1].Hello.Endpoints, []netip.AddrPort{at("192.0.2.77:326")}) {
		t.Errorf("introduced %v", hello)
	}
	if len(seen) != 2 || seen[1].Address != at("203.0.113.9:9") {
		t.Errorf("seen at %v", seen)
	}
}

func message(t *testing.T, sequence int, m peer.Message) []byte {
	t.Helper()
	b, err := peer.Append(nil, peer.Header{Epoch: 5, Sequence: uint32(sequence)}, m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestHelloThatContradictsTheCertificateIsAnError(t *testing.T) {
	x := peer.New(epoch, config(t, 0))
	err := x.HandleMessage(epoch, message(t, 1, peer.Hello{Prefix: prefix(t, "7/16"), Static: [32]byte{1}}))
	if !errors.Is(err, peer.ErrContradiction) {
		t.Errorf("%v", err)
	}
}

func TestFloodOfPeersIsHeldBack(t *testing.T) {
	x := peer.New(epoch, config(t, 0))
	var err error
	n := 0
	for ; err == nil && n < 1000; n++ {
		err = x.HandleMessage(epoch, message(t, n+1, peer.List{Peers: others(50+n, 1)}))
	}
	if !errors.Is(err, peer.ErrFlood) || n != peer.MaxBurst+1 {
		t.Fatalf("%v after %d peers", err, n)
	}
	x.Drain(func(peer.Event) {})
	again := message(t, n, peer.List{Peers: others(50+n, 1)})
	if err := x.HandleMessage(epoch.Add(time.Second), again); err != nil {
		t.Errorf("the repetition after a second: %v", err)
	}
	acks := 0
	x.Drain(func(e peer.Event) {
		if _, ok := e.(peer.Send); ok {
			acks++
		}
	})
	if acks != 1 {
		t.Errorf("%d acknowledgements of the repetition, want one", acks)
	}
}

func TestPeersAreHeardAtTheirRate(t *testing.T) {
	x := peer.New(epoch, config(t, 0))
	heard := 0
	const seconds = 100
	for n := range seconds * 10 * peer.HeardRate { // ten times as fast as they may come
		now := epoch.Add(time.Duration(n) * time.Second / (10 * peer.HeardRate))
		if x.HandleMessage(now, message(t, heard+1, peer.List{Peers: others(50+n, 1)})) == nil {
			heard++
		}
	}
	if want := peer.MaxBurst + seconds*peer.HeardRate; heard < want-2 || heard > want+2 {
		t.Errorf("%d peers heard in %d s, want %d", heard, seconds, want)
	}
}

// What is forgotten is told again: so it shows how much is kept in mind.
func TestPeersThatANeighborKnowsAreKeptInMindUpToALimit(t *testing.T) {
	x := peer.New(epoch, config(t, 0))
	now := epoch
	isTold := func(p peer.Peer) bool {
		now = now.Add(time.Hour)
		x.HandlePeers(now, []peer.Peer{p})
		for {
			at, ok := x.NextTimeout()
			if !ok {
				break
			}
			now = at
			x.HandleTimeout(now)
		}
		told := false
		x.Drain(func(e peer.Event) {
			if s, ok := e.(peer.Send); ok {
				if _, m, err := peer.Decode(s.Body); err == nil {
					_, isList := m.(peer.List)
					told = told || isList
				}
			}
		})
		return told
	}
	first := others(50, 1)[0]
	for n := range peer.MaxNoted {
		if n == peer.MaxNoted-1 && isTold(first) {
			t.Errorf("told again what the neighbor said, after %d peers", n)
		}
		now = now.Add(time.Second / peer.HeardRate)
		if err := x.HandleMessage(now, message(t, n+1, peer.List{Peers: others(50+n, 1)})); err != nil {
			t.Fatal(err)
		}
	}
	if err := x.HandleMessage(now.Add(time.Second), message(t, peer.MaxNoted+1, peer.List{Peers: others(50+peer.MaxNoted, 1)})); err != nil {
		t.Fatal(err)
	}
	if now = now.Add(time.Second); !isTold(first) {
		t.Errorf("more than %d peers are kept in mind", peer.MaxNoted)
	}
}

func TestPeersEndpointsAreChecked(t *testing.T) {
	x := peer.New(epoch, config(t, 0))
	list := others(50, 2)
	list[0].Endpoints = []netip.AddrPort{at("127.0.0.1:1"), at("[2001:db8:42::5]:1")}
	list[1].Endpoints = []netip.AddrPort{at("[ff02::1]:1"), at("192.0.2.9:1")}
	if err := x.HandleMessage(epoch, message(t, 1, peer.List{Peers: list})); err != nil {
		t.Fatal(err)
	}
	var got []peer.Event
	x.Drain(func(e peer.Event) { got = append(got, e) })
	if l := learned(got); len(l) != 1 || l[0].ID != id(51) || !slices.Equal(l[0].Endpoints, list[1].Endpoints[1:]) {
		t.Errorf("learned %v", l)
	}
	if err := x.HandleMessage(epoch, message(t, 2, peer.ObservedAddress{Address: at("[::1]:1")})); !errors.Is(err, peer.ErrEndpoint) {
		t.Errorf("seen at loopback: %v", err)
	}
}

func TestLinkLocalUnderlayIsNotToldAsAnAddress(t *testing.T) {
	c := config(t, 0)
	c.Observed = at("[fe80::1%2]:326")
	c.Observed = netip.AddrPortFrom(c.Observed.Addr().WithZone(""), 326)
	x := peer.New(epoch, c)
	var sent []peer.Message
	for i := range 4 {
		x.Drain(func(e peer.Event) {
			if s, ok := e.(peer.Send); ok {
				h, m, err := peer.Decode(s.Body)
				if err != nil {
					t.Fatal(err)
				}
				sent = append(sent, m)
				ack, _ := peer.Append(nil, h, peer.Ack{})
				if err := x.HandleMessage(epoch.Add(time.Duration(i)), ack); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	if len(sent) != 1 {
		t.Errorf("sent %v, want the hello alone", sent)
	}
}

func TestWhatIsSaidOfClaimsArrivesOnce(t *testing.T) {
	l := newLink(t)
	l.lossy = true
	const messages = 100
	for said := range messages {
		for !l.ends[0].Idle() {
			l.run(10 * time.Millisecond)
		}
		l.ends[0].HandleClaims(l.now, []byte{byte(said)})
	}
	l.run(time.Minute)
	times := map[byte]int{}
	for _, c := range of[peer.ClaimsHeard](l.heard[1]) {
		if times[c.Body[0]]++; times[c.Body[0]] > 1 {
			t.Errorf("message %d arrived again", c.Body[0])
		}
	}
	if len(times) != messages {
		t.Errorf("%d of %d arrived", len(times), messages)
	}
}

// A node of before there were claims takes what is said of them for an unknown message.
func TestWhatIsSaidOfATunnelLastArrives(t *testing.T) {
	l := newLink(t)
	l.run(time.Second)
	for said := range byte(5) {
		l.ends[0].HandleTunnel(l.now, []byte{said})
	}
	l.run(time.Second)
	heard := of[peer.TunnelHeard](l.heard[1])
	if n := len(heard); n == 0 || n == 5 || heard[n-1].Body[0] != 4 {
		t.Fatalf("the other end heard %v", heard)
	}
	anew, err := peer.Append(nil, peer.Header{Epoch: 99, Sequence: 1}, peer.List{})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.ends[0].HandleMessage(l.now, anew); err != nil { // the other end begins anew
		t.Fatal(err)
	}
	l.run(time.Second)
	if again := of[peer.TunnelHeard](l.heard[1]); len(again) != len(heard)+1 {
		t.Errorf("it is told once more: %v", again)
	}
}

func TestMessagesOfNewerNodesAreAcknowledgedAndIgnored(t *testing.T) {
	x := peer.New(epoch, config(t, 0))
	x.Drain(func(peer.Event) {})                                          // its hello
	body := append(message(t, 1, peer.Unknown{Type: 99}), 77, 0, 2, 1, 2) // with a TLV that is not known either
	if err := x.HandleMessage(epoch, body); err != nil {
		t.Fatal(err)
	}
	answers := 0
	x.Drain(func(e peer.Event) {
		s, ok := e.(peer.Send)
		if !ok {
			t.Errorf("heard %#v", e)
			return
		}
		if _, m, err := peer.Decode(s.Body); err != nil || m != (peer.Ack{}) {
			t.Errorf("answered %#v, %v", m, err)
		}
		answers++
	})
	if answers != 1 {
		t.Errorf("%d answers", answers)
	}
}
