package lab

import (
	"net/netip"
	"os"
	"testing"
	"time"
)

const ms = time.Millisecond

// trainOf makes a train with an echo each 10 ms, answered 1 ms later where the
// pattern has a '.', lost where it has an 'x'.
func trainOf(pattern string) *train {
	t := &train{}
	for i, c := range pattern {
		sent := time.Duration(i) * 10 * ms
		n := t.next(sent)
		if c == '.' {
			t.heard(n, sent+ms)
		}
	}
	return t
}

func TestASenderThatWakesLateKeepsTheRate(t *testing.T) {
	tr, tempo := &train{}, tempo{start: 5 * ms, every: ms}
	wake := func(at time.Duration) {
		for range min(tempo.owed(at), catchUp) {
			tr.keep(&tempo, at)
			tr.next(at)
		}
	}
	at := 5 * ms
	for ; at < 9*ms; at += tempo.pause(at) {
		wake(at)
	}
	// It sleeps through 40 ms, and then is never faster than some an interval.
	bursts := 0
	for at += 40 * ms; at <= 105*ms; at += tempo.pause(at) {
		if tempo.owed(at) > 1 {
			bursts++
		}
		wake(at)
	}
	if len(tr.echoes) != 101 || tr.rate() != 1000 {
		t.Errorf("%d echoes in 100 ms, %v a second", len(tr.echoes), tr.rate())
	}
	if want := 40/(catchUp-1) + 1; bursts != want || tr.latest != 40*ms {
		t.Errorf("%d bursts, by %v late, want %d, by 40ms", bursts, tr.latest, want)
	}
	// Due from 9 to 59 ms, sent from 49 to 61 ms.
	if want := 51; tr.late != want {
		t.Errorf("%d late, want %d", tr.late, want)
	}
}

func TestBetweenCountsLossesAndTheLongestOutage(t *testing.T) {
	for pattern, want := range map[string]loss{
		"....":       {4, 0, 0},
		".x.":        {3, 1, 10 * ms},
		".xx.xxx.x.": {10, 6, 30 * ms},
		"..xx":       {4, 2, 20 * ms},
		"xxxx":       {4, 4, 40 * ms},
		"":           {},
	} {
		if got := trainOf(pattern).between(0, time.Duration(len(pattern))*10*ms); got != want {
			t.Errorf("%q: %+v, want %+v", pattern, got, want)
		}
	}
}

func TestBetweenLooksAtItsTimeOnly(t *testing.T) {
	if got, want := trainOf("xx.x.xx").between(20*ms, 50*ms), (loss{3, 1, 10 * ms}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestFirstAnswerIsToAnEchoSentSince(t *testing.T) {
	tr := trainOf(".xx.")
	if at, ok := tr.firstAnswer(10 * ms); !ok || at != 31*ms {
		t.Errorf("first answer at %v %v, want 31ms", at, ok)
	}
	if _, ok := trainOf("..xx").firstAnswer(15 * ms); ok {
		t.Error("an old echo's answer counts")
	}
}

func TestDuplicatesAndStrangersAreNotAnswers(t *testing.T) {
	tr := trainOf("x")
	if !tr.heard(0, 5*ms) || tr.heard(0, 9*ms) || tr.heard(1, 9*ms) || tr.heard(1<<31, 9*ms) {
		t.Error("a second or unknown answer counts")
	}
	if at, _ := tr.firstAnswer(0); at != 5*ms {
		t.Errorf("the duplicate moved the answer to %v", at)
	}
}

func TestWholePaceStaysInItsRange(t *testing.T) {
	for pairs, want := range map[int]time.Duration{2: wholeFastest, 132: 33 * ms, 1_000_000: wholeSlowest} {
		if got := wholePace(pairs); got != want {
			t.Errorf("%d pairs every %v, want %v", pairs, got, want)
		}
	}
}

func TestEchoSurvivesTheWire(t *testing.T) {
	want := echo{kind: echoReply, train: 70_000, number: 1 << 31}
	if got, ok := decodeEcho(encodeEcho(want)); !ok || got != want {
		t.Errorf("%+v came back as %+v, %v", want, got, ok)
	}
}

// The kernel's default holds 256.
func TestAnswersWaitForAProberThatIsLate(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("raw sockets need root")
	}
	const sent = 400
	here := netip.IPv6Loopback()
	conn, err := listenEcho(here)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s := &station{addr: here, conn: conn}
	for n := range uint32(sent) {
		s.send(here, echo{kind: echoRequest, train: 1, number: n})
	}
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 256)
	for heard := 0; heard < sent; {
		n, err := conn.Read(buffer)
		if err != nil {
			t.Fatalf("%d of %d answers are there: %v", heard, sent, err)
		}
		if e, ok := decodeEcho(buffer[:n]); ok && e.kind == echoReply { // others may ping this address too
			heard++
		}
	}
}

// FuzzEcho: what is taken for an echo of ours is one, byte for byte but the checksum and the short numbers.
func FuzzEcho(f *testing.F) {
	f.Add(encodeEcho(echo{echoRequest, 1, 2}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, ok := decodeEcho(b)
		if !ok {
			return
		}
		again, ok := decodeEcho(encodeEcho(e))
		if !ok || again != e {
			t.Errorf("%+v came back as %+v", e, again)
		}
	})
}
