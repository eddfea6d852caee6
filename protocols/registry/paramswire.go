package registry

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"re6st/protocols/addr"
	"re6st/protocols/cert"
)

// MaxParams is the size of the largest signed parameters accepted, in bytes.
const MaxParams = 8 << 10

// paramsLabel keeps the CA's signature on parameters from meaning anything else.
const paramsLabel = "re6st parameters v1\x00"

// SignedParams is a version of the parameters with the bytes that the CA signed
// and its signature. It is immutable.
type SignedParams struct {
	Params
	// Bytes are what is stored and passed on: the JSON on one line, the signature
	// in base64 on the next. The owner is SignedParams.
	Bytes []byte
}

// SignParams makes a version of the parameters.
func SignParams(rand io.Reader, ca *cert.Issuer, p Params) (*SignedParams, error) {
	if err := p.checkFor(ca.Authority); err != nil {
		return nil, err
	}
	body, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrParams, err)
	}
	signature, err := ca.Sign(rand, append([]byte(paramsLabel), body...))
	if err != nil {
		return nil, fmt.Errorf("sign parameters %d: %w", p.Number, err)
	}
	b := append(body, '\n')
	b = base64.StdEncoding.AppendEncode(b, signature)
	b = append(b, '\n')
	if len(b) > MaxParams {
		return nil, fmt.Errorf("%w: %d bytes when signed, at most %d", ErrParams, len(b), MaxParams)
	}
	return &SignedParams{p, b}, nil
}

// VerifyParams reads a version of the parameters of the network of a, from its
// signed bytes, which are copied.
func VerifyParams(a *cert.Authority, signed []byte) (*SignedParams, error) {
	if len(signed) > MaxParams {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrParams, len(signed), MaxParams)
	}
	body, rest, ok := bytes.Cut(signed, []byte{'\n'})
	encoded, end, ended := bytes.Cut(rest, []byte{'\n'})
	if !ok || !ended || len(end) > 0 {
		return nil, fmt.Errorf("%w: want two lines, JSON and signature", ErrParams)
	}
	signature, err := base64.StdEncoding.Strict().DecodeString(string(encoded))
	if err != nil {
		return nil, fmt.Errorf("%w: signature: %w", ErrParams, err)
	}
	if err := a.CheckSignature(append([]byte(paramsLabel), body...), signature); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrParams, err)
	}
	p, err := decodeParams(body)
	if err != nil {
		return nil, err
	}
	if err := p.checkFor(a); err != nil {
		return nil, err
	}
	return &SignedParams{p, bytes.Clone(signed)}, nil
}

// Supersedes tells whether p is to replace held, which may be nil.
func (p *SignedParams) Supersedes(held *SignedParams) bool {
	return held == nil || p.Number > held.Number
}

// decodeParams reads the JSON. Keys it does not know are of later versions and
// are left out.
func decodeParams(body []byte) (Params, error) {
	var p Params
	if err := json.Unmarshal(body, &p); err != nil {
		return p, fmt.Errorf("%w: %w", ErrParams, err)
	}
	// What a version of before there were any does not say.
	p.Limits = p.Limits.bounded()
	if p.Registries == nil {
		p.Registries = []string{}
	}
	if p.SameCountry == nil {
		p.SameCountry = []string{}
	}
	if p.Rights == nil {
		p.Rights = []Right{}
	}
	p.Origins = cmp.Or(p.Origins, OriginsPrefer)
	p.IPv4Share = cmp.Or(p.IPv4Share, DefaultIPv4Share)
	return p, p.Check()
}

func (p Params) checkFor(a *cert.Authority) error {
	if want := addr.LocatorRange(a.Fingerprint); p.Network != a.Network || p.LocatorRange != want {
		return fmt.Errorf("%w: network %s and locators %s; the CA's are %s and %s", ErrParams, p.Network, p.LocatorRange, a.Network, want)
	}
	return p.Check()
}

// Setting is a value to change: a key as in the JSON, with dots for what lies
// deeper ("liveness.in_use"), and a value as text ("200ms", "10") or, for classes,
// as JSON.
type Setting struct{ Key, Value string }

// ParseSetting reads key=value.
func ParseSetting(s string) (Setting, error) {
	key, value, ok := strings.Cut(s, "=")
	if !ok || key == "" {
		return Setting{}, fmt.Errorf("%w: %q is not key=value", ErrParams, s)
	}
	return Setting{key, value}, nil
}

// Settings lists all values, as With takes them, in the order of the JSON.
func (p Params) Settings() ([]Setting, error) {
	body, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrParams, err)
	}
	return flatten(nil, "", body)
}

// flatten appends the values of a JSON object of ours, which therefore decodes.
func flatten(all []Setting, prefix string, object []byte) ([]Setting, error) {
	d := json.NewDecoder(bytes.NewReader(object))
	if _, err := d.Token(); err != nil { // the opening brace
		return nil, err
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		name := prefix + key.(string)
		if value[0] == '{' {
			if all, err = flatten(all, name+".", value); err != nil {
				return nil, err
			}
			continue
		}
		text := string(value)
		if value[0] == '"' {
			if err := json.Unmarshal(value, &text); err != nil {
				return nil, err
			}
		}
		all = append(all, Setting{name, text})
	}
	return all, nil
}

// WithAll is p with these values changed, and checked.
func (p Params) WithAll(changes []Setting) (Params, error) {
	for _, c := range changes {
		var err error
		if p, err = p.With(c); err != nil {
			return p, err
		}
	}
	return p, p.Check()
}

// fixedKeys follow from the CA or from the version and cannot be set.
var fixedKeys = []string{"number", "network", "locator_range"}

// With is p with one value changed, and not checked yet.
func (p Params) With(c Setting) (Params, error) {
	key, value := c.Key, c.Value
	if slices.Contains(fixedKeys, key) {
		return p, fmt.Errorf("%w: %s cannot be changed", ErrParams, key)
	}
	raw, err := rawJSON(p, key, value)
	if err != nil {
		return p, err
	}
	for _, name := range slices.Backward(strings.Split(key, ".")) {
		raw = fmt.Appendf(nil, "{%q:%s}", name, raw)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	p.Classes, p.Registries, p.Rights = slices.Clone(p.Classes), slices.Clone(p.Registries), slices.Clone(p.Rights)
	p.SameCountry = slices.Clone(p.SameCountry)
	switch key { // or the decoder would write into the array that is there
	case "classes":
		p.Classes = nil
	case "registries":
		p.Registries = nil
	case "rights":
		p.Rights = nil
	case "same_country":
		p.SameCountry = nil
	}
	if err := d.Decode(&p); err != nil {
		return p, fmt.Errorf("%w: %s=%s: %w", ErrParams, key, value, err)
	}
	return p, nil
}

// rawJSON writes value as the JSON type that key has.
func rawJSON(p Params, key, value string) ([]byte, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrParams, err)
	}
	for name := range strings.SplitSeq(key, ".") {
		var object map[string]json.RawMessage
		if json.Unmarshal(text, &object) != nil || object[name] == nil {
			return nil, fmt.Errorf("%w: unknown key %q; `re6st registry params show` lists them", ErrParams, key)
		}
		text = object[name]
	}
	switch {
	case text[0] == '"':
		return json.Marshal(value)
	case text[0] == '{':
		return nil, fmt.Errorf("%w: %q is a group of keys; set %s.KEY", ErrParams, key, key)
	case !json.Valid([]byte(value)):
		return nil, fmt.Errorf("%w: %s=%s: not a number or JSON", ErrParams, key, value)
	}
	return []byte(value), nil
}
