package cert_test

import (
	"crypto/rand"
	"math/big"
	"testing"

	"re6st/protocols/cert"
)

// What a mutation cannot do is sign: whatever verifies is, but for what the
// signature does not cover, the seed.
func FuzzVerify(f *testing.F) {
	i := issuer(f, cert.ECDSA)
	genuine := node(f, i, key(f, cert.ECDSA), "5/16")
	f.Add(genuine)
	f.Add(i.Certificate.Raw)
	f.Add([]byte{0x30, 0x80})
	f.Fuzz(func(t *testing.T, der []byte) {
		if id, err := i.Verify(der, epoch); err == nil && (id.ID != nodeA || id.Prefix.CN() != "5/16") {
			t.Fatalf("a forged certificate verified: %s %s", id.Prefix.CN(), id.ID)
		}
	})
}

func FuzzParseAuthority(f *testing.F) {
	i := issuer(f, cert.ECDSA)
	f.Add(i.Certificate.Raw)
	f.Add(node(f, i, key(f, cert.ECDSA), "5/16"))
	f.Fuzz(func(t *testing.T, der []byte) {
		if a, err := cert.ParseAuthority(der); err == nil && (a.Network.Bits() == 0 || a.Network.Bits() > 127) {
			t.Fatalf("network %s", a.Network)
		}
	})
}

func FuzzParseRequest(f *testing.F) {
	for _, kind := range []cert.KeyType{cert.ECDSA, cert.Ed25519} {
		der, err := cert.NewRequest(rand.Reader, key(f, kind))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(der)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		if k, err := cert.ParseRequest(der); err == nil {
			if err := cert.CheckPublicKey(k); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzParseRevocations(f *testing.F) {
	i := issuer(f, cert.ECDSA)
	genuine := revocations(f, i, 3, cert.Revocation{Serial: big.NewInt(5), Node: nodeB, Time: epoch})
	f.Add(genuine.Bytes)
	f.Add(revocations(f, i, 4).Bytes)
	f.Add(i.Certificate.Raw)
	f.Fuzz(func(t *testing.T, der []byte) {
		l, err := i.ParseRevocations(der)
		if err != nil {
			return
		}
		if n := len(l.Nodes()); l.Number != 3 && l.Number != 4 || n > 1 {
			t.Fatalf("a forged list verified: number %d with %d nodes", l.Number, n)
		}
	})
}
