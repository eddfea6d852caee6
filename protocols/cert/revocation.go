package cert

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/url"
	"slices"
	"strings"
	"time"

	"re6st/protocols/addr"
)

// MaxRevocationList is the size of the largest revocation list accepted, in bytes
// of DER: 2000 entries and more.
const MaxRevocationList = 256 << 10

// Reason is why a certificate was revoked (RFC 5280 section 5.3.1).
type Reason int

// The reasons that a network uses. With Superseded only the certificate falls: the
// node has another one. With any other the node falls, with all that it has.
const (
	Unspecified          Reason = 0
	KeyCompromise        Reason = 1
	Superseded           Reason = 4
	CessationOfOperation Reason = 5
	PrivilegeWithdrawn   Reason = 9
)

var reasonNames = []struct {
	reason Reason
	name   string
}{
	{Unspecified, "unspecified"},
	{KeyCompromise, "key-compromise"},
	{Superseded, "superseded"},
	{CessationOfOperation, "cessation-of-operation"},
	{PrivilegeWithdrawn, "privilege-withdrawn"},
}

// ParseReason reads what String writes; ErrReason lists what there is.
func ParseReason(s string) (Reason, error) {
	var names []string
	for _, r := range reasonNames {
		if r.name == s {
			return r.reason, nil
		}
		names = append(names, r.name)
	}
	return 0, fmt.Errorf("%w %q; use one of %s", ErrReason, s, strings.Join(names, ", "))
}

func (r Reason) String() string {
	for _, n := range reasonNames {
		if n.reason == r {
			return n.name
		}
	}
	return fmt.Sprintf("reason %d", int(r))
}

// Revocation is one revoked certificate.
type Revocation struct {
	Serial *big.Int
	Node   addr.NodeID // whose it was
	Time   time.Time   // whole seconds
	Reason Reason
}

// RevocationList is a version of a network's certificate revocation list (RFC 5280
// section 5). It is immutable.
type RevocationList struct {
	Number  uint64    // grows by one with each version; the first is 1
	Updated time.Time // when it was signed
	Entries []Revocation
	// Bytes are what is stored and passed on: DER. The owner is RevocationList.
	Bytes []byte

	serials map[string]bool
	nodes   map[addr.NodeID]Revocation
}

// subjectOID is the extension that names the node of an entry, by its URI: serial
// numbers alone mean nothing to who has never seen the certificate.
var subjectOID = asn1.ObjectIdentifier{2, 5, 29, 17}

// uriTag is that of uniformResourceIdentifier in a GeneralName (RFC 5280 section
// 4.2.1.6).
const uriTag = 6

// SignRevocations makes a version of the list. It names no time for the next one,
// but the end of the CA: a list counts until a later one comes, however long that
// takes, as nodes may not reach the registry for months.
func (i *Issuer) SignRevocations(rand io.Reader, number uint64, entries []Revocation, now time.Time) (*RevocationList, error) {
	template := &x509.RevocationList{
		Number: new(big.Int).SetUint64(number), ThisUpdate: now, NextUpdate: i.Certificate.NotAfter,
	}
	for _, e := range entries {
		subject, err := subjectExtension(e.Node)
		if err != nil {
			return nil, err
		}
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: e.Serial, RevocationTime: e.Time, ReasonCode: int(e.Reason), ExtraExtensions: []pkix.Extension{subject},
		})
	}
	der, err := x509.CreateRevocationList(rand, template, i.Certificate, i.key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRevocations, err)
	}
	return i.ParseRevocations(der)
}

// ParseRevocations reads a revocation list that this CA signed, from bytes that are
// copied.
func (a *Authority) ParseRevocations(der []byte) (*RevocationList, error) {
	if len(der) > MaxRevocationList {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrRevocations, len(der), MaxRevocationList)
	}
	parsed, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRevocations, err)
	}
	if err := parsed.CheckSignatureFrom(a.Certificate); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRevocations, err)
	}
	if parsed.Number == nil || !parsed.Number.IsUint64() || parsed.Number.Sign() == 0 {
		return nil, fmt.Errorf("%w: number %s is not 1 to 2^64-1", ErrRevocations, parsed.Number)
	}
	l := &RevocationList{
		Number: parsed.Number.Uint64(), Updated: parsed.ThisUpdate, Bytes: slices.Clone(parsed.Raw),
		serials: map[string]bool{}, nodes: map[addr.NodeID]Revocation{},
	}
	for _, e := range parsed.RevokedCertificateEntries {
		id, err := entryNode(e)
		if err != nil {
			return nil, err
		}
		l.add(Revocation{e.SerialNumber, id, e.RevocationTime, Reason(e.ReasonCode)})
	}
	return l, nil
}

