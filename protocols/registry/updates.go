package registry

import (
	"fmt"
	"net/url"
	"strconv"
	"time"

	"re6st/protocols/cert"
)

// MaxHold is how long the registry holds a call for updates while there are none.
const MaxHold = 55 * time.Second

// Held are the numbers of the documents that a node has; 0: none.
type Held struct{ Params, CRL uint64 }

// Query is what stands behind PathUpdates.
func (h Held) Query() string { return fmt.Sprintf("?params=%d&crl=%d", h.Params, h.CRL) }

// ParseHeld reads the query of a call for updates; ErrRequest says what is wrong. A
// number that is not there is 0.
func ParseHeld(query string) (h Held, err error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return h, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	for key, number := range map[string]*uint64{"params": &h.Params, "crl": &h.CRL} {
		text := values.Get(key)
		if text == "" {
			continue
		}
		if *number, err = strconv.ParseUint(text, 10, 64); err != nil {
			return Held{}, fmt.Errorf("%w: %s=%q is not a number", ErrRequest, key, text)
		}
	}
	return h, nil
}

// UpdatesResponse holds the signed bytes of what is newer; both empty after MaxHold.
type UpdatesResponse struct {
	Params []byte `json:"params,omitempty"`
	CRL    []byte `json:"crl,omitempty"`
}

// ParseUpdatesResponse reads the answer to a call for updates. What is in it has to
// be verified.
func ParseUpdatesResponse(body []byte) (UpdatesResponse, error) {
	return parse[UpdatesResponse](body, MaxUpdates)
}

// RenewRequest asks for another certificate, with the present one shown in TLS: of
// the same key, or of another one.
type RenewRequest struct {
	CSR     []byte    `json:"csr"`
	Static  StaticKey `json:"static"`
	Binding []byte    `json:"binding"` // cert.SignKey of Static by the CSR's key
}

// RenewResponse is the new certificate; prefix and id are those of the present one.
type RenewResponse struct {
	Certificate []byte `json:"certificate"`
}

// ParseRenewRequest reads the body of a renewal; ErrRequest says what is wrong.
func ParseRenewRequest(body []byte) (RenewRequest, error) {
	r, err := parse[RenewRequest](body, MaxRequest)
	if err != nil {
		return r, err
	}
	if r.Static == (StaticKey{}) || len(r.CSR) == 0 || len(r.CSR) > cert.MaxRequest || len(r.Binding) == 0 || len(r.Binding) > maxBinding {
		return r, fmt.Errorf("%w: static key, csr of 1 to %d bytes and binding of 1 to %d are needed", ErrRequest, cert.MaxRequest, maxBinding)
	}
	return r, nil
}

// ParseRenewResponse reads the answer to a renewal, which has to be verified.
func ParseRenewResponse(body []byte) (RenewResponse, error) {
	return parse[RenewResponse](body, MaxResponse)
}
