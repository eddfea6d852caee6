package fabric

import "reflect"

// SuiteOf tells by its AEAD what suite a session has.
func SuiteOf(s *LinkSession) Suite {
	aes, _ := AESGCM.aead([32]byte{1}, "")
	if reflect.TypeOf(s.sendAEAD) == reflect.TypeOf(aes) {
		return AESGCM
	}
	return ChaCha20Poly1305
}

const (
	MaxSourceHalfOpen = maxSourceHalfOpen
	MaxRetries        = maxRetries
)

// RetryFor is what answers an initiation with another cookie.
func RetryFor(c *Credentials, datagram []byte, n byte) []byte {
	h, err := parseHandshakeHeader(datagram)
	if err != nil {
		panic(err)
	}
	answered := [handshakeMACLen]byte(datagram[len(datagram)-handshakeMACLen:])
	return appendRetry(nil, h.sender, cookie{n}, newMACKey(c.Authority.Fingerprint), answered)
}
