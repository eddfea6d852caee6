package registry

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/rand"
	"fmt"
	"time"

	"re6st/hw/nodedir"
	"re6st/protocols/cert"
	"re6st/protocols/registry"
)

// Joining says what to join and how.
type Joining struct {
	Dir     nodedir.Dir
	Line    registry.JoinLine
	KeyType cert.KeyType // of the new key; that of an unfinished join stays
	Force   bool         // replace an identity that is there
	NoClock bool         // this device does not know the time: take the registry's word
	Dial    Dial         // nil: the usual one
	Now     func() time.Time
	Waiting func(error) // told each time before another attempt
}

// Join makes this folder the home of a node: it redeems the token and saves the
// identity. It goes on trying to reach the registry until ctx ends. Killed, or
// left without an answer, it can be run again with the same line. An identity that
// is there already is ErrExists, unless Force.
func Join(ctx context.Context, j Joining) (*Member, error) {
	if j.Dir.Has(certificateFile) && !j.Force {
		return nil, fmt.Errorf("identity in %s: %w; --force replaces it", j.Dir.Path(""), ErrExists)
	}
	key, static, err := pendingKeys(j.Dir, pendingKey, pendingStatic, j.KeyType)
	if err != nil {
		return nil, err
	}
	public := static.PublicKey().Bytes()
	binding, err := cert.SignKey(rand.Reader, key, j.Line.Fingerprint, [32]byte(public))
	if err != nil {
		return nil, err
	}
	var sent time.Time
	if !j.NoClock {
		sent = j.Now()
	}
	request, err := newJoinRequest(j.Line, key, public, binding, sent)
	if err != nil {
		return nil, err
	}
	authority, answer, err := newJoinClient(j.Line, j.Dial, j.Now).join(ctx, j.Line, request, j.Waiting)
	if err != nil {
		return nil, err
	}
	m, err := j.member(authority, answer, key, static, binding)
	if err != nil {
		return nil, fmt.Errorf("the registry's answer: %w", err)
	}
	return m, m.save(j.Dir)
}

// member verifies the answer.
func (j *Joining) member(a *cert.Authority, answer registry.JoinResponse, key crypto.Signer, static *ecdh.PrivateKey, binding []byte) (*Member, error) {
	if !bytes.Equal(answer.CA, a.Certificate.Raw) {
		return nil, fmt.Errorf("%w: another CA than the server's", ErrFingerprint)
	}
	verify := a.Verify
	if j.NoClock {
		verify = a.VerifyFloor
	}
	id, err := verify(answer.Certificate, j.Now())
	if err != nil {
		return nil, err
	}
	if err := sameKey(id.Certificate.PublicKey, key.Public()); err != nil {
		return nil, err
	}
	params, err := registry.VerifyParams(a, answer.Params)
	if err != nil {
		return nil, err
	}
	m := &Member{
		Authority: a, Certificate: answer.Certificate, Identity: id, Key: key, Binding: binding,
		Registry: j.Line.HostPort, Params: params,
	}
	copy(m.StaticPrivate[:], static.Bytes())
	copy(m.StaticPublic[:], static.PublicKey().Bytes())
	return m, nil
}
