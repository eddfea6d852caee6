package node

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"re6st/actors/tunnel"
	"re6st/hw/nodedir"
	"re6st/protocols/addr"
	"re6st/protocols/fabric"
)

var workedAt = time.Unix(1700000000, 0).UTC()

func someWorked() []tunnel.Worked {
	return []tunnel.Worked{
		{Peer: addr.NodeIDFromUint64(5), Network: netip.MustParsePrefix("192.0.2.0/24"), Carrier: fabric.TLS, At: workedAt},
		{Peer: addr.NodeIDFromUint64(6), Carrier: fabric.QUIC, At: workedAt.Add(time.Hour)}, // without an uplink
	}
}

func TestCarriersThatWorkedOutliveARun(t *testing.T) {
	d := folder(t)
	if all, err := loadWorked(d, workedAt); err != nil || len(all) > 0 {
		t.Errorf("of a new folder: %v, %v", all, err)
	}
	want := someWorked()
	if err := storeWorked(d, want); err != nil {
		t.Fatal(err)
	}
	if all, err := loadWorked(d, workedAt.Add(time.Hour)); err != nil || !reflect.DeepEqual(all, want) {
		t.Errorf("%+v, %v", all, err)
	}
	if all, err := loadWorked(d, workedAt.Add(tunnel.WorkedLifetime)); err != nil || !reflect.DeepEqual(all, want[1:]) {
		t.Errorf("once the first is too old: %+v, %v", all, err)
	}
}

func TestSpoiltOrTooManyCarriersThatWorked(t *testing.T) {
	for _, text := range []string{"", "{", `{"version":9}`, `{"version":1,"worked":[{"peer":"xyz"}]}`} {
		if all, err := parseWorked([]byte(text), workedAt); err == nil || len(all) > 0 {
			t.Errorf("%q: %v, %v", text, all, err)
		}
	}
	d, many := folder(t), make([]tunnel.Worked, 2*tunnel.MaxWorked)
	for i := range many {
		many[i] = tunnel.Worked{Peer: addr.NodeIDFromUint64(uint64(i) + 1), Carrier: fabric.TLS, At: workedAt}
	}
	if err := storeWorked(d, many); err != nil {
		t.Fatal(err)
	}
	if all, err := loadWorked(d, workedAt); err != nil || len(all) != tunnel.MaxWorked {
		t.Errorf("%d of too many, %v", len(all), err)
	}
}

func FuzzParseWorked(f *testing.F) {
	d, err := nodedir.Open(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	if err := storeWorked(d, someWorked()); err != nil {
		f.Fatal(err)
	}
	stored, err := d.Read(workedFile)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(stored)
	f.Add([]byte(`{"version":1,"worked":[{"peer":"0000000000000005","network":"192.0.2.0/24","carrier":"sctp","at":"2026-01-01T00:00:00Z"}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		all, err := parseWorked(raw, workedAt)
		if err == nil && len(all) > tunnel.MaxWorked {
			t.Errorf("%d", len(all))
		}
		for _, w := range all {
			if w.Peer.IsZero() || int(w.Carrier) >= fabric.Carriers {
				t.Errorf("%+v", w)
			}
		}
	})
}
