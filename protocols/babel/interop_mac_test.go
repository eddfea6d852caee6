//go:build linux

package babel_test

import (
	"bytes"
	crand "crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"re6st/protocols/babel"
	"re6st/protocols/rib"
)

// passes has the Authenticator open a packet, and sends its answer.
func (s *speaker) passes(now time.Time, from, to netip.Addr, packet []byte) bool {
	if s.record != nil {
		s.record(from, to, bytes.Clone(packet))
	}
	if s.mac == nil {
		return true
	}
	o := s.mac.Open(now, packet, from, to)
	if o.Answer != nil {
		if s.record != nil {
			s.record(s.local, from, o.Answer)
		}
		if _, err := s.conn.WriteTo(o.Answer, nil, &net.UDPAddr{IP: from.AsSlice(), Port: babel.Port, Zone: s.ifi.Name}); err != nil {
			s.t.Error("answer: ", err)
		}
	}
	if o.Resync && s.neighbors[from] != nil {
		s.router.Resync(now, babel.NeighborKey{Interface: iid, Addr: from})
	}
	s.mac.Drain(func(r babel.MACRefused) { s.refused[r.Reason] += r.Count })
	return o.Accepted
}

var (
	announced = rib.Key{Prefix: netip.MustParsePrefix("fd88:0:0:1::/64")}
	specific  = rib.Key{Prefix: netip.MustParsePrefix("fd88:0:0:2::/64"), Source: netip.MustParsePrefix("fd77::/16")}
	loopback  = rib.Key{Prefix: netip.MustParsePrefix("fd77::1/128")}
	// four goes out by an IPv6 next hop, which FRR 8.4 and BIRD 2.0 do not know: they are
	// to pass over it, and read on.
	four = rib.Key{Prefix: netip.MustParsePrefix("10.88.0.0/24")}
)

// keyed is a speaker that has the keys, and originates three prefixes.
func keyed(t *testing.T, ns string, keys ...babel.MACKey) *speaker {
	t.Helper()
	return keyedRecorded(t, ns, nil, keys...)
}

