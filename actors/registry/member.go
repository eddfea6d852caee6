package registry

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"re6st/hw/nodedir"
	"re6st/protocols/cert"
	"re6st/protocols/registry"
)

// The files of a node's identity. certificateFile is written last: without it
// there is no identity, only an unfinished join.
const (
	caFile          = "ca.crt"
	certificateFile = "node.crt"
	keyFile         = "node.key"
	staticFile      = "static.key" // X25519 private key and its binding
	paramsFile      = "params"
	registryFile    = "registry" // host:port and the CA's fingerprint
	ConfigFile      = "node.toml"

	// pendingKey and pendingStatic are the keys of a join without an answer yet:
	// with them it can be repeated and gets the same certificate.
	pendingKey    = "joining-node.key"
	pendingStatic = "joining-static.key"
	// renewingKey and renewingStatic are likewise those of a renewal with new keys.
	renewingKey    = "renewing-node.key"
	renewingStatic = "renewing-static.key"
)

// bindingBlock is the PEM type of the binding in staticFile.
const bindingBlock = "RE6ST KEY BINDING"

// Member is a node's identity in its network. It is immutable.
type Member struct {
	Authority     *cert.Authority
	Certificate   []byte // DER
	Identity      *cert.Identity
	Key           crypto.Signer // of Certificate
	StaticPrivate [32]byte      // X25519
	StaticPublic  [32]byte
	Binding       []byte // of StaticPublic to Certificate
	Registry      registry.HostPort
	Params        *registry.SignedParams // the newest that were saved
}

// LoadMember reads the identity in a node's folder and checks that its parts
// belong together and have not expired at now, which may be a floor: the time on
// a device without a clock. Errors are ErrMember with the file.
func LoadMember(d nodedir.Dir, now time.Time) (*Member, error) {
	if err := finishRenewal(d); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrMember, d.Path(renewalFile), err)
	}
	if !d.Has(certificateFile) {
		return nil, fmt.Errorf("%w: no %s; `re6st join` makes one", ErrMember, d.Path(certificateFile))
	}
	m := &Member{}
	for _, part := range []struct {
		file string
		read func(*Member, []byte) error
	}{
		{caFile, (*Member).readAuthority},
		{certificateFile, func(m *Member, b []byte) error { return m.readCertificate(b, now) }},
		{keyFile, (*Member).readKey},
		{staticFile, (*Member).readStatic},
		{registryFile, (*Member).readRegistry},
		{paramsFile, (*Member).readParams},
	} {
		b, err := d.Read(part.file)
		if err == nil {
			err = part.read(m, b)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrMember, d.Path(part.file), err)
		}
	}
	return m, nil
}

// SaveParams keeps newer parameters for the next start. Those that the disk does not
// take are written by Dir.Retry.
func SaveParams(d nodedir.Dir, p *registry.SignedParams) error {
	return d.Keep(paramsFile, p.Bytes, nodedir.Public)
}

func (m *Member) readAuthority(text []byte) error {
	der, err := cert.DecodeCertificate(text)
	if err == nil {
		m.Authority, err = cert.ParseAuthority(der)
	}
	return err
}

func (m *Member) readCertificate(text []byte, now time.Time) (err error) {
	if m.Certificate, err = cert.DecodeCertificate(text); err == nil {
		m.Identity, err = m.Authority.VerifyFloor(m.Certificate, now)
	}
	return err
}

func (m *Member) readKey(text []byte) (err error) {
	if m.Key, err = cert.ParseKey(text); err != nil {
		return err
	}
	return sameKey(m.Identity.Certificate.PublicKey, m.Key.Public())
}

func (m *Member) readStatic(text []byte) error {
	key, rest, err := parseStatic(text)
	if err != nil {
		return err
	}
	binding, _ := pem.Decode(rest)
	if binding == nil || binding.Type != bindingBlock {
		return fmt.Errorf("no PEM block %q", bindingBlock)
	}
	copy(m.StaticPrivate[:], key.Bytes())
	copy(m.StaticPublic[:], key.PublicKey().Bytes())
	m.Binding = binding.Bytes
	return cert.VerifyKey(m.Identity, m.Authority.Fingerprint, m.StaticPublic, m.Binding)
}

func (m *Member) readRegistry(text []byte) error {
	at, fingerprint, err := parseNetwork(text)
	if err != nil {
		return err
	}
	if fingerprint != m.Authority.Fingerprint {
		return fmt.Errorf("%w: its fingerprint is not that of %s", ErrFingerprint, caFile)
	}
	m.Registry = at
	return nil
}

func (m *Member) readParams(signed []byte) (err error) {
	m.Params, err = registry.VerifyParams(m.Authority, signed)
	return err
}

// LoadNetwork tells from a node's folder where its registry is, and the fingerprint of the
// CA, whatever has become of the certificate.
func LoadNetwork(d nodedir.Dir) (at registry.HostPort, fingerprint [32]byte, err error) {
	text, err := d.Read(registryFile)
	if err == nil {
		at, fingerprint, err = parseNetwork(text)
	}
	if err != nil {
		return at, fingerprint, fmt.Errorf("%w: %s: %w", ErrMember, d.Path(registryFile), err)
	}
	return at, fingerprint, nil
}

