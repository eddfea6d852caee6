package registry

import (
	"encoding/json"
	"net/netip"
	"testing"

	"re6st/protocols/cert"
)

// Behind the signature: no mutation reaches it, so it is fuzzed on its own.
func FuzzDecodeParams(f *testing.F) {
	body, err := json.Marshal(DefaultParams(&cert.Authority{Network: netip.MustParsePrefix("2001:db8:42::/48")}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Add([]byte(`{"classes":[{}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := decodeParams(b)
		if err != nil {
			return
		}
		again, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeParams(again); err != nil {
			t.Fatalf("%s: %v", again, err)
		}
	})
}
