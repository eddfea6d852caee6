package registry_test

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/registry"
)

var (
	static = registry.StaticKey{1, 2, 3}
	join   = registry.JoinRequest{Token: registry.Token{9}, CSR: []byte{1}, Static: static, Binding: []byte{2}, Time: epoch}
	boot   = registry.BootstrapRequest{
		Port: 7326, Endpoints: []netip.AddrPort{netip.MustParseAddrPort("[2001:db8::1]:7326")}, Static: static, Binding: []byte{2}, BootID: registry.BootID{5},
	}
)

func peer(n uint64) registry.Peer {
	id := addr.NodeIDFromUint64(n)
	prefix, _ := addr.ParseCN(fmt.Sprintf("%d/16", n))
	return registry.Peer{Prefix: prefix, ID: id, Static: static, Endpoints: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:7326")}}
}

func TestMessagesSurviveTheWire(t *testing.T) {
	if got, err := registry.ParseJoinRequest([]byte(mustJSON(join))); err != nil || !reflect.DeepEqual(got, join) {
		t.Errorf("join: %v, %v", got, err)
	}
	if got, err := registry.ParseBootstrapRequest([]byte(mustJSON(boot))); err != nil || !reflect.DeepEqual(got, boot) {
		t.Errorf("bootstrap: %v, %v", got, err)
	}
	answer := registry.BootstrapResponse{Observed: netip.MustParseAddr("2001:db8::9"), Peers: []registry.Peer{peer(1), peer(2)}, Params: []byte("x")}
	if got, err := registry.ParseBootstrapResponse([]byte(mustJSON(answer))); err != nil || !reflect.DeepEqual(got, answer) {
		t.Errorf("answer: %v, %v", got, err)
	}
}

func TestWireFormIsStable(t *testing.T) {
	want := `{"port":7326,"endpoints":["[2001:db8::1]:7326"],"static":"AQIDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","binding":"Ag==","boot_id":"BQAAAAAAAAA="}`
	if got := mustJSON(boot); got != want {
		t.Errorf("bootstrap is %s", got)
	}
	want = `{"prefix":"1/16","id":"0000000000000001","static":"AQIDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","endpoints":["192.0.2.1:7326"]}`
	if got := mustJSON(peer(1)); got != want {
		t.Errorf("peer is %s", got)
	}
}

func TestBadJoinRequestsAreRefused(t *testing.T) {
	for name, change := range map[string]func(*registry.JoinRequest){
		"no token":    func(r *registry.JoinRequest) { r.Token = registry.Token{} },
		"no csr":      func(r *registry.JoinRequest) { r.CSR = nil },
		"long csr":    func(r *registry.JoinRequest) { r.CSR = make([]byte, 8<<10+1) },
		"no static":   func(r *registry.JoinRequest) { r.Static = registry.StaticKey{} },
		"no binding":  func(r *registry.JoinRequest) { r.Binding = nil },
		"big binding": func(r *registry.JoinRequest) { r.Binding = make([]byte, 1025) },
	} {
		r := join
		change(&r)
		if _, err := registry.ParseJoinRequest([]byte(mustJSON(r))); !errors.Is(err, registry.ErrRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, body := range []string{"", "null", "[]", "{", `{"token":"short"}`, strings.Repeat(" ", registry.MaxRequest+1)} {
		if _, err := registry.ParseJoinRequest([]byte(body)); !errors.Is(err, registry.ErrRequest) {
			t.Errorf("%.20q: %v", body, err)
		}
	}
}

func TestBadBootstrapsAreRefused(t *testing.T) {
	r := boot
	r.Endpoints = make([]netip.AddrPort, registry.MaxEndpoints+1)
	for i := range r.Endpoints {
		r.Endpoints[i] = boot.Endpoints[0]
	}
	if _, err := registry.ParseBootstrapRequest([]byte(mustJSON(r))); !errors.Is(err, registry.ErrRequest) {
		t.Errorf("too many endpoints: %v", err)
	}
	var a registry.BootstrapResponse
	for i := range uint64(registry.MaxPeers + 1) {
		a.Peers = append(a.Peers, peer(i+1))
	}
	if _, err := registry.ParseBootstrapResponse([]byte(mustJSON(a))); !errors.Is(err, registry.ErrRequest) {
		t.Errorf("too many peers: %v", err)
	}
	a.Peers = []registry.Peer{{}}
	if _, err := registry.ParseBootstrapResponse([]byte(`{"peers":[{}]}`)); !errors.Is(err, registry.ErrRequest) {
		t.Errorf("an empty peer: %v", err)
	}
}

func TestErrorsCrossTheWireAsThemselves(t *testing.T) {
	for _, sentinel := range []error{
		registry.ErrTokenUnknown, registry.ErrTokenExpired, registry.ErrTokenUsed, registry.ErrFull, registry.ErrClock,
		registry.ErrRateLimited, registry.ErrRequest, registry.ErrNotMember, registry.ErrUnavailable,
	} {
		e, status := registry.NewError(fmt.Errorf("%w: some detail", sentinel), epoch)
		if status < 400 || e.Hint == "" {
			t.Errorf("%v: status %d, hint %q", sentinel, status, e.Hint)
		}
		got, ok := registry.ParseError([]byte(mustJSON(e)))
		if !ok || !errors.Is(got, sentinel) || !strings.Contains(got.Error(), "some detail") || !got.Time.Equal(epoch) {
			t.Errorf("%v came back as %v", sentinel, got)
		}
	}
}

func TestInnerErrorsStayInside(t *testing.T) {
	e, status := registry.NewError(errors.New("/var/lib/secret"), epoch)
	if status != 500 || strings.Contains(mustJSON(e), "secret") || !errors.Is(e, registry.ErrInternal) {
		t.Errorf("%d %s", status, mustJSON(e))
	}
	for _, body := range []string{"", "<html>", "{}", "null"} {
		if _, ok := registry.ParseError([]byte(body)); ok {
			t.Errorf("%q is an error of ours", body)
		}
	}
	var later registry.Error
	if err := json.Unmarshal([]byte(`{"error":"of_tomorrow","detail":"d"}`), &later); err != nil || later.Unwrap() != nil {
		t.Errorf("a later code: %v", err)
	}
}

func TestClocksMayDifferByTheBackdate(t *testing.T) {
	for skew, ok := range map[time.Duration]bool{0: true, registry.MaxSkew: true, -registry.MaxSkew: true, registry.MaxSkew + 1: false, -registry.MaxSkew - 1: false} {
		if err := registry.CheckClocks(epoch.Add(skew), epoch); (err == nil) != ok || err != nil && !errors.Is(err, registry.ErrClock) {
			t.Errorf("%s: %v", skew, err)
		}
	}
	if err := registry.CheckClocks(time.Time{}, epoch); !errors.Is(err, registry.ErrClock) {
		t.Errorf("the year 1: %v", err)
	}
}

func TestEndpointsThatOthersCannotUse(t *testing.T) {
	for _, s := range []string{
		"0.0.0.0:1", "127.0.0.1:1", "[::1]:1", "[fe80::1]:1", "[ff02::1]:1", "224.0.0.1:1", "255.255.255.255:1",
		"[2001:db8:42:5::1]:7326", "192.0.2.1:0", "[::ffff:192.0.2.1]:1", "[fd00::1%eth0]:1",
	} {
		if err := registry.CheckEndpoint(netip.MustParseAddrPort(s), network); !errors.Is(err, registry.ErrEndpoint) {
			t.Errorf("%s: %v", s, err)
		}
	}
	if err := registry.CheckEndpoint(netip.AddrPort{}); !errors.Is(err, registry.ErrEndpoint) {
		t.Errorf("zero: %v", err)
	}
	for _, s := range []string{"192.0.2.1:7326", "10.1.2.3:1", "[2001:db8:43::1]:7326", "[fd00::1]:1"} {
		if err := registry.CheckEndpoint(netip.MustParseAddrPort(s), network); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
}

func TestJoinLineRoundTrip(t *testing.T) {
	token, err := registry.NewToken(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, place := range []string{"[2001:db8::1]:7443", "192.0.2.1:443", "registry.example.net:1", "localhost:65535"} {
		hp, err := registry.ParseHostPort(place)
		if err != nil {
			t.Fatal(err)
		}
		l := registry.JoinLine{HostPort: hp, Token: token, Fingerprint: [32]byte{1, 255}}
		back, err := registry.ParseJoinLine(l.String())
		if err != nil || back != l {
			t.Errorf("%s: %v, %v", l, back, err)
		}
	}
}

func TestBadJoinLinesAreExplained(t *testing.T) {
	const token, fp = "AAAAAAAAAAAAAAAAAAAAAA", "0000000000000000000000000000000000000000000000000000000000000000"
	for line, want := range map[string]string{
		"":                                                  "begin with",
		"https://h:1/" + token + "#" + fp:                   "begin with",
		"re6st://h:1":                                       "no /TOKEN",
		"re6st://h:1/" + token:                              "quote the line",
		"re6st://h/" + token + "#" + fp:                     "no port",
		"re6st://h:0/" + token + "#" + fp:                   "port",
		"re6st://h:65536/" + token + "#" + fp:               "port",
		"re6st://h:01/" + token + "#" + fp:                  "port",
		"re6st://:1/" + token + "#" + fp:                    "host",
		"re6st://2001:db8::1:1/" + token + "#" + fp:         "brackets",
		"re6st://[fe80::1%eth0]:1/" + token + "#" + fp:      "zone",
		"re6st://[192.0.2.1]:1/" + token + "#" + fp:         "IPv6",
		"re6st://[::1:1/" + token + "#" + fp:                "IPv6",
		"re6st://a b:1/" + token + "#" + fp:                 "host",
		"re6st://-a:1/" + token + "#" + fp:                  "host",
		"re6st://h:1/short#" + fp:                           "token",
		"re6st://h:1/" + token + "#" + fp[1:]:               "fingerprint",
		"re6st://h:1/" + token + "#" + fp + "0":             "fingerprint",
		"re6st://" + strings.Repeat("a", 500) + ":1/x#y":    "at most",
		"re6st://" + strings.Repeat("a", 64) + ":1/x#" + fp: "host",
	} {
		if _, err := registry.ParseJoinLine(line); !errors.Is(err, registry.ErrJoinLine) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q in it", line, err, want)
		}
	}
}
