package cert_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net/netip"
	"net/url"
	"testing"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/cert"
)

var (
	network = netip.MustParsePrefix("2001:db8:42::/48")
	epoch   = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	year    = 365 * 24 * time.Hour
	nodeA   = addr.NodeIDFromUint64(0xa)
)

var allKeyTypes = []cert.KeyType{cert.ECDSA, cert.RSA, cert.Ed25519}

func key(t testing.TB, kind cert.KeyType) crypto.Signer {
	t.Helper()
	k, err := cert.GenerateKey(rand.Reader, kind)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func issuer(t testing.TB, kind cert.KeyType) *cert.Issuer {
	t.Helper()
	i, err := cert.NewAuthority(rand.Reader, key(t, kind), network, epoch)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func prefix(t testing.TB, cn string) addr.Bits {
	t.Helper()
	b, err := addr.ParseCN(cn)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func node(t testing.TB, i *cert.Issuer, k crypto.Signer, cn string) []byte {
	t.Helper()
	der, err := i.IssueNode(rand.Reader, k.Public(), prefix(t, cn), nodeA, epoch, year)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestAuthorityCarriesTheNetworkInItsSerial(t *testing.T) {
	for _, kind := range allKeyTypes {
		i := issuer(t, kind)
		a, err := cert.ParseAuthority(i.Certificate.Raw)
		if err != nil {
			t.Fatal(kind, err)
		}
		if a.Network != network || a.Certificate.SerialNumber.Text(16) != "120010db80042" {
			t.Errorf("%s: network %s, serial %x", kind, a.Network, a.Certificate.SerialNumber)
		}
		if a.Fingerprint != sha256.Sum256(i.Certificate.Raw) {
			t.Errorf("%s: fingerprint is not the SHA-256 of the DER", kind)
		}
	}
}

func TestNetworkOfAnAuthorityIsCheckedBeforeSigning(t *testing.T) {
	for _, p := range []string{"2001:db8:42::1/48", "10.0.0.0/8", "::/0", "2001:db8::1/128"} {
		if _, err := cert.NewAuthority(rand.Reader, key(t, cert.ECDSA), netip.MustParsePrefix(p), epoch); err == nil {
			t.Errorf("%s was accepted as a network", p)
		}
	}
}

func TestNodeCertificateStatesPrefixAndID(t *testing.T) {
	for _, caKind := range allKeyTypes {
		i := issuer(t, caKind)
		for _, kind := range allKeyTypes {
			k := key(t, kind)
			id, err := i.Verify(node(t, i, k, "5/16"), epoch)
			if err != nil {
				t.Fatalf("CA %s, node %s: %v", caKind, kind, err)
			}
			if id.Prefix.CN() != "5/16" || id.ID != nodeA {
				t.Errorf("CA %s, node %s: %s %s", caKind, kind, id.Prefix.CN(), id.ID)
			}
		}
	}
}

func TestDatesAreJudgedAtTheGivenTime(t *testing.T) {
	i := issuer(t, cert.ECDSA)
	der := node(t, i, key(t, cert.ECDSA), "5/16")
	for _, c := range []struct {
		at           time.Duration
		clock, floor error
	}{
		{-cert.Backdate, nil, nil},
		{-cert.Backdate - time.Second, cert.ErrNotYetValid, nil},
		{year, nil, nil},
		{year + time.Second, cert.ErrExpired, cert.ErrExpired},
		{-50 * year, cert.ErrNotYetValid, nil},
	} {
		if _, err := i.Verify(der, epoch.Add(c.at)); !errors.Is(err, c.clock) {
			t.Errorf("at %s: Verify: %v, want %v", c.at, err, c.clock)
		}
		if _, err := i.VerifyFloor(der, epoch.Add(c.at)); !errors.Is(err, c.floor) {
			t.Errorf("at %s: VerifyFloor: %v, want %v", c.at, err, c.floor)
		}
	}
}

func TestNodeOutlivingItsAuthorityExpiresWithIt(t *testing.T) {
	i := issuer(t, cert.ECDSA)
	der, err := i.IssueNode(rand.Reader, key(t, cert.ECDSA).Public(), prefix(t, "1/16"), nodeA, epoch, 40*year)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.Verify(der, epoch.Add(cert.AuthorityLifetime+time.Hour)); !errors.Is(err, cert.ErrExpired) {
		t.Errorf("after the CA's end: %v", err)
	}
}

func TestCertificateOfAnotherAuthorityIsUntrusted(t *testing.T) {
	ours, theirs := issuer(t, cert.ECDSA), issuer(t, cert.ECDSA)
	der := node(t, theirs, key(t, cert.ECDSA), "5/16")
	if _, err := ours.Verify(der, epoch); !errors.Is(err, cert.ErrUntrusted) {
		t.Errorf("foreign node: %v", err)
	}
	if _, err := ours.Verify(ours.Certificate.Raw, epoch); !errors.Is(err, cert.ErrUntrusted) {
		t.Errorf("the CA itself as a node: %v", err)
	}
}

func TestNodeAndRegistryAreNeverTakenForEachOther(t *testing.T) {
	i := issuer(t, cert.ECDSA)
	server, err := i.IssueRegistry(rand.Reader, key(t, cert.ECDSA).Public(), "2001:db8::1", epoch)
	if err != nil {
		t.Fatal(err)
	}
	if err := i.VerifyRegistry(server, epoch); err != nil {
		t.Errorf("registry: %v", err)
	}
	if _, err := i.Verify(server, epoch); !errors.Is(err, cert.ErrNotNode) {
		t.Errorf("registry as a node: %v", err)
	}
	der := node(t, i, key(t, cert.ECDSA), "5/16")
	if err := i.VerifyRegistry(der, epoch); !errors.Is(err, cert.ErrNotRegistry) {
		t.Errorf("node as the registry: %v", err)
	}
	if err := i.VerifyRegistry(server, epoch.Add(year)); !errors.Is(err, cert.ErrExpired) {
		t.Errorf("registry a year later: %v", err)
	}
	if err := i.VerifyRegistryAnytime(server); err != nil {
		t.Errorf("registry without a clock: %v", err)
	}
}

func TestRegistryCertificateNamesItsHost(t *testing.T) {
	i := issuer(t, cert.ECDSA)
	for _, host := range []string{"2001:db8::1", "192.0.2.1", "registry.example.net"} {
		der, err := i.IssueRegistry(rand.Reader, key(t, cert.ECDSA).Public(), host, epoch)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
}

// signed makes a leaf that the network's CA signed but that IssueNode would not.
func signed(t *testing.T, ca *x509.Certificate, caKey crypto.Signer, change func(*x509.Certificate)) []byte {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7),
		Subject:      pkix.Name{CommonName: "5/16"},
		NotBefore:    epoch, NotAfter: epoch.Add(year),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		URIs:        []*url.URL{{Scheme: "re6st", Opaque: "node:000000000000000a"}},
	}
	change(template)
	der, err := x509.CreateCertificate(rand.Reader, template, ca, key(t, cert.ECDSA).Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestLeavesThatAreNoNodesAreNamed(t *testing.T) {
	caKey := key(t, cert.ECDSA)
	i, err := cert.NewAuthority(rand.Reader, caKey, network, epoch)
	if err != nil {
		t.Fatal(err)
	}
	uri := func(s string) *url.URL { return &url.URL{Scheme: "re6st", Opaque: s} }
	for name, c := range map[string]struct {
		change func(*x509.Certificate)
		want   error
	}{
		"as it should be":     {func(*x509.Certificate) {}, nil},
		"no prefix":           {func(c *x509.Certificate) { c.Subject.CommonName = "www" }, cert.ErrNotNode},
		"whole network":       {func(c *x509.Certificate) { c.Subject.CommonName = "0/0" }, cert.ErrNotNode},
		"prefix too long":     {func(c *x509.Certificate) { c.Subject.CommonName = "0/81" }, cert.ErrNotNode},
		"no id":               {func(c *x509.Certificate) { c.URIs = nil }, cert.ErrNotNode},
		"two ids":             {func(c *x509.Certificate) { c.URIs = append(c.URIs, uri("node:000000000000000b")) }, cert.ErrNotNode},
		"zero id":             {func(c *x509.Certificate) { c.URIs[0] = uri("node:0000000000000000") }, cert.ErrNotNode},
		"short id":            {func(c *x509.Certificate) { c.URIs[0] = uri("node:0a") }, cert.ErrNotNode},
		"another URI besides": {func(c *x509.Certificate) { c.URIs = append(c.URIs, uri("other:x")) }, nil},
		"no key usage":        {func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement }, cert.ErrUntrusted},
		"e-mail only":         {func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection} }, cert.ErrUntrusted},
		"a CA below":          {func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }, cert.ErrUntrusted},
		"never valid with CA": {func(c *x509.Certificate) { c.NotBefore, c.NotAfter = epoch.Add(-9*year), epoch.Add(-8*year) }, cert.ErrExpired},
		"critical and not known": {func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: []int{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
		}, cert.ErrUntrusted},
	} {
		if _, err := i.Verify(signed(t, i.Certificate, caKey, c.change), epoch); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestMalformedCertificatesAreRefused(t *testing.T) {
	i := issuer(t, cert.ECDSA)
	der := node(t, i, key(t, cert.ECDSA), "5/16")
	for name, b := range map[string][]byte{
		"empty": nil, "cut": der[:len(der)-1], "trailing": append(append([]byte(nil), der...), 0), "too long": make([]byte, cert.MaxCertificate+1),
	} {
		if _, err := i.Verify(b, epoch); !errors.Is(err, cert.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := cert.ParseAuthority(b); !errors.Is(err, cert.ErrMalformed) {
			t.Errorf("%s as a CA: %v", name, err)
		}
	}
	if _, err := cert.ParseAuthority(der); !errors.Is(err, cert.ErrAuthority) {
		t.Errorf("a node as a CA: %v", err)
	}
}

func TestWeakKeysAreRefused(t *testing.T) {
	t.Setenv("GODEBUG", "rsa1024min=0")
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i := issuer(t, cert.ECDSA)
	for _, k := range []crypto.Signer{weak, p224} {
		if _, err := i.IssueNode(rand.Reader, k.Public(), prefix(t, "1/16"), nodeA, epoch, year); !errors.Is(err, cert.ErrKey) {
			t.Errorf("issue for %T: %v", k, err)
		}
		csr, err := cert.NewRequest(rand.Reader, k)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cert.ParseRequest(csr); !errors.Is(err, cert.ErrKey) {
			t.Errorf("request by %T: %v", k, err)
		}
	}
}

func TestRequestProvesPossession(t *testing.T) {
	for _, kind := range allKeyTypes {
		k := key(t, kind)
		der, err := cert.NewRequest(rand.Reader, k)
		if err != nil {
			t.Fatal(err)
		}
		pub, err := cert.ParseRequest(der)
		if err != nil {
			t.Fatal(kind, err)
		}
		got, _ := cert.KeyFingerprint(pub)
		want, _ := cert.KeyFingerprint(k.Public())
		if got != want {
			t.Errorf("%s: another key came out", kind)
		}
		der[len(der)-1] ^= 1
		if _, err := cert.ParseRequest(der); !errors.Is(err, cert.ErrRequest) {
			t.Errorf("%s: a forged request: %v", kind, err)
		}
	}
}

func TestBindingHoldsForOneKeyAndOneNetwork(t *testing.T) {
	i, other := issuer(t, cert.ECDSA), issuer(t, cert.ECDSA)
	static := [32]byte{1, 2, 3}
	for _, kind := range allKeyTypes {
		k := key(t, kind)
		id, err := i.Verify(node(t, i, k, "5/16"), epoch)
		if err != nil {
			t.Fatal(err)
		}
		sig, err := cert.SignKey(rand.Reader, k, i.Fingerprint, static)
		if err != nil {
			t.Fatal(err)
		}
		if err := cert.VerifyKey(id, i.Fingerprint, static, sig); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if err := cert.VerifyKey(id, i.Fingerprint, [32]byte{9}, sig); !errors.Is(err, cert.ErrBinding) {
			t.Errorf("%s: another static key: %v", kind, err)
		}
		if err := cert.VerifyKey(id, other.Fingerprint, static, sig); !errors.Is(err, cert.ErrBinding) {
			t.Errorf("%s: another network: %v", kind, err)
		}
		if err := cert.VerifyKeyBy(key(t, kind).Public(), i.Fingerprint, static, sig); !errors.Is(err, cert.ErrBinding) {
			t.Errorf("%s: another node: %v", kind, err)
		}
	}
}

func TestKeysSurviveTheirFile(t *testing.T) {
	for _, kind := range allKeyTypes {
		k := key(t, kind)
		text, err := cert.EncodeKey(k)
		if err != nil {
			t.Fatal(err)
		}
		back, err := cert.ParseKey(text)
		if err != nil {
			t.Fatal(kind, err)
		}
		got, _ := cert.KeyFingerprint(back.Public())
		want, _ := cert.KeyFingerprint(k.Public())
		if got != want {
			t.Errorf("%s: another key came back", kind)
		}
	}
	for _, text := range []string{"", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		if _, err := cert.ParseKey([]byte(text)); !errors.Is(err, cert.ErrKey) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := cert.GenerateKey(rand.Reader, "dsa"); !errors.Is(err, cert.ErrKey) {
		t.Errorf("dsa: %v", err)
	}
}

func TestIssuerNeedsTheAuthoritysKey(t *testing.T) {
	i := issuer(t, cert.ECDSA)
	if _, err := cert.NewIssuer(i.Authority, key(t, cert.ECDSA)); !errors.Is(err, cert.ErrKey) {
		t.Errorf("a stranger's key: %v", err)
	}
}

func TestPEMRoundTrip(t *testing.T) {
	i := issuer(t, cert.ECDSA)
	der, err := cert.DecodeCertificate(cert.EncodeCertificate(i.Certificate.Raw))
	if err != nil || string(der) != string(i.Certificate.Raw) {
		t.Errorf("round trip: %v", err)
	}
	if _, err := cert.DecodeCertificate([]byte("nothing")); !errors.Is(err, cert.ErrMalformed) {
		t.Errorf("no PEM: %v", err)
	}
}

func TestNodeCertificateStatesItsShareOfIPv4(t *testing.T) {
	i, k := issuer(t, cert.ECDSA), key(t, cert.ECDSA)
	share := netip.MustParsePrefix("10.42.5.0/24")
	for _, want := range []netip.Prefix{share, {}} {
		der, err := i.IssueNodeIPv4(rand.Reader, k.Public(), prefix(t, "5/16"), nodeA, want, epoch, year)
		if err != nil {
			t.Fatal(err)
		}
		if id, err := i.Verify(der, epoch); err != nil || id.IPv4 != want || id.ID != nodeA {
			t.Errorf("%s: %+v, %v", want, id, err)
		}
	}
	for _, bad := range []string{"10.42.5.1/24", "2001:db8::/32", "0.0.0.0/0", "::ffff:10.42.5.0/120"} {
		der, err := i.IssueNodeIPv4(rand.Reader, k.Public(), prefix(t, "5/16"), nodeA, netip.MustParsePrefix(bad), epoch, year)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := i.Verify(der, epoch); !errors.Is(err, cert.ErrNotNode) {
			t.Errorf("a share %s: %v", bad, err)
		}
	}
}
