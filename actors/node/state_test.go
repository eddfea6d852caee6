package node

import (
	"errors"
	"net/netip"
	"os"
	"reflect"
	"testing"
	"time"

	"re6st/hw/nodedir"
	"re6st/protocols/addr"
	"re6st/protocols/tunnelplan"
)

func folder(t *testing.T) nodedir.Dir {
	t.Helper()
	d, err := nodedir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestARouterKeepsItsIdAndItsSequenceNumber(t *testing.T) {
	d := folder(t)
	first, err := loadBabel(d)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Persist(65535); err != nil {
		t.Fatal(err)
	}
	second, err := loadBabel(d)
	if err != nil || second.RouterID != first.RouterID || second.Seqno() != 65535 {
		t.Errorf("%s at %d, %v; want %s at 65535", second.RouterID, second.Seqno(), err, first.RouterID)
	}
}

// The disk is well again as soon as it is looked at, whenever the router tries next.
func TestASequenceNumberThatTheDiskDidNotTakeIsStoredLater(t *testing.T) {
	d := folder(t)
	s, err := loadBabel(d)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Persist(7), s.Retry()); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.Remove(babelFile), os.Mkdir(d.Path(babelFile), 0o700)); err != nil {
		t.Fatal(err)
	}
	for _, seqno := range []uint16{8, 9} {
		if err := s.Persist(seqno); err == nil {
			t.Fatal("written over a folder")
		}
	}
	if s.Retry() == nil || d.Problem() == nil {
		t.Error("no problem told")
	}
	if err := os.Remove(d.Path(babelFile)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Retry(), d.Problem()); err != nil {
		t.Errorf("there is place again, and still: %v", err)
	}
	if after, err := loadBabel(d); err != nil || after.RouterID != s.RouterID || after.Seqno() != 9 {
		t.Errorf("%s at %d, %v; want %s at 9", after.RouterID, after.Seqno(), err, s.RouterID)
	}
}

// Without its sequence number a router id must not be used again.
func TestASpoiltStateGivesANewRouter(t *testing.T) {
	for name, text := range map[string]string{
		"empty":           "",
		"cut off":         `{"version":1,"router_id":"0102030405060708","seq`,
		"another version": `{"version":2,"router_id":"0102030405060708","seqno":5}`,
		"no id":           `{"version":1,"seqno":5}`,
		"a reserved id":   `{"version":1,"router_id":"0000000000000000","seqno":5}`,
		"a large number":  `{"version":1,"router_id":"0102030405060708","seqno":65536}`,
	} {
		d := folder(t)
		if err := d.Write(babelFile, []byte(text), nodedir.Public); err != nil {
			t.Fatal(err)
		}
		s, err := loadBabel(d)
		if err != nil || !s.RouterID.IsValid() || s.RouterID.String() == "0102030405060708" {
			t.Errorf("%s: router %s, %v", name, s.RouterID, err)
		}
	}
}

func somePeer() tunnelplan.Peer {
	return tunnelplan.Peer{
		ID: addr.NodeIDFromUint64(5), Static: [32]byte{1, 2}, Seen: time.Unix(1700000000, 0).UTC(),
		Endpoints: []netip.AddrPort{netip.MustParseAddrPort("[2001:db8::5]:7326"), netip.MustParseAddrPort("203.0.113.5:7")},
		TLSPort:   8443,
	}
}

func TestPeersAreRememberedAsTheyWere(t *testing.T) {
	d, p := folder(t), somePeer()
	p.Prefix, _ = addr.ParseCN("5/16")
	if peers, err := loadPeers(d); err != nil || len(peers) > 0 {
		t.Errorf("of a new folder: %v, %v", peers, err)
	}
	if err := storePeers(d, []tunnelplan.Peer{p}); err != nil {
		t.Fatal(err)
	}
	if peers, err := loadPeers(d); err != nil || len(peers) != 1 || !reflect.DeepEqual(peers[0], p) {
		t.Errorf("%+v, %v", peers, err)
	}
}

func TestSpoiltPeersAreNone(t *testing.T) {
	for _, text := range []string{"", "{", `{"version":9}`, `{"version":1,"peers":[{"id":"xyz"}]}`} {
		if peers, err := parsePeers([]byte(text)); err == nil || len(peers) > 0 {
			t.Errorf("%q: %v, %v", text, peers, err)
		}
	}
}

func FuzzParsePeers(f *testing.F) {
	f.Add([]byte(`{"version":1,"peers":[{"id":"0000000000000005","prefix":"5/16","static":"","endpoints":["203.0.113.5:7"],"seen":"2026-01-01T00:00:00Z"}]}`))
	f.Add([]byte(`{"version":1}`))
	d, err := nodedir.Open(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	p := somePeer()
	p.Prefix, _ = addr.ParseCN("5/16")
	if err := storePeers(d, []tunnelplan.Peer{p}); err != nil {
		f.Fatal(err)
	}
	stored, err := d.Read(peersFile)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(stored)
	f.Fuzz(func(t *testing.T, raw []byte) {
		peers, err := parsePeers(raw)
		if err != nil {
			return
		}
		if len(peers) > tunnelplan.MaxRemembered {
			t.Fatalf("%d peers", len(peers))
		}
		if err := storePeers(d, peers); err != nil {
			return // a time that JSON has no words for
		}
		again, err := loadPeers(d)
		if err != nil || len(again) != len(peers) {
			t.Fatalf("%v, %v; was %v", again, err, peers)
		}
	})
}
