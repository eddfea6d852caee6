package monitor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// The files in the node's folder.
const (
	SocketName         = "re6st.sock"
	ReadOnlySocketName = "re6st-ro.sock"
	lockName           = "re6st.lock"
)

const (
	socketMode         fs.FileMode = 0o600
	readOnlySocketMode fs.FileMode = 0o660
)

// What is kept, and what lives as long as the machine runs (hier(7), file-hierarchy(7)).
const (
	stateDir = "/var/lib"
	runDir   = "/run"
)

// ControlDir is where the sockets of a node lie whose configuration says nothing else:
// for a folder under /var/lib the one of that name under /run, as systemd's
// StateDirectory and RuntimeDirectory go together, for the folder itself is closed to
// others; else the folder itself.
func ControlDir(dir string) string {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return dir
	}
	name, err := filepath.Rel(stateDir, abs)
	if err != nil || name == "." || !filepath.IsLocal(name) {
		return dir
	}
	return filepath.Join(runDir, name)
}

// giveTo hands a file to a group; -1 is none.
func giveTo(group int, path string) error {
	if group < 0 {
		return nil
	}
	return os.Chown(path, -1, group)
}

// lock is held as long as this process serves the folder. The file stays when it
// is released: to remove it would let two processes hold one lock each.
type lock struct{ file *os.File }

// takeLock takes the folder, or returns ErrInUse with the id of who has it.
func takeLock(dir string) (*lock, error) {
	path := filepath.Join(dir, lockName)
	// Not open for writing, which would keep a disk with errors from becoming read-only.
	f, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, os.NewSyscallError("flock", err)
		}
		who := make([]byte, 16)
		n, _ := f.ReadAt(who, 0) // empty where it is only being written
		return nil, fmt.Errorf("%w: %s is served by process %s", ErrInUse, dir, strings.TrimSpace(string(who[:n])))
	}
	l := &lock{f}
	err = os.WriteFile(path, fmt.Appendf(nil, "%d\n", os.Getpid()), 0o600)
	if err != nil && !errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.EROFS) { // no reason not to serve
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Close releases the lock.
func (l *lock) Close() error { return l.file.Close() }

// listen makes a socket of mode, in place of what a dead process left. The caller
// holds the lock.
func listen(path string, mode fs.FileMode) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	// The mode of the unbound socket bounds that of the file, so nobody else gets in
	// before Chmod.
	cfg := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		return errors.Join(c.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), uint32(mode)) }), err)
	}}
	l, err := cfg.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	if err = os.Chmod(path, mode); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}
