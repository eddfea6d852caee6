package fabric

import (
	"crypto/hkdf"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/flynn/noise"
	"golang.org/x/crypto/blake2s"
	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/crypto/curve25519"

	"re6st/protocols/addr"
)

const keyLen = 32 // X25519 keys, hashes and roots

// noiseSuite is the second half of the protocol's names,
// Noise_IK_25519_ChaChaPoly_BLAKE2s and Noise_XX_25519_ChaChaPoly_BLAKE2s.
var noiseSuite = noise.NewCipherSuite(noise.DH25519, noise.CipherChaChaPoly, noise.HashBLAKE2s)

// pattern of a Noise handshake. IX is not among them: it shows the initiator to
// whoever answers.
type pattern uint8

const (
	patternNone pattern = 0 // an initiation that only asks for a cookie
	patternXX   pattern = 1
	patternIK   pattern = 2
)

// purpose keeps handshakes of links and of sessions from being taken for each
// other.
type purpose uint8

const (
	purposeLink    purpose = 1
	purposeSession purpose = 2
)

// Labels of what is derived here.
const (
	labelPrologue = "re6st fabric handshake\x00"
	labelRoot     = "re6st fabric v1 root "
	labelVerdict  = "re6st fabric v1 verdict "
	labelConfirm  = "re6st fabric v1 confirm "
)

// prologue is what both ends must agree on before the first message. The cookie
// is in it so that a recorded initiation is worth nothing with another one. The
// nodes are the initiator and the responder of a session, zero for links.
func (c *Credentials) prologue(p purpose, ck cookie, initiator, responder addr.NodeID) []byte {
	b := append([]byte(labelPrologue), Version, byte(p))
	b = append(b, c.Authority.Fingerprint[:]...)
	b = append(b, ck[:]...)
	if p == purposeSession {
		b = append(b, initiator[:]...)
		b = append(b, responder[:]...)
	}
	return b
}

// exchange is one side of one Noise handshake.
type exchange struct {
	state     *noise.HandshakeState
	initiator bool

	done   bool
	toward [2][keyLen]byte // Noise's split: keys towards the responder and the initiator
}

func (c *Credentials) newExchange(p pattern, initiator bool, prologue, peerStatic []byte, rand io.Reader) (*exchange, error) {
	config := noise.Config{
		CipherSuite: noiseSuite, Random: rand, Initiator: initiator, Prologue: prologue,
		StaticKeypair: c.Static, Pattern: noise.HandshakeXX,
	}
	if p == patternIK {
		config.Pattern = noise.HandshakeIK
		config.PeerStatic = peerStatic
	}
	state, err := noise.NewHandshakeState(config)
	if err != nil {
		return nil, fmt.Errorf("fabric: start of a handshake: %w", err)
	}
	return &exchange{state: state, initiator: initiator}, nil
}

// write is the next message.
func (x *exchange) write(payload []byte) ([]byte, error) {
	m, a, b, err := x.state.WriteMessage(nil, payload)
	if err != nil {
		return nil, fmt.Errorf("fabric: handshake message: %w", err)
	}
	x.finish(a, b)
	return m, nil
}

// read takes the peer's next message and returns its payload. After a failure
// the exchange stands where it stood, so that a forger cannot end it.
func (x *exchange) read(m []byte) ([]byte, error) {
	// Noise rolls back its hashes by itself, but not its key and nonce.
	before := *x.state
	payload, a, b, err := x.state.ReadMessage(nil, m)
	if err != nil {
		*x.state = before
		return nil, ErrAuth
	}
	x.finish(a, b)
	return payload, nil
}

func (x *exchange) finish(a, b *noise.CipherState) {
	if a != nil {
		x.done = true
		x.toward = [2][keyLen]byte{a.UnsafeKey(), b.UnsafeKey()}
	}
}

func (x *exchange) peerStatic() (k [keyLen]byte) {
	copy(k[:], x.state.PeerStatic())
	return k
}

// keys are the roots, bound to the transcript by its hash.
func (x *exchange) keys() (Keys, error) {
	if !x.done {
		return Keys{}, errors.New("fabric: keys of an unfinished handshake")
	}
	toResponder, err := x.derive(0, labelRoot)
	if err != nil {
		return Keys{}, err
	}
	toInitiator, err := x.derive(1, labelRoot)
	if err != nil {
		return Keys{}, err
	}
	if x.initiator {
		return Keys{Send: toResponder, Receive: toInitiator}, nil
	}
	return Keys{Send: toInitiator, Receive: toResponder}, nil
}

func (x *exchange) derive(direction int, label string) (k [keyLen]byte, err error) {
	b, err := hkdf.Expand(newBLAKE2s, x.toward[direction][:], label+string(x.state.ChannelBinding()), keyLen)
	if err != nil {
		return k, fmt.Errorf("%w: %w", ErrKeys, err)
	}
	copy(k[:], b)
	return k, nil
}

// sealVerdict is the responder's answer to a final: what it decided.
func (x *exchange) sealVerdict(header []byte, r CloseReason) ([]byte, error) {
	key, err := x.derive(1, labelVerdict)
	if err != nil {
		return nil, err
	}
	aead, err := chacha20poly1305.New(key[:])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeys, err)
	}
	// One message per key, sent again unchanged: the nonce may be constant.
	return aead.Seal(nil, make([]byte, nonceLen), []byte{byte(r)}, header), nil
}

func (x *exchange) openVerdict(header, sealed []byte) (CloseReason, error) {
	key, err := x.derive(1, labelVerdict)
	if err != nil {
		return 0, err
	}
	aead, err := chacha20poly1305.New(key[:])
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrKeys, err)
	}
	b, err := aead.Open(nil, make([]byte, nonceLen), sealed, header)
	if err != nil || len(b) != 1 {
		return 0, ErrAuth
	}
	return CloseReason(b[0]), nil
}

// isLowOrder tells whether an ephemeral key would end the exchange: Noise does
// not roll back after such a one.
func isLowOrder(ephemeral []byte) bool {
	scalar := [keyLen]byte{8}
	_, err := curve25519.X25519(scalar[:], ephemeral)
	return err != nil
}

func newBLAKE2s() hash.Hash {
	h, err := blake2s.New256(nil)
	if err != nil {
		panic(err) // only a key that is too long fails
	}
	return h
}

// newMAC is BLAKE2s-128 with a key of up to 32 bytes.
func newMAC(key []byte) hash.Hash {
	h, err := blake2s.New128(key)
	if err != nil {
		panic(err) // only a key that is missing or too long fails
	}
	return h
}
