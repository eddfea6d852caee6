package cert

import (
	"crypto"
	"fmt"
	"io"
)

// bindingLabel keeps a binding from being taken for a signature of anything else.
const bindingLabel = "re6st static key v1\x00"

// SignKey binds a static X25519 public key to the certificate of signer's key in
// the network whose CA has this fingerprint.
func SignKey(rand io.Reader, signer crypto.Signer, ca, static [32]byte) ([]byte, error) {
	return Sign(rand, signer, bindingMessage(ca, static))
}

// VerifyKey checks that static is the X25519 key of the node id; else it is
// ErrBinding.
func VerifyKey(id *Identity, ca, static [32]byte, sig []byte) error {
	return VerifyKeyBy(id.Certificate.PublicKey, ca, static, sig)
}

// VerifyKeyBy is VerifyKey for the holder of a key that has no certificate yet.
func VerifyKeyBy(key crypto.PublicKey, ca, static [32]byte, sig []byte) error {
	if err := CheckSignature(key, bindingMessage(ca, static), sig); err != nil {
		return fmt.Errorf("%w: %w", ErrBinding, err)
	}
	return nil
}

func bindingMessage(ca, static [32]byte) []byte {
	m := append([]byte(bindingLabel), ca[:]...)
	return append(m, static[:]...)
}
