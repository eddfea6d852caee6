package registry_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	service "re6st/actors/registry"
	"re6st/hw/nodedir"
	"re6st/protocols/netcheck"
	"re6st/protocols/registry"
)

func hostPort(t *testing.T, a net.Addr) registry.HostPort {
	t.Helper()
	at := netip.MustParseAddrPort(a.String())
	return registry.HostPort{Host: at.Addr().String(), Port: at.Port()}
}

func TestARegistryIsReachedByAStranger(t *testing.T) {
	r := newRegistry(t, nil)
	line := r.invite(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for name, want := range map[string][32]byte{"by its fingerprint": line.Fingerprint, "by none": {}} {
		c := service.Reach(ctx, line.HostPort, want, nil)
		if c.Trouble != netcheck.NoTrouble || c.Error != "" || c.Connect <= 0 || c.Answer < c.Connect || c.Fingerprint != line.Fingerprint {
			t.Errorf("%s: %+v", name, c)
		}
		if c.Clock == nil || (time.Duration(*c.Clock)*time.Millisecond).Abs() > patience {
			t.Errorf("%s: the clock is %v ms ahead of itself", name, c.Clock)
		}
	}
	if c := service.Reach(ctx, line.HostPort, [32]byte{1}, nil); c.Trouble != netcheck.Foreign {
		t.Errorf("by another's: %+v", c)
	}
	r.stop(t)
	if c := service.Reach(ctx, line.HostPort, line.Fingerprint, nil); c.Trouble != netcheck.Refused || c.Error == "" {
		t.Errorf("once it has stopped: %+v", c)
	}
}

func TestWhatIsNoRegistryIsToldApart(t *testing.T) {
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	other := httptest.NewTLSServer(http.NotFoundHandler())
	defer other.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // it takes connections, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for name, c := range map[string]struct {
		at   net.Addr
		want netcheck.Trouble
		wait time.Duration
	}{
		"without TLS":       {web.Listener.Addr(), netcheck.NotSecure, patience},
		"with a CA of web":  {other.Listener.Addr(), netcheck.Foreign, patience},
		"that says nothing": {silent.Addr(), netcheck.Silent, 200 * time.Millisecond},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), c.wait)
		if got := service.Reach(ctx, hostPort(t, c.at), [32]byte{1}, nil); got.Trouble != c.want {
			t.Errorf("%s: %+v, want %s", name, got, c.want)
		}
		cancel()
	}
}

func TestTheNetworkOfAFolderIsKnownWithoutItsCertificate(t *testing.T) {
	r := newRegistry(t, nil)
	j := joining(t, r.invite(t))
	m, err := try(t, j)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Dir.Remove("node.crt"); err != nil {
		t.Fatal(err)
	}
	at, ca, err := service.LoadNetwork(j.Dir)
	if err != nil || at != m.Registry || ca != m.Authority.Fingerprint {
		t.Errorf("%v, %x, %v", at, ca, err)
	}
	if err := j.Dir.Write("registry", []byte("nonsense"), nodedir.Public); err != nil {
		t.Fatal(err)
	}
	if _, _, err := service.LoadNetwork(j.Dir); err == nil {
		t.Error("nonsense is taken")
	}
}
