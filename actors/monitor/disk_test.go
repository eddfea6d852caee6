package monitor_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"re6st/actors/monitor"
	"re6st/actors/monitor/monitortest"
)

// disk is a folder on a disk of its own, in memory.
func disk(t *testing.T, options string) string {
	t.Helper()
	dir := folder(t)
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("a file system cannot be mounted: %v; run this as root", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// serves tells that a node which starts in dir is found, and has no other beside it.
func serves(t *testing.T, dir string) {
	t.Helper()
	stop, err := monitortest.Start(dir, monitortest.Sample())
	if err != nil {
		t.Fatal(err)
	}
	at := monitor.SocketIn(dir)
	if filepath.Dir(at) != monitor.SpareDir(dir) || !strings.HasPrefix(at, "/run/re6st/") {
		t.Errorf("the socket lies at %s", at)
	}
	if err := monitor.NewClient(at).Get(t.Context(), "status", new(monitor.Status)); err != nil {
		t.Error(err)
	}
	if _, err := monitortest.Start(dir, monitortest.Sample()); !errors.Is(err, monitor.ErrInUse) {
		t.Errorf("a second one: %v", err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(monitor.SpareDir(dir)); err == nil {
		t.Errorf("%s is left behind", monitor.SpareDir(dir))
	}
}

func TestANodeThatStartsOnAReadOnlyDiskHasSockets(t *testing.T) {
	dir := disk(t, "size=1m")
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	serves(t, dir)
}

func TestANodeThatStartsOnAFullDiskHasSockets(t *testing.T) {
	serves(t, disk(t, "size=1m,nr_inodes=1")) // the folder itself is one
}

func TestTheSpareFolderIsOnesOwn(t *testing.T) {
	long := "/srv/" + strings.Repeat("x", 200)
	for _, dirs := range [][2]string{{"/srv/a/node", "/srv/b/node"}, {long + "1", long + "2"}} {
		one, other := monitor.SpareDir(dirs[0]), monitor.SpareDir(dirs[1])
		if one == other {
			t.Errorf("%s and %s have one: %s", dirs[0], dirs[1], one)
		}
		if path := filepath.Join(one, monitor.ReadOnlySocketName); len(path) > 107 {
			t.Errorf("%s is too long for a socket", path)
		}
	}
}