// keyedRecorded is keyed, and has all recorded that is sent and received.
func keyedRecorded(t *testing.T, ns string, record func(from, to netip.Addr, packet []byte), keys ...babel.MACKey) *speaker {
	t.Helper()
	s := openSpeaker(t, ns)
	s.record = record
	s.renew(keys...)
	s.speak(babel.Interface{Multicast: true, MaxPacket: babel.DefaultPacket - babel.MACOverhead})
	for _, k := range []rib.Key{four, announced, specific} {
		if err := s.router.Originate(time.Now(), k, 0); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// renew gives it an index that nobody knows.
func (s *speaker) renew(keys ...babel.MACKey) {
	s.t.Helper()
	var err error
	if s.mac, err = babel.NewAuthenticator(babel.MACConfig{Keys: keys, Local: s.local, Rand: crand.Reader}); err != nil {
		s.t.Fatal(err)
	}
	s.refused = map[babel.MACReason]int{}
}

func (s *speaker) setKeys(keys ...babel.MACKey) {
	s.t.Helper()
	if err := s.mac.SetKeys(keys); err != nil {
		s.t.Fatal(err)
	}
}

// pass lets d go by.
func (s *speaker) pass(what string, d time.Duration, check func()) {
	s.t.Helper()
	end := time.Now().Add(d)
	s.until(what, func() bool { check(); return time.Now().After(end) })
}

// babeldKey is a key in babeld's words.
func babeldKey(k babel.MACKey) string {
	return fmt.Sprintf("key id %s type %s value %x", k.ID, k.Algorithm, k.Value)
}

// keyedBabeld has one key for its interface, which it names k, and a socket to change it.
func keyedBabeld(t *testing.T, ns, options string, key babel.MACKey) (stop func(), socket string) {
	t.Helper()
	key.ID = "k"
	socket = filepath.Join(t.TempDir(), "ctl")
	return babeld(t, ns, "local-path-readwrite "+socket, babeldKey(key), "interface yx type wired hello-interval 1 update-interval 4 key k "+options,
		"redistribute local ip fd77::/16 allow", "redistribute local deny"), socket
}

// tell has babeld do something, and returns what it says.
func tell(t *testing.T, socket, command string) string {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte(command + "\nquit\n")); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

// kernelOf are the routes that a daemon gave the kernel of its namespace.
func kernelOf(t *testing.T, ns, protocol string) string {
	t.Helper()
	return ip(t, "-n", ns, "-6", "route", "show", "table", "all", "proto", protocol)
}

// whole waits for the routes of both.
func (s *speaker) whole(ns, protocol string) {
	s.t.Helper()
	s.until("route of the other here", func() bool { return s.hasRoute(loopback) })
	s.until("routes of ours there", func() bool {
		k := kernelOf(s.t, ns, protocol)
		return strings.Contains(k, "fd88:0:0:1::/64 via "+s.local.String()) && strings.Contains(k, "fd88:0:0:2::/64 from fd77::/16 via "+s.local.String())
	})
}

func TestInteropMACBabeld(t *testing.T) {
	for name, c := range map[string]struct {
		key     babel.MACKey
		options string
	}{
		"hmac-sha256":         {oldKey, ""},
		"blake2s128":          {newKey, ""},
		"hmac-sha256 unicast": {oldKey, "unicast true"},
		"blake2s128 short":    {babel.MACKey{ID: "short", Algorithm: babel.BLAKE2s128, Value: bytes.Repeat([]byte{5}, 16)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := lab(t)
			s := keyed(t, a, c.key)
			stop, socket := keyedBabeld(t, b, c.options, c.key)
			s.whole(b, "babel")
			// An index that is new to babeld is challenged before any route is lost.
			s.guarded = loopback
			s.renew(c.key)
			s.pass("a new index here", 5*time.Second, func() {
				if k := kernelOf(t, b, "babel"); !strings.Contains(k, "fd88:0:0:1::/64 via") {
					t.Fatalf("a route was lost there:\n%s", k)
				}
			})
			if key, ok := s.mac.ProvenBy(time.Now(), s.onlyNeighbor()); !ok || key != c.key.ID {
				t.Errorf("babeld proved %q, %v", key, ok)
			}
			for reason, n := range s.refused {
				if reason != babel.MACNew {
					t.Errorf("%d packets of babeld refused: %s", n, reason)
				}
			}
			if got := tell(t, socket, "dump"); !strings.Contains(got, "add neighbour") || !strings.Contains(got, "reach ffff") && !strings.Contains(got, " cost 96") {
				t.Errorf("babeld says\n%s", got)
			}
			s.guarded = rib.Key{}
			stop()
			s.until("end of its routes here", func() bool { return !s.hasRoute(loopback) })
			keyedBabeld(t, b, c.options, c.key)
			s.whole(b, "babel")
		})
	}
}

// onlyNeighbor is who is heard.
func (s *speaker) onlyNeighbor() netip.Addr {
	s.t.Helper()
	for a := range s.neighbors {
		return a
	}
	s.t.Fatal("no neighbor")
	return netip.Addr{}
}

// Both ends get another key, one after the other, and no route is lost in between.
func TestInteropMACBabeldGetsAnotherKey(t *testing.T) {
	next := babel.MACKey{ID: "next", Algorithm: babel.HMACSHA256, Value: bytes.Repeat([]byte{3}, 32)}
	a, b := lab(t)
	s := keyed(t, a, oldKey)
	_, socket := keyedBabeld(t, b, "", oldKey)
	s.whole(b, "babel")
	s.guarded = loopback
	hold := func(what string) {
		s.pass(what, 2500*time.Millisecond, func() {
			if k := kernelOf(t, b, "babel"); !strings.Contains(k, "fd88:0:0:1::/64 via") {
				t.Fatalf("%s: a route was lost there:\n%s", what, k)
			}
		})
	}
	s.setKeys(oldKey, next)
	hold("both keys here")
	named := next
	named.ID = "k"
	if got := tell(t, socket, babeldKey(named)); !strings.Contains(got, "ok") || strings.Contains(got, "bad") {
		t.Fatalf("babeld says %s", got)
	}
	hold("the new key there")
	s.setKeys(next)
	hold("the new key alone here")
	if key, _ := s.mac.ProvenBy(time.Now(), s.onlyNeighbor()); key != "next" {
		t.Errorf("babeld proved %q", key)
	}
	if n := s.refused[babel.MACWrong]; n > 0 {
		t.Errorf("%d packets had no key", n)
	}
}

func TestInteropMACBabeldWithAnotherKeyIsNotHeard(t *testing.T) {
	a, b := lab(t)
	s := keyed(t, a, oldKey)
	_, socket := keyedBabeld(t, b, "", wrongKey)
	s.until("packets that no key fits", func() bool { return s.refused[babel.MACWrong] >= 5 })
	if len(s.neighbors) > 0 || len(s.refused) > 1 {
		t.Errorf("neighbors %v, refused %v", s.neighbors, s.refused)
	}
	if got := tell(t, socket, "dump"); strings.Contains(got, "add neighbour") || strings.Contains(got, "fd88") {
		t.Errorf("babeld hears us:\n%s", got)
	}
	right := oldKey
	right.ID = "k"
	tell(t, socket, babeldKey(right))
	s.whole(b, "babel")
}

func TestInteropMACBabeldWithoutKeyIsNotHeard(t *testing.T) {
	a, b := lab(t)
	s := keyed(t, a, oldKey)
	babeld(t, b, "interface yx type wired hello-interval 1 update-interval 4", "redistribute local ip fd77::/16 allow", "redistribute local deny")
	s.until("packets without MAC", func() bool { return s.refused[babel.MACMissing] >= 5 })
	if len(s.neighbors) > 0 || s.hasRoute(loopback) {
		t.Errorf("neighbors %v", s.neighbors)
	}
	s.mac.SetAcceptBad(true)
	s.whole(b, "babel")
}

// bird runs in the namespace until the test ends, or until stop; its password is a text.
func bird(t *testing.T, ns, algorithm string, passwords ...string) (stop func(), reconfigure func(passwords ...string)) {
	t.Helper()
	dir := t.TempDir()
	conf, ctl := filepath.Join(dir, "bird.conf"), filepath.Join(dir, "ctl")
	write := func(passwords ...string) {
		var list strings.Builder
		for i, p := range passwords {
			fmt.Fprintf(&list, "password %q { id %d; algorithm %s; }; ", p, i+1, algorithm)
		}
		text := fmt.Sprintf(`log stderr all;
router id 10.0.0.2;
protocol device {}
ipv6 sadr table sadr6;
protocol direct { ipv6 sadr { table sadr6; }; interface "lo"; }
protocol kernel { ipv6 sadr { table sadr6; export all; }; }
protocol babel {
  ipv6 sadr { table sadr6; import all; export all; };
  interface "yx" { type wired; hello interval 1 s; update interval 4 s; authentication mac; %s };
}
`, list.String())
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(passwords...)
	cmd := exec.Command("ip", "netns", "exec", ns, "bird", "-f", "-c", conf, "-s", ctl, "-P", filepath.Join(dir, "pid"))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cmd.Process.Signal(syscall.SIGTERM)
			cmd.Wait()
			if t.Failed() {
				t.Logf("bird: %s", &out)
			}
		}
	}
	t.Cleanup(stop)
	return stop, func(passwords ...string) {
		write(passwords...)
		if out, err := exec.Command("birdc", "-s", ctl, "configure").CombinedOutput(); err != nil || !strings.Contains(string(out), "Reconfigured") {
			t.Fatalf("birdc: %v: %s", err, out)
		}
	}
}

func TestInteropMACBIRD(t *testing.T) {
	for name, c := range map[string]struct {
		algorithm babel.MACAlgorithm
		birds     string
	}{
		"hmac sha256": {babel.HMACSHA256, "hmac sha256"},
		"blake2s128":  {babel.BLAKE2s128, "blake2s128"},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := labWith(t, "bird")
			const password = "a text of thirty-two bytes, in 7"
			key := babel.MACKey{ID: "k1", Algorithm: c.algorithm, Value: []byte(password)}
			if same, err := hex.DecodeString(hex.EncodeToString([]byte(password))); err != nil || !bytes.Equal(same, key.Value) {
				t.Fatal("the text of BIRD is the hexadecimal of babeld")
			}
			s := keyed(t, a, key)
			stop, reconfigure := bird(t, b, c.birds, password)
			s.whole(b, "bird")
			if c.algorithm == babel.BLAKE2s128 {
				return // the rest is the same for it
			}

			t.Run("a cut heals", func(t *testing.T) {
				ip(t, "-n", b, "link", "set", "yx", "down")
				s.until("end of the route when it is cut", func() bool { return !s.hasRoute(loopback) })
				ip(t, "-n", b, "link", "set", "yx", "up")
				s.whole(b, "bird")
			})
			t.Run("another key on both sides", func(t *testing.T) {
				const next = "another text of thirty-two bytes"
				nextKey := babel.MACKey{ID: "k2", Algorithm: c.algorithm, Value: []byte(next)}
				s.guarded = loopback
				hold := func(what string) {
					s.pass(what, 2500*time.Millisecond, func() {
						if k := kernelOf(t, b, "bird"); !strings.Contains(k, "fd88:0:0:1::/64 via") {
							t.Fatalf("%s: a route was lost there:\n%s", what, k)
						}
					})
				}
				s.setKeys(key, nextKey)
				hold("both keys here")
				reconfigure(password, next)
				hold("both keys there")
				s.setKeys(nextKey)
				hold("the new key here")
				reconfigure(next)
				hold("the new key there")
				s.guarded = rib.Key{}
				s.setKeys(key, nextKey)
			})
			all := t // what begins here goes on
			t.Run("it begins anew", func(*testing.T) {
				stop()
				s.until("end of its routes here", func() bool { return !s.hasRoute(loopback) })
				bird(all, b, c.birds, password)
				s.whole(b, "bird")
			})
			t.Run("a new index here", func(t *testing.T) {
				s.guarded = loopback
				s.renew(key)
				s.pass("a new index here", 5*time.Second, func() {
					if k := kernelOf(t, b, "bird"); !strings.Contains(k, "fd88:0:0:1::/64 via") {
						t.Fatalf("a route was lost there:\n%s", k)
					}
				})
			})
		})
	}
}

func TestInteropMACBIRDWithAnotherKeyIsNotHeard(t *testing.T) {
	a, b := labWith(t, "bird")
	s := keyed(t, a, babel.MACKey{ID: "k1", Algorithm: babel.HMACSHA256, Value: []byte("one thing")})
	_, reconfigure := bird(t, b, "hmac sha256", "another")
	s.until("packets that no key fits", func() bool { return s.refused[babel.MACWrong] >= 5 })
	if len(s.neighbors) > 0 || strings.Contains(kernelOf(t, b, "bird"), "via") {
		t.Errorf("neighbors %v; there:\n%s", s.neighbors, kernelOf(t, b, "bird"))
	}
	reconfigure("one thing")
	s.whole(b, "bird")
}
