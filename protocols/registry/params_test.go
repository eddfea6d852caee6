package registry_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"re6st/protocols/cert"
	"re6st/protocols/registry"
)

var (
	network = netip.MustParsePrefix("2001:db8:42::/48")
	epoch   = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

func issuer(t testing.TB) *cert.Issuer {
	t.Helper()
	key, err := cert.GenerateKey(rand.Reader, cert.ECDSA)
	if err != nil {
		t.Fatal(err)
	}
	i, err := cert.NewAuthority(rand.Reader, key, network, epoch)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func sign(t testing.TB, i *cert.Issuer, p registry.Params) *registry.SignedParams {
	t.Helper()
	s, err := registry.SignParams(rand.Reader, i, p)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestParametersSurviveSigningAndVerifying(t *testing.T) {
	i := issuer(t)
	p := registry.DefaultParams(i.Authority)
	p.Classes = append(p.Classes, registry.Class{ID: 3, Name: "safety", Range: netip.MustParsePrefix("2001:db8:43::/48"), DSCP: 46})
	s := sign(t, i, p)
	got, err := registry.VerifyParams(i.Authority, s.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := json.Marshal(p)
	back, _ := json.Marshal(got.Params)
	if !bytes.Equal(want, back) || !bytes.Equal(got.Bytes, s.Bytes) {
		t.Errorf("got %s, want %s", back, want)
	}
}

func TestForgedParametersAreRefused(t *testing.T) {
	i := issuer(t)
	s := sign(t, i, registry.DefaultParams(i.Authority))
	stranger := issuer(t)
	if _, err := registry.VerifyParams(stranger.Authority, s.Bytes); !errors.Is(err, registry.ErrParams) {
		t.Errorf("of another network: %v", err)
	}
	line, signature, _ := strings.Cut(string(s.Bytes), "\n")
	for name, text := range map[string]string{
		"another value":    strings.Replace(line, `"client_count":4`, `"client_count":5`, 1) + "\n" + signature,
		"no signature":     line + "\n",
		"empty signature":  line + "\n\n",
		"no line end":      line + "\n" + strings.TrimSpace(signature),
		"a third line":     line + "\n" + signature + "x",
		"empty":            "",
		"no base64":        line + "\n*\n",
		"another encoding": " " + line + "\n" + signature,
		"too long":         strings.Repeat(" ", registry.MaxParams) + line + "\n" + signature,
	} {
		if _, err := registry.VerifyParams(i.Authority, []byte(text)); !errors.Is(err, registry.ErrParams) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Earlier versions let limits be set that no node has, and did not use them.
func TestLimitsOfEarlierVersionsAreBounded(t *testing.T) {
	i := issuer(t)
	line, _, _ := strings.Cut(string(sign(t, i, registry.DefaultParams(i.Authority)).Bytes), "\n")
	line = strings.Replace(line, `"sessions":4096`, `"sessions":1048576`, 1)
	line = strings.Replace(line, `"session_idle":"2m0s"`, `"session_idle":"1s"`, 1)
	signature, err := i.Sign(rand.Reader, append([]byte("re6st parameters v1\x00"), line...))
	if err != nil {
		t.Fatal(err)
	}
	got, err := registry.VerifyParams(i.Authority, []byte(line+"\n"+base64.StdEncoding.EncodeToString(signature)+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := registry.MostLimits
	want.SessionIdle = registry.LeastLimits.SessionIdle
	if got.Limits != want {
		t.Errorf("%+v, want %+v", got.Limits, want)
	}
}

func TestVerifiedParametersDoNotHoldTheCallersBytes(t *testing.T) {
	i := issuer(t)
	b := sign(t, i, registry.DefaultParams(i.Authority)).Bytes
	input := bytes.Clone(b)
	got, err := registry.VerifyParams(i.Authority, input)
	if err != nil {
		t.Fatal(err)
	}
	clear(input)
	if !bytes.Equal(got.Bytes, b) {
		t.Error("the bytes changed with the input")
	}
}

func TestOnlyAGreaterNumberSupersedes(t *testing.T) {
	i := issuer(t)
	p := registry.DefaultParams(i.Authority)
	one := sign(t, i, p)
	p.Number = 2
	two := sign(t, i, p)
	if !one.Supersedes(nil) || !two.Supersedes(one) || one.Supersedes(two) || one.Supersedes(one) {
		t.Error("numbers are not strictly increasing")
	}
}

// TestParametersOfBeforeIPv4AreRead: those of a network whose nodes know nothing of it.
func TestParametersOfBeforeIPv4AreRead(t *testing.T) {
	i := issuer(t)
	line, _, _ := strings.Cut(string(sign(t, i, registry.DefaultParams(i.Authority)).Bytes), "\n")
	before, ok := strings.CutSuffix(line, `,"ipv4":"","ipv4_share":24}`)
	if !ok {
		t.Fatal(line)
	}
	line = before + "}"
	signature, err := i.Sign(rand.Reader, append([]byte("re6st parameters v1\x00"), line...))
	if err != nil {
		t.Fatal(err)
	}
	got, err := registry.VerifyParams(i.Authority, []byte(line+"\n"+base64.StdEncoding.EncodeToString(signature)+"\n"))
	if err != nil || got.IPv4.IsValid() || got.IPv4Share != registry.DefaultIPv4Share {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestValuesOutOfRangeAreNamed(t *testing.T) {
	i := issuer(t)
	for _, c := range []struct{ key, value string }{
		{"client_count", "-1"},
		{"client_count", "65"},
		{"max_clients", "65"},
		{"hello_interval", "99ms"},
		{"hello_interval", "61s"},
		{"tunnel_refresh", "4s"},
		{"liveness.in_use", "19ms"},
		{"liveness.idle_min", "100ms"},
		{"liveness.idle_max", "500ms"},
		{"liveness.idle_max", "601s"},
		{"mtu", "1279"},
		{"same_country", `["fr"]`},
		{"same_country", `["FR","FRA"]`},
		{"same_country", "[" + strings.Repeat(`"FR",`, registry.MaxCountries) + `"FR"]`},
		{"mtu", "65001"},
		{"certificate_lifetime", "19s"},
		{"certificate_lifetime", "-1s"},
		{"limits.sessions", "15"},
		{"limits.sessions", "4097"},
		{"limits.session_idle", "9s"},
		{"limits.session_idle", "121s"},
		{"limits.queue_bytes", "0"},
		{"limits.queue_bytes", "65537"},
		{"limits.routes", "1"},
		{"limits.routes", "16385"},
		{"limits.lan_links", "-1"},
		{"limits.lan_links", "9"},
		{"ipv4", "10.42.0.1/16"},
		{"ipv4", "2001:db8::/32"},
		{"ipv4", "224.0.0.0/8"},
		{"ipv4", "10.42.0.0/24"},
		{"ipv4_share", "8"},
		{"ipv4_share", "33"},
	} {
		p, err := registry.DefaultParams(i.Authority).With(registry.Setting{Key: c.key, Value: c.value})
		if err != nil {
			t.Errorf("%s=%s cannot be set: %v", c.key, c.value, err)
			continue
		}
		if err := p.Check(); !errors.Is(err, registry.ErrParams) || !strings.Contains(err.Error(), c.key) {
			t.Errorf("%s=%s: %v", c.key, c.value, err)
		}
		if _, err := registry.SignParams(rand.Reader, i, p); !errors.Is(err, registry.ErrParams) {
			t.Errorf("%s=%s was signed: %v", c.key, c.value, err)
		}
	}
}

func TestWithSetsOneValue(t *testing.T) {
	p := registry.DefaultParams(issuer(t).Authority)
	q, err := p.With(registry.Setting{Key: "liveness.in_use", Value: "100ms"})
	if err != nil {
		t.Fatal(err)
	}
	want := p
	want.Liveness.InUse = registry.Duration(100 * time.Millisecond)
	if a, b := mustJSON(q), mustJSON(want); a != b {
		t.Errorf("got %s, want %s", a, b)
	}
	if q, err = p.With(registry.Setting{Key: "client_count", Value: "10"}); err != nil || q.ClientCount != 10 || p.ClientCount != 4 {
		t.Errorf("client_count %d, %v", q.ClientCount, err)
	}
	q, err = p.With(registry.Setting{Key: "classes", Value: `[{"id":0,"name":"general","range":"2001:db8:42::/48","dscp":8}]`})
	if err != nil || q.Classes[0].DSCP != 8 || p.Classes[0].DSCP != 0 {
		t.Errorf("classes %v, before %v, %v", q.Classes, p.Classes, err)
	}
}

func TestWithRefusesWhatCannotBeSet(t *testing.T) {
	p := registry.DefaultParams(issuer(t).Authority)
	for _, c := range []struct{ key, value string }{
		{"number", "7"},
		{"network", "::/8"},
		{"locator_range", "::/8"},
		{"nothing", "1"},
		{"liveness", "{}"},
		{"liveness.nothing", "1s"},
		{"client_count.x", "1"},
		{"client_count", "ten"},
		{"client_count", "1.5"},
		{"client_count", `"4"`},
		{"hello_interval", "4"},
		{"", "1"},
		{"mtu", "99999999999999999999"},
		{"classes", `[{"id":0,"color":"red"}]`},
		{"classes", "x"},
	} {
		if _, err := p.With(registry.Setting{Key: c.key, Value: c.value}); !errors.Is(err, registry.ErrParams) {
			t.Errorf("%s=%s: %v", c.key, c.value, err)
		}
	}
}

func TestClassesAreChecked(t *testing.T) {
	i := issuer(t)
	other := netip.MustParsePrefix("2001:db8:43::/48")
	for name, extra := range map[string]registry.Class{
		"id twice":        {ID: 0, Name: "x", Range: other},
		"name twice":      {ID: 1, Name: "general", Range: other},
		"range overlaps":  {ID: 1, Name: "x", Range: netip.MustParsePrefix("2001:db8::/32")},
		"range too small": {ID: 1, Name: "x", Range: netip.MustParsePrefix("2001:db8:43::/49")},
		"IPv4":            {ID: 1, Name: "x", Range: netip.MustParsePrefix("10.0.0.0/8")},
		"host bits":       {ID: 1, Name: "x", Range: netip.MustParsePrefix("2001:db8:43::1/48")},
		"no range":        {ID: 1, Name: "x"},
		"no name":         {ID: 1, Range: other},
		"DSCP":            {ID: 1, Name: "x", Range: other, DSCP: 64},
	} {
		p := registry.DefaultParams(i.Authority)
		p.Classes = append(p.Classes, extra)
		if err := p.Check(); !errors.Is(err, registry.ErrParams) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p := registry.DefaultParams(i.Authority)
	p.Classes = nil
	if err := p.Check(); !errors.Is(err, registry.ErrParams) {
		t.Errorf("no class: %v", err)
	}
}

func TestSettings(t *testing.T) {
	if s, err := registry.ParseSetting("liveness.in_use=100ms"); err != nil || s != (registry.Setting{Key: "liveness.in_use", Value: "100ms"}) {
		t.Errorf("got %v, %v", s, err)
	}
	for _, s := range []string{"", "key", "=value"} {
		if _, err := registry.ParseSetting(s); !errors.Is(err, registry.ErrParams) {
			t.Errorf("%q: %v", s, err)
		}
	}
	p := registry.DefaultParams(issuer(t).Authority)
	// Each alone would break the order of the three.
	p, err := p.WithAll([]registry.Setting{{Key: "liveness.idle_min", Value: "100s"}, {Key: "liveness.idle_max", Value: "200s"}})
	if err != nil || p.Liveness.IdleMax != registry.Duration(200*time.Second) {
		t.Errorf("two at once: %v", err)
	}
}

func TestSettingsSetThemselves(t *testing.T) {
	p := registry.DefaultParams(issuer(t).Authority)
	all, err := p.Settings()
	if err != nil || len(all) != 24 {
		t.Fatalf("%d settings: %v, %v", len(all), all, err)
	}
	var q registry.Params
	q.Number, q.Network, q.LocatorRange = p.Number, p.Network, p.LocatorRange
	if q, err = q.WithAll(all[3:]); err != nil || mustJSON(q) != mustJSON(p) {
		t.Errorf("set one by one: %s, %v, want %s", mustJSON(q), err, mustJSON(p))
	}
}

func mustJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}
