package lab

import (
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
