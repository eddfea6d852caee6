package registry_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"re6st/protocols/addr"
	"re6st/protocols/cert"
	"re6st/protocols/registry"
)

func TestRightsSurviveSigningAndGoAgain(t *testing.T) {
	i := issuer(t)
	a := registry.Right{Node: addr.NodeIDFromUint64(9), Gateway: true}
	b := registry.Right{Node: addr.NodeIDFromUint64(5), Import: []netip.Prefix{netip.MustParsePrefix("2001:db8:77::/48"), netip.MustParsePrefix("192.0.2.0/24")}}
	p := registry.DefaultParams(i.Authority).WithRight(a).WithRight(b)
	p.Origins = registry.OriginsRequire
	got, err := registry.VerifyParams(i.Authority, sign(t, i, p).Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if want := []registry.Right{b, a}; !reflect.DeepEqual(got.Rights, want) || got.Origins != registry.OriginsRequire {
		t.Errorf("%+v, %s", got.Rights, got.Origins)
	}
	if r := got.RightOf(a.Node); !reflect.DeepEqual(r, a) {
		t.Errorf("%+v", r)
	}
	if left := got.WithRight(registry.Right{Node: a.Node}).Rights; !reflect.DeepEqual(left, []registry.Right{b}) {
		t.Errorf("%+v", left)
	}
}

func TestBadRightsAreRefused(t *testing.T) {
	many := `{"node":"0000000000000001","import":[` + strings.TrimSuffix(strings.Repeat(`"192.0.2.0/24",`, registry.MaxImports+1), ",") + `]}`
	var nodes []string
	for n := range registry.MaxRights + 1 {
		nodes = append(nodes, fmt.Sprintf(`{"node":"%016x","gateway":true}`, n+1))
	}
	for _, bad := range []string{
		`rights=7`, `rights=[{"node":"0000000000000000","gateway":true}]`, `rights=[{"node":"0000000000000001"}]`,
		`rights=[{"node":"0000000000000001","gateway":true},{"node":"0000000000000001","gateway":true}]`,
		`rights=[{"node":"0000000000000001","import":["::/0"]}]`, `rights=[{"node":"0000000000000001","import":["192.0.2.1/24"]}]`,
		`rights=[` + many + `]`, `rights=[` + strings.Join(nodes, ",") + `]`, `origins=maybe`,
	} {
		s, err := registry.ParseSetting(bad)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := registry.DefaultParams(issuer(t).Authority).WithAll([]registry.Setting{s}); !errors.Is(err, registry.ErrParams) {
			t.Errorf("%.80s: %v", bad, err)
		}
	}
}

// Nodes are updated one by one: parameters of before there were claims hold.
func TestParametersOfBeforeThereWereClaimsPreferThem(t *testing.T) {
	i := issuer(t)
	body, err := json.Marshal(registry.DefaultParams(i.Authority))
	if err != nil {
		t.Fatal(err)
	}
	before := bytes.Replace(body, []byte(`,"origins":"prefer","rights":[]`), nil, 1)
	if bytes.Equal(before, body) {
		t.Fatalf("%s", body)
	}
	signed := signBody(t, i, before)
	p, err := registry.VerifyParams(i.Authority, signed)
	if err != nil {
		t.Fatal(err)
	}
	if p.Origins != registry.OriginsPrefer || p.Rights == nil {
		t.Errorf("%q, %v", p.Origins, p.Rights)
	}
}

// signBody signs the JSON of parameters as SignParams does.
func signBody(t *testing.T, i *cert.Issuer, body []byte) []byte {
	t.Helper()
	signature, err := i.Sign(rand.Reader, append([]byte("re6st parameters v1\x00"), body...))
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Appendf(nil, "%s\n%s\n", body, base64.StdEncoding.EncodeToString(signature))
}
