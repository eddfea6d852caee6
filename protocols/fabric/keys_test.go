package fabric

import "testing"

func TestEachPurposeAndSuiteHasItsOwnKey(t *testing.T) {
	tags := map[string]string{}
	for _, suite := range []Suite{ChaCha20Poly1305, AESGCM} {
		for _, label := range []string{labelLinkAEAD, labelHopMAC, labelSession} {
			for _, root := range [][32]byte{{1}, {2}} {
				aead, err := suite.aead(root, label)
				if err != nil {
					t.Fatal(err)
				}
				tag := string(aead.Seal(nil, make([]byte, nonceLen), nil, nil))
				name := suite.String() + " " + label
				if other, ok := tags[tag]; ok {
					t.Errorf("%s has the key of %s", name, other)
				}
				tags[tag] = name
			}
		}
	}
}
