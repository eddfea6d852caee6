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
