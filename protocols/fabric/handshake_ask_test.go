package fabric_test

import (
	"net/netip"
	"slices"
	"testing"

	"re6st/protocols/fabric"
)

// asked has b answer a question from an address.
func asked(b *site, from netip.AddrPort, question []byte) []byte {
	sent, _ := b.inject(from, question)
	if len(sent) != 1 {
		return nil
	}
	return sent[0].Datagram
}

func TestAQuestionIsAnsweredWithWhereItCameFrom(t *testing.T) {
	_, a, b := pair(t, 90)
	asker := fabric.NewAsker(a.credentials.Authority.Fingerprint)
	for _, from := range []netip.AddrPort{netip.MustParseAddrPort("[2001:db8::77]:4000"), netip.MustParseAddrPort("203.0.113.7:65535")} {
		for _, size := range []int{0, fabric.MinQuestion, 784, 1472} {
			q := asker.Append([]byte("before")[:6], 7, size)[6:]
			if len(q) != max(size, fabric.MinQuestion) {
				t.Fatalf("a question of %d bytes has %d", size, len(q))
			}
			answer := asked(b, from, q)
			index, err := fabric.HandshakeIndex(answer)
			seen, ok := asker.Answers(q, answer)
			if !ok || seen != from || index != 7 || err != nil {
				t.Errorf("%d bytes from %v: seen at %v, %v, by %x", size, from, seen, ok, answer)
			}
			if len(answer) >= len(q) {
				t.Errorf("%d bytes are answered by %d", len(q), len(answer))
			}
		}
	}
	if b.acceptor.HalfOpen() > 0 {
		t.Error("questions left state")
	}
}

func TestAQuestionOfAnotherNetworkIsNotAnswered(t *testing.T) {
	_, _, b := pair(t, 91)
	if got := asked(b, endpoint(9), fabric.NewAsker([32]byte{1}).Append(nil, 7, 100)); got != nil {
		t.Errorf("answered by %x", got)
	}
}

func TestWhatDoesNotAnswerAQuestionIsNoAnswer(t *testing.T) {
	_, a, b := pair(t, 92)
	asker := fabric.NewAsker(a.credentials.Authority.Fingerprint)
	q, other := asker.Append(nil, 7, 100), asker.Append(nil, 7, 101)
	good := asked(b, endpoint(9), q)
	forged := slices.Clone(good)
	forged[30] ^= 1
	for name, c := range map[string]struct{ q, answer []byte }{
		"to another question":   {other, good},
		"to another index":      {asker.Append(nil, 8, 100), good},
		"changed on the way":    {q, forged},
		"cut":                   {q, good[:len(good)-1]},
		"the question, sent on": {q, q},
		"nothing":               {q, nil},
	} {
		if seen, ok := asker.Answers(c.q, c.answer); ok || seen.IsValid() {
			t.Errorf("%s: seen at %v", name, seen)
		}
	}
	if _, ok := fabric.NewAsker([32]byte{1}).Answers(q, good); ok {
		t.Error("who does not know the CA believes it")
	}
}

// A node of before reads no more of it than of a request.
func TestAPlainRetryAnswersAQuestionToo(t *testing.T) {
	_, a, b := pair(t, 93)
	asker := fabric.NewAsker(a.credentials.Authority.Fingerprint)
	whole := asker.Append(nil, 7, 100)
	old := fabric.RetryFor(b.credentials, whole, 1)
	if seen, ok := asker.Answers(whole, old); !ok || seen.IsValid() {
		t.Errorf("seen at %v, %v", seen, ok)
	}
}

// FuzzAnswers: nothing that somebody without the CA's fingerprint makes up is an answer.
func FuzzAnswers(f *testing.F) {
	asker := fabric.NewAsker([32]byte{2})
	q := asker.Append(nil, 7, 100)
	_, _, b := pair(f, 94)
	f.Add(fabric.RetryFor(b.credentials, q, 1))
	f.Add(q)
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, ok := asker.Answers(q, b); ok {
			t.Fatalf("%x is believed", b)
		}
		asker.Answers(b, q)
	})
}
