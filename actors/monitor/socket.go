package monitor

import (
	"context"
	"crypto/sha256"
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

// maxFolderName keeps the path of a socket below 108 bytes (unix(7)).
const maxFolderName = 40

// SpareDir is where the sockets of a node lie while its ControlDir takes none: the disk
// is read-only, or full. It is made for them, and has a name of its own for each folder.
func SpareDir(dir string) string {
	abs, err := filepath.Abs(dir)
	if err != nil {
		abs = dir
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		abs = real
	}
	name, sum := filepath.Base(abs), sha256.Sum256([]byte(abs))
	return filepath.Join(runDir, "re6st", fmt.Sprintf("%s-%x", name[:min(len(name), maxFolderName)], sum[:4]))
}

// takesNothing tells whether an error is that of a disk which is read-only or full.
func takesNothing(err error) bool {
	return errors.Is(err, unix.EROFS) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}

// giveTo hands a file to a group; -1 is none.
func giveTo(group int, path string) error {
	if group < 0 {
		return nil
	}
	return os.Chown(path, -1, group)
}

// lock is held as long as this process serves the folder: on the folder itself, which a
// read-only disk allows too, and on a file, which says who has it. The file stays when
// it is released: to remove it would let two processes hold one lock each.
type lock struct{ folder, file *os.File }

// takeLock takes the folder, or returns ErrInUse with the id of who has it.
func takeLock(dir string) (l *lock, err error) {
	l = &lock{}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
			l = nil
		}
	}()
	// Not open for writing, which would keep a disk with errors from becoming read-only.
	if l.folder, err = os.OpenFile(dir, os.O_RDONLY|unix.O_CLOEXEC|unix.O_DIRECTORY, 0); err != nil {
		return l, err
	}
	path := filepath.Join(dir, lockName)
	l.file, err = os.OpenFile(path, os.O_RDONLY|os.O_CREATE|unix.O_CLOEXEC, 0o600)
	if err != nil && !takesNothing(err) {
		return l, err
	}
	for _, f := range []*os.File{l.folder, l.file} {
		if f == nil {
			continue
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
			return l, fmt.Errorf("%w: %s is served by process %s", ErrInUse, dir, l.holder())
		} else if err != nil {
			return l, os.NewSyscallError("flock", err)
		}
	}
	if l.file == nil {
		return l, nil
	}
	if err := os.WriteFile(path, fmt.Appendf(nil, "%d\n", os.Getpid()), 0o600); err != nil && !takesNothing(err) { // no reason not to serve
		return l, err
	}
	return l, nil
}

// holder is the id of the process that has the lock, where its disk took that.
func (l *lock) holder() string {
	if l.file == nil {
		return "of an id that its disk did not take"
	}
	who := make([]byte, 16)
	n, _ := l.file.ReadAt(who, 0) // empty where it is only being written
	return strings.TrimSpace(string(who[:n]))
}

// Close releases the lock.
func (l *lock) Close() error {
	var errs []error
	for _, f := range []*os.File{l.folder, l.file} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

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
