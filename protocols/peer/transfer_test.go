package peer_test

import (
	"bytes"
	"testing"
	"time"

	"re6st/protocols/peer"
)

func TestRevocationsGoToTheOneThatHasOlder(t *testing.T) {
	l := newLink(t)
	l.run(time.Second)
	list := bytes.Repeat([]byte{7}, peer.Revocations.MaxDocument())
	l.ends[0].HandleDocument(l.now, peer.Revocations, 3, list)
	l.run(10 * time.Second)
	got := of[peer.Received](l.heard[1])
	if len(got) != 1 || got[0].Document != peer.Revocations || got[0].Number != 3 || !bytes.Equal(got[0].Signed, list) {
		t.Fatalf("received %d times", len(got))
	}
	if n := len(of[peer.Received](l.heard[0])); n != 0 {
		t.Errorf("the newer end received %d", n)
	}
}

func TestRevocationsGoBeforeParameters(t *testing.T) {
	l := newLink(t)
	l.run(time.Second)
	l.ends[0].HandleDocument(l.now, peer.Params, 9, make([]byte, 10*peer.ChunkLen))
	l.ends[0].HandleDocument(l.now, peer.Revocations, 2, make([]byte, 3*peer.ChunkLen))
	l.run(10 * time.Second)
	got := of[peer.Received](l.heard[1])
	if len(got) != 2 || got[0].Document != peer.Revocations || got[1].Document != peer.Params {
		t.Errorf("received %d, the first %v", len(got), got)
	}
}

func TestDocumentsAreToldWithTheHello(t *testing.T) {
	l := newLink(t)
	l.ends[1].HandleDocument(l.now, peer.Revocations, 5, []byte("list"))
	l.ends[1].HandleDocument(l.now, peer.Params, 6, []byte("params"))
	l.run(10 * time.Second)
	if got := of[peer.Received](l.heard[0]); len(got) != 2 {
		t.Errorf("received %v", got)
	}
}

// A node of before there were revocations says nothing of them.
func TestAHelloWithoutRevocationsIsGood(t *testing.T) {
	whole, err := peer.Append(nil, peer.Header{Epoch: 1, Sequence: 1}, peer.Hello{Prefix: prefix(t, "6/16"), Static: [32]byte{2}})
	if err != nil {
		t.Fatal(err)
	}
	const revoked = 3 + 8 // the last TLV
	_, m, err := peer.Decode(whole[:len(whole)-revoked])
	if h, ok := m.(peer.Hello); err != nil || !ok || h.Numbers[peer.Revocations] != 0 {
		t.Errorf("%#v, %v", m, err)
	}
}

func TestADocumentThatIsTooLargeIsRefused(t *testing.T) {
	for d := range peer.Document(peer.Documents) {
		most := uint32(d.MaxDocument())
		for total, good := range map[uint32]bool{most: true, most + 1: false} {
			b, err := peer.Append(nil, peer.Header{}, peer.Chunk{Document: d, Number: 1, Total: total, Bytes: []byte{1}})
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := peer.Decode(b); (err == nil) != good {
				t.Errorf("%s of %d bytes: %v", d, total, err)
			}
		}
	}
}
