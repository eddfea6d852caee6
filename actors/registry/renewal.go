package registry

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"re6st/hw/nodedir"
	"re6st/protocols/cert"
	"re6st/protocols/registry"
)

// renewalFile holds a new identity as a whole, from when it is known until each of
// its files is in its place: so a node that is killed meanwhile, or loses its power,
// finds the old identity or the new one.
const renewalFile = "renewal.json"

// renewalVersion is that of renewalFile.
const renewalVersion = 1

type renewalJSON struct {
	Version int           `json:"version"`
	Files   []renewedFile `json:"files"`
}

type renewedFile struct {
	Name    string `json:"name"`
	Private bool   `json:"private"`
	Content []byte `json:"content"`
}

// Renewing says whose certificate to renew.
type Renewing struct {
	Dir    nodedir.Dir
	Member *Member
	Client *Client
	NewKey bool // and to change the keys, the certificate's and the static one
	Now    func() time.Time
}

// Renew gets a node another certificate, in one attempt, and keeps it in the node's
// folder; prefix and id stay. With new keys the registry takes the old certificate
// until it sees the new one. Interrupted, it can be called again.
func Renew(ctx context.Context, r Renewing) (*Member, error) {
	next := *r.Member
	if r.NewKey {
		if err := next.changeKeys(r.Dir); err != nil {
			return nil, err
		}
	}
	csr, err := cert.NewRequest(rand.Reader, next.Key)
	if err != nil {
		return nil, err
	}
	next.Certificate, err = r.Client.renew(ctx, registry.RenewRequest{
		CSR: csr, Static: registry.StaticKey(next.StaticPublic), Binding: next.Binding,
	})
	if err != nil {
		return nil, err
	}
	if err := next.checkRenewed(r.Member, r.Now()); err != nil {
		return nil, fmt.Errorf("the registry's answer: %w", err)
	}
	return &next, next.saveRenewed(r.Dir, r.NewKey)
}

// changeKeys draws new keys, or takes those of an attempt that was interrupted.
func (m *Member) changeKeys(d nodedir.Dir) error {
	key, static, err := pendingKeys(d, renewingKey, renewingStatic, keyType(m.Key))
	if err != nil {
		return err
	}
	m.Key = key
	copy(m.StaticPrivate[:], static.Bytes())
	copy(m.StaticPublic[:], static.PublicKey().Bytes())
	m.Binding, err = cert.SignKey(rand.Reader, key, m.Authority.Fingerprint, m.StaticPublic)
	return err
}

// keyType is the algorithm of a node's next key: that of the last one.
func keyType(key crypto.Signer) cert.KeyType {
	switch key.(type) {
	case *rsa.PrivateKey:
		return cert.RSA
	case ed25519.PrivateKey:
		return cert.Ed25519
	case *ecdsa.PrivateKey:
	}
	return cert.ECDSA
}

// checkRenewed verifies a certificate that came in place of another.
func (m *Member) checkRenewed(before *Member, now time.Time) (err error) {
	if m.Identity, err = m.Authority.VerifyFloor(m.Certificate, now); err != nil {
		return err
	}
	if m.Identity.ID != before.Identity.ID || m.Identity.Prefix != before.Identity.Prefix {
		return fmt.Errorf("it is for node %s with prefix %s", m.Identity.ID, m.Identity.Prefix.CN())
	}
	if err := sameKey(m.Identity.Certificate.PublicKey, m.Key.Public()); err != nil {
		return err
	}
	return cert.VerifyKey(m.Identity, m.Authority.Fingerprint, m.StaticPublic, m.Binding)
}

// saveRenewed puts the renewed identity in the place of the old one.
func (m *Member) saveRenewed(d nodedir.Dir, newKey bool) error {
	files := []renewedFile{{Name: certificateFile, Content: cert.EncodeCertificate(m.Certificate)}}
	if newKey {
		key, static, err := m.encodeKeys()
		if err != nil {
			return err
		}
		files = append(files, renewedFile{keyFile, true, key}, renewedFile{staticFile, true, static})
	}
	text, err := json.Marshal(renewalJSON{renewalVersion, files})
	if err != nil {
		return err
	}
	if err := d.Write(renewalFile, append(text, '\n'), nodedir.Private); err != nil {
		return err
	}
	return errors.Join(finishRenewal(d), d.Remove(renewingKey), d.Remove(renewingStatic))
}

// finishRenewal puts the files of a renewal in their places, if there is one.
func finishRenewal(d nodedir.Dir) error {
	text, err := d.Read(renewalFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var r renewalJSON
	if err := json.Unmarshal(text, &r); err != nil {
		return err
	}
	if r.Version != renewalVersion {
		return fmt.Errorf("version %d, want %d", r.Version, renewalVersion)
	}
	for _, f := range r.Files {
		perm := nodedir.Public
		if f.Private {
			perm = nodedir.Private
		}
		if err := d.Write(f.Name, f.Content, perm); err != nil {
			return err
		}
	}
	return d.Remove(renewalFile)
}
