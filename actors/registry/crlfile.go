package registry

import (
	"errors"
	"fmt"
	"io/fs"

	"re6st/hw/nodedir"
	"re6st/protocols/cert"
)

// crlFile is the newest revocation list that a node has seen, in DER.
const crlFile = "ca.crl"

// LoadCRL reads the revocation list in a node's folder: nil where there is none. One
// that is spoilt is an error that need not keep a node from starting, as the
// registry and the peers have it too.
func LoadCRL(d nodedir.Dir, a *cert.Authority) (*cert.RevocationList, error) {
	der, err := d.Read(crlFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	l, err := a.ParseRevocations(der)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.Path(crlFile), err)
	}
	return l, nil
}

// SaveCRL keeps a newer revocation list for the next start.
func SaveCRL(d nodedir.Dir, l *cert.RevocationList) error {
	return d.Write(crlFile, l.Bytes, nodedir.Public)
}
