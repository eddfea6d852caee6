package registry_test

import (
	"bytes"
	"testing"

	"re6st/protocols/registry"
)

func FuzzParseJoinLine(f *testing.F) {
	f.Add("re6st://[2001:db8::1]:7443/AAAAAAAAAAAAAAAAAAAAAA#0000000000000000000000000000000000000000000000000000000000000000")
	f.Add("re6st://registry.example.net:443/AAAAAAAAAAAAAAAAAAAAAQ#00000000000000000000000000000000000000000000000000000000000000ff")
	f.Add("re6st://192.0.2.1:1/x#y")
	f.Fuzz(func(t *testing.T, s string) {
		l, err := registry.ParseJoinLine(s)
		if err != nil {
			return
		}
		if back, err := registry.ParseJoinLine(l.String()); err != nil || back != l {
			t.Fatalf("%q: written as %q, which is %v, %v", s, l, back, err)
		}
	})
}

// No mutation can sign: whatever verifies says what the seed says.
func FuzzVerifyParams(f *testing.F) {
	i := issuer(f)
	signed := sign(f, i, registry.DefaultParams(i.Authority))
	f.Add(signed.Bytes)
	f.Add([]byte("{}\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := registry.VerifyParams(i.Authority, b); err == nil && p.Number != 1 {
			t.Fatalf("forged parameters %d", p.Number)
		}
	})
}

func FuzzParseJoinRequest(f *testing.F) {
	f.Add([]byte(mustJSON(join)))
	f.Add([]byte(`{"token":"AAAAAAAAAAAAAAAAAAAAAA","time":"2026-03-01T00:00:00Z"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := registry.ParseJoinRequest(b)
		if err != nil {
			return
		}
		if back, err := registry.ParseJoinRequest([]byte(mustJSON(r))); err != nil || back.Token != r.Token || !bytes.Equal(back.CSR, r.CSR) {
			t.Fatalf("%v came back as %v, %v", r, back, err)
		}
	})
}

func FuzzParseBootstrapRequest(f *testing.F) {
	f.Add([]byte(mustJSON(boot)))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := registry.ParseBootstrapRequest(b)
		if err == nil && (r.Static == registry.StaticKey{} || len(r.Endpoints) > registry.MaxEndpoints) {
			t.Fatalf("accepted %v", r)
		}
	})
}

func FuzzParseBootstrapResponse(f *testing.F) {
	f.Add([]byte(mustJSON(registry.BootstrapResponse{Peers: []registry.Peer{peer(1)}})))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := registry.ParseBootstrapResponse(b)
		if err != nil {
			return
		}
		for _, p := range r.Peers {
			if p.ID.IsZero() {
				t.Fatal("a peer without id")
			}
		}
	})
}

func FuzzParseHeld(f *testing.F) {
	f.Add("params=3&crl=4")
	f.Add("params=%31&x")
	f.Fuzz(func(t *testing.T, query string) {
		h, err := registry.ParseHeld(query)
		if err != nil {
			return
		}
		if back, err := registry.ParseHeld(h.Query()[1:]); err != nil || back != h {
			t.Fatalf("%+v came back as %+v, %v", h, back, err)
		}
	})
}

func FuzzParseRenewRequest(f *testing.F) {
	f.Add([]byte(mustJSON(registry.RenewRequest{CSR: []byte{1}, Static: static, Binding: []byte{2}})))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := registry.ParseRenewRequest(b)
		if err == nil && (r.Static == registry.StaticKey{} || len(r.CSR) == 0 || len(r.Binding) == 0) {
			t.Fatalf("accepted %v", r)
		}
	})
}

func FuzzParseUpdatesResponse(f *testing.F) {
	f.Add([]byte(`{"crl":"AA=="}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := registry.ParseUpdatesResponse(b)
		if err == nil && len(r.CRL)+len(r.Params) > registry.MaxUpdates {
			t.Fatalf("accepted %d bytes", len(r.CRL)+len(r.Params))
		}
	})
}
