package node

import (
	"log/slog"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"re6st/actors/monitor"
	"re6st/actors/system"
	"re6st/protocols/inbound"
)

func parse(t *testing.T, text string) Config {
	t.Helper()
	c, err := ParseConfig([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAReloadTellsWhatIsInForceAndWhatTakesARestart(t *testing.T) {
	next := "port = 9000\nclient_count = 3\nlog = \"debug\""
	level := new(slog.LevelVar)
	s := settings{config: parse(t, "client_count = 2"), level: level, read: func() (Config, error) { return ParseConfig([]byte(next)) }}
	changes, err := s.reload()
	if err != nil {
		t.Fatal(err)
	}
	want := []monitor.Change{
		{Key: "port", Old: "7326", New: "9000"},
		{Key: "client_count", Old: "2", New: "3", Applied: true},
		{Key: "log", Old: "INFO", New: "DEBUG", Applied: true},
	}
	if !slices.Equal(changes, want) {
		t.Errorf("changes %+v, want %+v", changes, want)
	}
	if c := s.get(); c.ClientCount != 3 || *c.Port != DefaultPort || level.Level() != slog.LevelDebug {
		t.Errorf("in force: client_count %d, port %d, log %v", c.ClientCount, *c.Port, level.Level())
	}
	if got, want := told(changes), "in force: client_count, log; after a restart: port"; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
	if changes, err = s.reload(); err != nil || len(changes) != 1 || changes[0].Key != "port" {
		t.Errorf("the second time: %+v, %v; what waits for a restart is still to be told", changes, err)
	}
}

func TestABadConfigurationChangesNothing(t *testing.T) {
	s := settings{config: parse(t, "client_count = 2"), read: func() (Config, error) {
		return ParseConfig([]byte("client_count = 3\nclient_cuont = 4"))
	}}
	if changes, err := s.reload(); err == nil || !strings.Contains(err.Error(), "line 2") || changes != nil {
		t.Errorf("%v, %v; want an error with the line", changes, err)
	}
	if got := s.get().ClientCount; got != 2 {
		t.Errorf("client_count is %d, want 2", got)
	}
}

func TestEveryLiveKeyIsAKey(t *testing.T) {
	text := "port = 1\ninterface = \"x\"\nmtu = 1300\nclient_count = 2\nmax_clients = 2\nroute_protocol = 7\nlog = \"warn\"\n" +
		"inbound = \"list\"\ninbound_list = [\"::/0 icmp\"]\norigins = \"off\"\ntrusted = [\"x\"]\n" +
		"babel_interface = [{ name = \"y\", key = [{ id = \"k\", type = \"blake2s128\", value = \"00\" }] }]\n" +
		"neighbours = [\"5/16\"]\nshortcuts = 1\nshortcut_kbit = 100\nshortcut_idle = \"7m\"\ntunnels = [\"fou\"]\ntunnel_peer = [{ prefix = \"5/16\", tunnels = [\"gre\"] }]\nremote_gateways = [\"192.0.2.1\"]"
	var keys []string
	const apart = "trusted_underlay = [\"192.0.2.0/24\"]" // from inbound
	for _, c := range slices.Concat(changed(parse(t, ""), parse(t, text)), changed(parse(t, ""), parse(t, apart))) {
		if c.Applied {
			keys = append(keys, c.Key)
		}
	}
	if len(keys) != len(live) {
		t.Errorf("of the live keys %v only %q are found among the changes", live, keys)
	}
}

// signals gives each node that is made from now on signals of its own, by its number.
func (m *mesh) signals() func(node int) chan<- os.Signal {
	var all []chan os.Signal
	m.tune = func(o *Options) {
		c := make(chan os.Signal, 1)
		all = append(all, c)
		o.Reloads = c
	}
	return func(node int) chan<- os.Signal { return all[node] }
}

func TestASignalChangesTheLimitsOfARunningNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, 2)
		signals := m.signals()
		m.line()
		m.whole(5 * time.Second)
		n := m.nodes[0]
		n.settings.read = func() (Config, error) {
			c := n.settings.config // reload holds the lock
			c.ClientCount = 1
			return c, nil
		}
		events := n.sys.Subscribe(64)
		defer events.Close()
		signals(0) <- syscall.SIGHUP
		synctest.Wait()
		if got := n.limits().ClientCount; got != 1 {
			t.Errorf("client_count is %d, want 1", got)
		}
		for len(events.C) > 0 {
			if e := <-events.C; e.Kind == "reload" && e.Text == "in force: client_count" {
				return
			}
		}
		t.Error("no event tells of the reload")
	})
}

// blocker never ends its start.
type blocker struct{ release chan struct{} }

func (b blocker) Start(*system.Context[message]) error           { <-b.release; return nil }
func (b blocker) Handle(*system.Context[message], message) error { return nil }
func (b blocker) Stop(*system.Context[message])                  {}

func TestTheWatchdogStarvesWhileAVitalActorIsBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, 2)
		fed := make(chan bool, 1000)
		m.tune = func(o *Options) { o.Watchdog = Watchdog{Interval: 30 * time.Second, Feed: func() { fed <- true }} }
		m.line()
		m.whole(5 * time.Second)
		time.Sleep(time.Minute)
		if n := len(fed); n < 2*6 {
			t.Errorf("two nodes fed it %d times in a minute, want 6 times each", n)
		}
		b := blocker{make(chan struct{})}
		_, err := system.Spawn(m.nodes[0].sys, "blocker", system.Spec[message]{
			Kind: "test", New: func() system.Handler[message] { return b }, OnBudget: system.Escalate,
		})
		m.check(err)
		m.stop(1)
		time.Sleep(15 * time.Second)
		for len(fed) > 0 {
			<-fed
		}
		time.Sleep(time.Minute)
		if n := len(fed); n > 0 {
			t.Errorf("it was fed %d times while an actor was blocked", n)
		}
		close(b.release)
		time.Sleep(15 * time.Second)
		if len(fed) == 0 {
			t.Error("it was not fed again")
		}
	})
}

func TestASignalChangesTheInboundPolicyOfARunningNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, 2)
		signals := m.signals()
		m.line()
		m.whole(5 * time.Second)
		n := m.nodes[0]
		n.settings.read = func() (Config, error) {
			c := n.settings.config // reload holds the lock
			c.Inbound = inbound.Established
			return c, nil
		}
		signals(0) <- syscall.SIGHUP
		synctest.Wait()
		if m.arrives(1, 0, "unasked", time.Second) {
			t.Error("what answers nothing is let in")
		}
		if !m.arrives(0, 1, "question", time.Second) || !m.arrives(1, 0, "answer", time.Second) {
			t.Error("an answer is not let in")
		}
	})
}
