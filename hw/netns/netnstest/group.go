package netnstest

import (
	"os"
	"path/filepath"
	"testing"

	"re6st/hw/netns"
)

// NewGroup is a group of namespaces that goes with the test, which is skipped without root.
func NewGroup(t testing.TB) *netns.Group {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	dir := filepath.Join(os.TempDir(), "re6st-test")
	if _, err := netns.Sweep(dir); err != nil {
		t.Log("what an earlier test left: ", err)
	}
	g, err := netns.NewGroup(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}
