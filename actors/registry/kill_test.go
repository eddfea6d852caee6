package registry_test

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	service "re6st/actors/registry"
	"re6st/actors/system"
	"re6st/protocols/addr"
	"re6st/protocols/registry"
)

// serveUntilKilled is the child: it prints where it listens.
func serveUntilKilled(dir string) {
	s := system.New(system.Config{})
	_, err := system.Spawn(s, "registry", service.Spec(service.Config{Dir: dir, Listen: "[::1]:0", Emit: func(e service.Event) {
		if l, ok := e.(service.Listening); ok {
			fmt.Println(l.Address)
		}
	}}))
	if err == nil {
		<-s.Done()
		err = s.Err()
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// acknowledged is what nodes were told.
type acknowledged struct {
	mu    sync.Mutex
	nodes map[addr.NodeID]addr.Bits
}

func (a *acknowledged) add(m *service.Member) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.nodes[m.Identity.ID] = m.Identity.Prefix
	return len(a.nodes)
}

func TestNothingAcknowledgedIsLostOnKill(t *testing.T) {
	dir := t.TempDir()
	store := create(t, dir, func(c *service.Creation) { c.Now = time.Now() })
	told := &acknowledged{nodes: map[addr.NodeID]addr.Bits{}}
	for round := range 4 {
		joinUntilKilled(t, dir, store, told, len(told.nodes)+3+2*round)
		nodes, err := store.Nodes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		held := map[addr.NodeID]addr.Bits{}
		for _, n := range nodes {
			held[n.ID] = n.Prefix
		}
		for id, prefix := range told.nodes {
			if held[id] != prefix {
				t.Fatalf("round %d: node %s was told %s, the database says %q", round, id, prefix.CN(), held[id].CN())
			}
		}
	}
}

// joinUntilKilled has four clients join a registry, which is killed when enough
// have been told that they are in, while the others are at it.
func joinUntilKilled(t *testing.T, dir string, store *service.Store, told *acknowledged, enough int) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childDir+"="+dir)
	child.Stderr = os.Stderr
	child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer child.Wait()         // killed: no news
	defer child.Process.Kill() // where the test failed first
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatal("the child does not listen")
	}
	at := netip.MustParseAddrPort(lines.Text())
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for ctx.Err() == nil {
				m, err := service.Join(ctx, service.Joining{
					Dir: newDir(t), KeyType: "ecdsa", Now: time.Now, Waiting: func(error) { cancel() },
					Line: registry.JoinLine{
						HostPort:    registry.HostPort{Host: at.Addr().String(), Port: at.Port()},
						Token:       token(t, store, 16, time.Now().Add(time.Hour)),
						Fingerprint: store.Authority().Fingerprint,
					},
				})
				if err == nil && told.add(m) >= enough {
					child.Process.Kill()
				}
			}
		})
	}
	group.Wait()
	if len(told.nodes) < enough {
		t.Fatalf("%d nodes were told that they are in, want %d", len(told.nodes), enough)
	}
}
