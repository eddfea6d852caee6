package rival_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"testing"
	"time"

	"re6st/cmd/lab/rival"
)

func TestUnknownDaemonIsNamed(t *testing.T) {
	if _, err := rival.Open(rival.Config{Daemon: "ospfd", Folder: t.TempDir()}); !errors.Is(err, rival.ErrDaemon) {
		t.Errorf("error %v", err)
	}
}

// reaches tells whether a ping passes within a minute, or, where it must not, whether
// one is lost.
func reaches(t *testing.T, n *rival.Network, from, to string, want bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for ctx.Err() == nil {
		err := n.NS(from).Do(func() error {
			return exec.Command("ping", "-6", "-c", "1", "-W", "1", n.Address(to).String()).Run()
		})
		if (err == nil) == want {
			return
		}
	}
	t.Fatalf("%s -> %s: reached is not %v", from, to, want)
}

func TestDaemonsRouteAlongALineUntilItIsCut(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root for network namespaces")
	}
	for _, d := range []rival.Daemon{rival.Babeld, rival.BIRD} {
		t.Run(string(d), func(t *testing.T) {
			if err := d.Check(); err != nil {
				t.Skip(err)
			}
			folder := t.TempDir()
			n, err := rival.Open(rival.Config{
				Daemon: d, Nodes: []string{"a", "b", "c"}, Edges: []rival.Edge{{A: "a", B: "b"}, {A: "b", B: "c"}}, Hello: time.Second, Folder: folder,
			})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := n.Close(); err != nil {
					t.Error(err)
				}
			}()
			if err := n.Start(); err != nil {
				t.Fatal(err)
			}
			reaches(t, n, "a", "c", true)
			if bytes, err := n.BabelBytes(); err != nil || bytes == 0 {
				t.Errorf("%d bytes of Babel, %v", bytes, err)
			}
			if dead := n.Dead(); dead != "" {
				t.Error(dead)
			}
			if err := n.Silence(rival.Edge{A: "b", B: "c"}); err != nil {
				t.Fatal(err)
			}
			reaches(t, n, "a", "c", false)
			if err := n.Down(rival.Edge{A: "a", B: "b"}); err != nil {
				t.Fatal(err)
			}
			reaches(t, n, "a", "b", false)
		})
	}
}
