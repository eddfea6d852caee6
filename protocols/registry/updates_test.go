package registry_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"re6st/protocols/cert"
	"re6st/protocols/registry"
)

func TestHeldNumbersSurviveTheQuery(t *testing.T) {
	for _, h := range []registry.Held{{}, {Params: 1}, {Params: 1<<64 - 1, CRL: 7}} {
		if got, err := registry.ParseHeld(strings.TrimPrefix(h.Query(), "?")); err != nil || got != h {
			t.Errorf("%+v: %+v, %v", h, got, err)
		}
	}
	for _, query := range []string{"params=x", "crl=-1", "crl=18446744073709551616", "%"} {
		if _, err := registry.ParseHeld(query); !errors.Is(err, registry.ErrRequest) {
			t.Errorf("%s: %v", query, err)
		}
	}
	if got, err := registry.ParseHeld("later=1"); err != nil || got != (registry.Held{}) {
		t.Errorf("of a later version: %+v, %v", got, err)
	}
}

func TestUpdatesAndRenewalsSurviveTheWire(t *testing.T) {
	u := registry.UpdatesResponse{CRL: bytes.Repeat([]byte{9}, 256<<10), Params: bytes.Repeat([]byte{8}, registry.MaxParams)}
	if got, err := registry.ParseUpdatesResponse([]byte(mustJSON(u))); err != nil || !reflect.DeepEqual(got, u) {
		t.Errorf("updates: %v", err)
	}
	r := registry.RenewRequest{CSR: []byte{1}, Static: static, Binding: []byte{2}}
	if got, err := registry.ParseRenewRequest([]byte(mustJSON(r))); err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("renewal: %v, %v", got, err)
	}
	if got := mustJSON(registry.UpdatesResponse{}); got != "{}" {
		t.Errorf("no news are %s", got)
	}
	for what, change := range map[string]func(*registry.RenewRequest){
		"no csr":       func(r *registry.RenewRequest) { r.CSR = nil },
		"long csr":     func(r *registry.RenewRequest) { r.CSR = make([]byte, 8<<10+1) },
		"no static":    func(r *registry.RenewRequest) { r.Static = registry.StaticKey{} },
		"no binding":   func(r *registry.RenewRequest) { r.Binding = nil },
		"long binding": func(r *registry.RenewRequest) { r.Binding = make([]byte, 1025) },
	} {
		bad := r
		change(&bad)
		if _, err := registry.ParseRenewRequest([]byte(mustJSON(bad))); !errors.Is(err, registry.ErrRequest) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestRenewalIsDueWithAThirdOfTheLifetimeLeft(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, lifetime := range []time.Duration{20 * time.Second, time.Minute, 24 * time.Hour, 365 * 24 * time.Hour} {
		end := epoch.Add(lifetime)
		for range 100 { // issued at epoch
			left := end.Sub(registry.RenewalTime(epoch.Add(-cert.Backdate), end, r))
			if left > lifetime/3 || left < lifetime/4 {
				t.Fatalf("of %s %s are left", lifetime, left)
			}
		}
	}
}

func TestFailedRenewalsAreRetriedMoreOftenTowardsTheEnd(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	far := epoch.Add(365 * 24 * time.Hour)
	if d := registry.RenewalRetry(epoch, far, 1, r); d > registry.RenewalRetryMin || d < registry.RenewalRetryMin*3/4 {
		t.Errorf("the first pause is %s", d)
	}
	if d := registry.RenewalRetry(epoch, far, 1000, r); d > registry.RenewalRetryMax || d < registry.RenewalRetryMax*3/4 {
		t.Errorf("the longest pause is %s", d)
	}
	if d := registry.RenewalRetry(epoch, epoch.Add(time.Minute), 50, r); d > 6*time.Second {
		t.Errorf("with a minute left the pause is %s", d)
	}
	if d := registry.RenewalRetry(epoch.Add(time.Hour), epoch, 50, r); d < time.Minute {
		t.Errorf("after the end the pause is %s: a storm", d)
	}
}

func TestChangesSayWhetherTheyTakeARestart(t *testing.T) {
	i := issuer(t)
	p := registry.DefaultParams(i.Authority)
	next, err := p.WithAll([]registry.Setting{
		{Key: "liveness.in_use", Value: "100ms"},
		{Key: "mtu", Value: "1300"},
		{Key: "hello_interval", Value: "4s"},
		{Key: "registries", Value: `["192.0.2.1:6326","[2001:db8::1]:6326"]`},
	})
	if err != nil {
		t.Fatal(err)
	}
	next.Number = 9
	got, err := p.ChangesTo(next)
	want := []registry.Change{
		{Key: "liveness.in_use", Old: "200ms", New: "100ms", Live: true},
		{Key: "mtu", Old: "1380", New: "1300"},
		{Key: "registries", Old: "[]", New: `["192.0.2.1:6326","[2001:db8::1]:6326"]`, Live: true},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestEachParameterIsKnownToBeLiveOrNot(t *testing.T) {
	all, err := registry.DefaultParams(issuer(t).Authority).Settings()
	if err != nil {
		t.Fatal(err)
	}
	live := map[string]bool{}
	for _, s := range all {
		live[s.Key] = !registry.TakesRestart(s.Key)
	}
	for _, key := range []string{"client_count", "max_clients", "hello_interval", "tunnel_refresh", "liveness.in_use", "liveness.idle_min", "liveness.idle_max", "limits.sessions", "limits.session_idle", "limits.queue_bytes", "limits.routes", "limits.lan_links"} {
		if !live[key] {
			t.Errorf("%s takes a restart, or is none", key)
		}
	}
	for _, key := range []string{"classes", "mtu"} {
		if l, ok := live[key]; l || !ok {
			t.Errorf("%s is live, or is none", key)
		}
	}
}

func TestRegistriesAreAddresses(t *testing.T) {
	p := registry.DefaultParams(issuer(t).Authority)
	for _, bad := range []string{`["nonsense"]`, `["a:1","b:1","c:1","d:1","e:1","f:1","g:1","h:1","i:1"]`, `7`} {
		if _, err := p.WithAll([]registry.Setting{{Key: "registries", Value: bad}}); !errors.Is(err, registry.ErrParams) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