func (l *RevocationList) add(r Revocation) {
	l.Entries = append(l.Entries, r)
	l.serials[r.Serial.String()] = true
	if r.Reason != Superseded {
		l.nodes[r.Node] = r
	}
}

// Supersedes tells whether l is to replace held, which may be nil.
func (l *RevocationList) Supersedes(held *RevocationList) bool {
	return held == nil || l.Number > held.Number
}

// Revokes tells whether a certificate counts no more: it is on the list, or its
// node is. A nil list revokes nothing.
func (l *RevocationList) Revokes(id *Identity) bool {
	return l.RevokesSerial(id.ID, id.Certificate.SerialNumber)
}

// RevokesSerial is Revokes for who has kept no more of a certificate than this.
func (l *RevocationList) RevokesSerial(id addr.NodeID, serial *big.Int) bool {
	if l == nil {
		return false
	}
	_, gone := l.nodes[id]
	return gone || l.serials[serial.String()]
}

// Node is the revocation of a node; false where it is none of the list's, or the
// list is nil.
func (l *RevocationList) Node(id addr.NodeID) (Revocation, bool) {
	if l == nil {
		return Revocation{}, false
	}
	r, ok := l.nodes[id]
	return r, ok
}

// Nodes are the revoked nodes, sorted.
func (l *RevocationList) Nodes() []addr.NodeID {
	if l == nil {
		return nil
	}
	ids := make([]addr.NodeID, 0, len(l.nodes))
	for id := range l.nodes {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, addr.NodeID.Compare)
	return ids
}

// NumberOf is the number of a list that may not be there: then it is 0.
func NumberOf(l *RevocationList) uint64 {
	if l == nil {
		return 0
	}
	return l.Number
}

// revocationsBlock is the PEM type of a revocation list (RFC 7468 section 6).
const revocationsBlock = "X509 CRL"

// EncodeRevocations writes a list as PEM; nil is nothing.
func EncodeRevocations(l *RevocationList) []byte {
	if l == nil {
		return nil
	}
	return pem.EncodeToMemory(&pem.Block{Type: revocationsBlock, Bytes: l.Bytes})
}

// subjectExtension is a subject alternative name of one URI, re6st:node:ID.
func subjectExtension(id addr.NodeID) (pkix.Extension, error) {
	uri := url.URL{Scheme: nodeScheme, Opaque: nodePrefix + id.String()}
	value, err := asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: uriTag, Bytes: []byte(uri.String())}})
	if err != nil {
		return pkix.Extension{}, fmt.Errorf("%w: %w", ErrRevocations, err)
	}
	return pkix.Extension{Id: subjectOID, Value: value}, nil
}

// entryNode is the node that an entry names.
func entryNode(e x509.RevocationListEntry) (id addr.NodeID, err error) {
	for _, x := range e.Extensions {
		if !x.Id.Equal(subjectOID) {
			continue
		}
		var names []asn1.RawValue
		if rest, err := asn1.Unmarshal(x.Value, &names); err != nil || len(rest) > 0 || len(names) != 1 || names[0].Tag != uriTag {
			return id, fmt.Errorf("%w: entry %s does not name one URI", ErrRevocations, e.SerialNumber)
		}
		digits, ok := strings.CutPrefix(string(names[0].Bytes), nodeScheme+":"+nodePrefix)
		if !ok {
			return id, fmt.Errorf("%w: entry %s names %q, which is no node", ErrRevocations, e.SerialNumber, names[0].Bytes)
		}
		if id, err = addr.ParseNodeID(digits); err != nil {
			return id, fmt.Errorf("%w: entry %s: %w", ErrRevocations, e.SerialNumber, err)
		}
		return id, nil
	}
	return id, fmt.Errorf("%w: entry %s names no node", ErrRevocations, e.SerialNumber)
}