func parseNetwork(text []byte) (at registry.HostPort, fingerprint [32]byte, err error) {
	words := strings.Fields(string(text))
	if len(words) != 2 {
		return at, fingerprint, errors.New("want host:port and a fingerprint")
	}
	if fingerprint, err = registry.ParseFingerprint(words[1]); err != nil {
		return at, fingerprint, err
	}
	at, err = registry.ParseHostPort(words[0])
	return at, fingerprint, err
}

// save writes the identity. Killed halfway, it leaves an unfinished join.
func (m *Member) save(d nodedir.Dir) error {
	key, static, err := m.encodeKeys()
	if err != nil {
		return err
	}
	where := fmt.Sprintf("%s %s\n", m.Registry, hex.EncodeToString(m.Authority.Fingerprint[:]))
	if err := d.Remove(certificateFile); err != nil {
		return err
	}
	if !d.Has(ConfigFile) {
		if err := d.Write(ConfigFile, []byte(configTemplate), nodedir.Public); err != nil {
			return err
		}
	}
	for _, f := range []struct {
		name    string
		content []byte
		private bool
	}{
		{caFile, cert.EncodeCertificate(m.Authority.Certificate.Raw), false},
		{keyFile, key, true},
		{staticFile, static, true},
		{registryFile, []byte(where), false},
		{paramsFile, m.Params.Bytes, false},
		{certificateFile, cert.EncodeCertificate(m.Certificate), false},
	} {
		perm := nodedir.Public
		if f.private {
			perm = nodedir.Private
		}
		if err := d.Write(f.name, f.content, perm); err != nil {
			return err
		}
	}
	return errors.Join(d.Remove(pendingKey), d.Remove(pendingStatic))
}

// encodeKeys are the contents of keyFile and staticFile.
func (m *Member) encodeKeys() (key, static []byte, err error) {
	if key, err = cert.EncodeKey(m.Key); err != nil {
		return nil, nil, err
	}
	private, err := ecdh.X25519().NewPrivateKey(m.StaticPrivate[:])
	if err != nil {
		return nil, nil, err
	}
	if static, err = encodeStatic(private); err != nil {
		return nil, nil, err
	}
	return key, append(static, pem.EncodeToMemory(&pem.Block{Type: bindingBlock, Bytes: m.Binding})...), nil
}

// configTemplate is a configuration that says nothing, for a person to edit.
const configTemplate = `# Configuration of this node; "re6st node --help" lists all keys.
# What is not said here has its default, or comes from the network's parameters.

# The UDP port, for everything; 0 takes a free one.
#port = 7326

# More addresses at which others reach this node, beside those they see.
#endpoints = ["203.0.113.5:7326"]

# Interfaces whose neighbors may announce routes without a certificate.
#trusted = []
`

// pendingKeys are the keys to ask for a certificate with, in files of these names:
// those of an unfinished attempt, else new ones, which are on disk before they are
// used.
func pendingKeys(d nodedir.Dir, keyFile, staticFile string, t cert.KeyType) (key crypto.Signer, static *ecdh.PrivateKey, err error) {
	if d.Has(staticFile) {
		return readPending(d, keyFile, staticFile)
	}
	if key, err = cert.GenerateKey(rand.Reader, t); err != nil {
		return nil, nil, err
	}
	if static, err = ecdh.X25519().GenerateKey(rand.Reader); err != nil {
		return nil, nil, err
	}
	keyText, err := cert.EncodeKey(key)
	if err != nil {
		return nil, nil, err
	}
	staticText, err := encodeStatic(static)
	if err != nil {
		return nil, nil, err
	}
	if err := d.Write(keyFile, keyText, nodedir.Private); err != nil {
		return nil, nil, err
	}
	return key, static, d.Write(staticFile, staticText, nodedir.Private)
}

func readPending(d nodedir.Dir, keyFile, staticFile string) (crypto.Signer, *ecdh.PrivateKey, error) {
	text, err := d.Read(keyFile)
	if err != nil {
		return nil, nil, err
	}
	key, err := cert.ParseKey(text)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", d.Path(keyFile), err)
	}
	if text, err = d.Read(staticFile); err != nil {
		return nil, nil, err
	}
	static, _, err := parseStatic(text)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", d.Path(staticFile), err)
	}
	return key, static, nil
}

func encodeStatic(key *ecdh.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}

// parseStatic reads an X25519 key and returns what stands behind it.
func parseStatic(text []byte) (*ecdh.PrivateKey, []byte, error) {
	block, rest := pem.Decode(text)
	if block == nil {
		return nil, nil, errors.New("no PEM block")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, nil, err
	}
	key, ok := parsed.(*ecdh.PrivateKey)
	if !ok || key.Curve() != ecdh.X25519() {
		return nil, nil, errors.New("not an X25519 key")
	}
	return key, rest, nil
}

func sameKey(a, b crypto.PublicKey) error {
	x, errX := cert.KeyFingerprint(a)
	y, errY := cert.KeyFingerprint(b)
	if err := errors.Join(errX, errY); err != nil {
		return err
	}
	if !bytes.Equal(x[:], y[:]) {
		return errors.New("it is not the key of the certificate")
	}
	return nil
}
