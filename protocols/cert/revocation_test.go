package cert_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/cert"
)

var nodeB = addr.NodeIDFromUint64(0xb)

func revocations(t testing.TB, i *cert.Issuer, number uint64, entries ...cert.Revocation) *cert.RevocationList {
	t.Helper()
	l, err := i.SignRevocations(rand.Reader, number, entries, epoch)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func identity(t testing.TB, i *cert.Issuer, der []byte) *cert.Identity {
	t.Helper()
	id, err := i.Verify(der, epoch)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func revoked(id *cert.Identity, reason cert.Reason) cert.Revocation {
	return cert.Revocation{Serial: id.Certificate.SerialNumber, Node: id.ID, Time: epoch, Reason: reason}
}

func TestARevokedNodeFallsWithAllItsCertificates(t *testing.T) {
	for _, kind := range allKeyTypes {
		i := issuer(t, kind)
		first, second := identity(t, i, node(t, i, key(t, cert.ECDSA), "5/16")), identity(t, i, node(t, i, key(t, cert.ECDSA), "5/16"))
		l := revocations(t, i, 7, revoked(first, cert.KeyCompromise))
		if l.Number != 7 || !l.Updated.Equal(epoch) || !l.Revokes(first) || !l.Revokes(second) {
			t.Errorf("%s: number %d of %v; revokes %t and %t", kind, l.Number, l.Updated, l.Revokes(first), l.Revokes(second))
		}
		if r, ok := l.Node(nodeA); !ok || r.Reason != cert.KeyCompromise || !slices.Equal(l.Nodes(), []addr.NodeID{nodeA}) {
			t.Errorf("%s: %+v, %v", kind, r, l.Nodes())
		}
	}
}

func TestASupersededCertificateFallsAlone(t *testing.T) {
	i := issuer(t, cert.ECDSA)
	former, next := identity(t, i, node(t, i, key(t, cert.ECDSA), "5/16")), identity(t, i, node(t, i, key(t, cert.ECDSA), "5/16"))
	l := revocations(t, i, 1, revoked(former, cert.Superseded))
	if _, ok := l.Node(nodeA); ok || !l.Revokes(former) || l.Revokes(next) || len(l.Nodes()) != 0 {
		t.Errorf("former %t, next %t, nodes %v", l.Revokes(former), l.Revokes(next), l.Nodes())
	}
}

func TestNoListRevokesNobody(t *testing.T) {
	i := issuer(t, cert.ECDSA)
	var none *cert.RevocationList
	if _, ok := none.Node(nodeA); ok || none.Revokes(identity(t, i, node(t, i, key(t, cert.ECDSA), "5/16"))) || none.Nodes() != nil || cert.NumberOf(none) != 0 {
		t.Error("it does")
	}
}

func TestAListSupersedesThoseOfLesserNumber(t *testing.T) {
	i := issuer(t, cert.ECDSA)
	one, two := revocations(t, i, 1), revocations(t, i, 2, cert.Revocation{Serial: big.NewInt(5), Node: nodeB, Time: epoch})
	if !one.Supersedes(nil) || !two.Supersedes(one) || one.Supersedes(two) || two.Supersedes(two) {
		t.Error("the numbers do not count")
	}
}

func TestRevocationsAreReadAsTheyWereSigned(t *testing.T) {
	i := issuer(t, cert.ECDSA)
	l := revocations(t, i, 1<<63, cert.Revocation{Serial: big.NewInt(5), Node: nodeB, Time: epoch, Reason: cert.PrivilegeWithdrawn})
	again, err := i.ParseRevocations(l.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	e := again.Entries[0]
	if again.Number != 1<<63 || !bytes.Equal(again.Bytes, l.Bytes) || len(again.Entries) != 1 ||
		e.Serial.Int64() != 5 || e.Node != nodeB || !e.Time.Equal(epoch) || e.Reason != cert.PrivilegeWithdrawn {
		t.Errorf("%+v", again)
	}
}

func TestRevocationsOfOthersAreRefused(t *testing.T) {
	i, other := issuer(t, cert.ECDSA), issuer(t, cert.ECDSA)
	good := revocations(t, i, 3, cert.Revocation{Serial: big.NewInt(5), Node: nodeB, Time: epoch})
	changed := bytes.Clone(good.Bytes)
	changed[bytes.Index(changed, []byte("re6st:node:"))+20] ^= 1
	for what, der := range map[string][]byte{
		"another CA": revocations(t, other, 9).Bytes, "changed": changed, "cut off": good.Bytes[:len(good.Bytes)-1], "empty": nil,
		"a certificate": i.Certificate.Raw, "too large": make([]byte, cert.MaxRevocationList+1),
	} {
		if _, err := i.ParseRevocations(der); !errors.Is(err, cert.ErrRevocations) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := i.SignRevocations(rand.Reader, 0, nil, epoch); !errors.Is(err, cert.ErrRevocations) {
		t.Errorf("number 0: %v", err)
	}
}

func TestTwoThousandRevocationsFit(t *testing.T) {
	i := issuer(t, cert.ECDSA)
	serial := new(big.Int).Lsh(big.NewInt(1), 125)
	var entries []cert.Revocation
	for n := range 2000 {
		entries = append(entries, cert.Revocation{
			Serial: new(big.Int).Add(serial, big.NewInt(int64(n))), Node: addr.NodeIDFromUint64(uint64(n + 1)), Time: epoch, Reason: cert.KeyCompromise,
		})
	}
	if l := revocations(t, i, 1, entries...); len(l.Nodes()) != 2000 {
		t.Errorf("%d nodes", len(l.Nodes()))
	}
}

func TestReasonsHaveNames(t *testing.T) {
	for _, r := range []cert.Reason{cert.Unspecified, cert.KeyCompromise, cert.Superseded, cert.CessationOfOperation, cert.PrivilegeWithdrawn} {
		if got, err := cert.ParseReason(r.String()); err != nil || got != r {
			t.Errorf("%s: %v, %v", r, got, err)
		}
	}
	if _, err := cert.ParseReason("mood"); !errors.Is(err, cert.ErrReason) || !strings.Contains(err.Error(), "key-compromise") {
		t.Errorf("%v", err)
	}
	if s := cert.Reason(3).String(); s != "reason 3" {
		t.Error(s)
	}
}

// openssl is the other implementation: it verifies the list and shows what is in it.
func TestOpenSSLReadsTheList(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("needs openssl, of the Debian package of that name")
	}
	i := issuer(t, cert.ECDSA)
	l := revocations(t, i, 12, cert.Revocation{Serial: big.NewInt(0xabc), Node: nodeB, Time: epoch.Add(time.Hour), Reason: cert.KeyCompromise})
	dir := t.TempDir()
	ca, crl := filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.crl")
	if err := errors.Join(os.WriteFile(ca, cert.EncodeCertificate(i.Certificate.Raw), 0o600), os.WriteFile(crl, cert.EncodeRevocations(l), 0o600)); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("openssl", "crl", "-inform", "PEM", "-in", crl, "-CAfile", ca, "-noout", "-text").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{"verify OK", "Serial Number: 0ABC", "Key Compromise", "URI:re6st:node:" + nodeB.String()} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}
