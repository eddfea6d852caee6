package netns

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"re6st/hw/netlink"
)

// Dir is where named namespaces are mounted, as iproute2 has it.
const Dir = "/run/netns"

// NS is an open network namespace. Its methods may be called from any goroutine.
type NS struct {
	name string
	file *os.File
}

// Create makes a namespace and mounts it under its name. IPv6 in it takes addresses
// as usable at once (accept_dad 0: nobody else is on a link of ours), and lo is up.
func Create(name string) (*NS, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 {
		return nil, ErrNotRoot
	}
	if err := shareDir(); err != nil {
		return nil, fmt.Errorf("netns: %s: %w", Dir, err)
	}
	path := filepath.Join(Dir, name)
	mountpoint, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0o444)
	if errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("%w: %s", ErrExists, name)
	}
	if err != nil {
		return nil, fmt.Errorf("netns: create %s: %w", name, err)
	}
	mountpoint.Close()
	if err := unshareTo(path); err != nil {
		return nil, errors.Join(fmt.Errorf("netns: create %s: %w", name, err), Delete(name))
	}
	ns, err := Open(name)
	if err != nil {
		return nil, errors.Join(err, Delete(name))
	}
	if err := ns.prepare(); err != nil {
		ns.Close()
		return nil, errors.Join(fmt.Errorf("netns: create %s: %w", name, err), Delete(name))
	}
	return ns, nil
}

func checkName(name string) error {
	legal := func(r rune) bool {
		return r == '-' || r == '.' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
	}
	if strings.Trim(name, ".") == "" || strings.ContainsFunc(name, func(r rune) bool { return !legal(r) }) {
		return fmt.Errorf("%w: %q", ErrName, name)
	}
	return nil
}

// shareDir makes /run/netns a shared mount, as iproute2 does, so that a namespace
// unmounted here does not live on in the mount namespace of an `ip netns exec`.
func shareDir() error {
	if err := os.MkdirAll(Dir, 0o755); err != nil {
		return err
	}
	// Of two that find no mount point one makes it, or there would be one over the other. iproute2
	// has this lock too.
	lock, err := os.Open(Dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	err = unix.Mount("", Dir, "none", unix.MS_SHARED|unix.MS_REC, "")
	if !errors.Is(err, unix.EINVAL) {
		return err
	}
	// Not a mount point yet.
	if err := unix.Mount(Dir, Dir, "none", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	return unix.Mount("", Dir, "none", unix.MS_SHARED|unix.MS_REC, "")
}

// unshareTo makes a namespace on a thread of its own and mounts it. The thread ends
// with its goroutine, for it is never unlocked.
func unshareTo(path string) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("unshare: %w", err)
			return
		}
		done <- unix.Mount("/proc/thread-self/ns/net", path, "none", unix.MS_BIND, "")
	}()
	return <-done
}

// prepare sets what every namespace of ours has.
func (n *NS) prepare() error {
	for _, key := range []string{"net/ipv6/conf/all/accept_dad", "net/ipv6/conf/default/accept_dad"} {
		if err := n.Sysctl(key, "0"); err != nil {
			return err
		}
	}
	conn, err := n.Netlink()
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.SetUp("lo", true)
}

// Open opens a namespace by its name.
func Open(name string) (*NS, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	file, err := os.Open(filepath.Join(Dir, name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrMissing, name)
	}
	if err != nil {
		return nil, fmt.Errorf("netns: open %s: %w", name, err)
	}
	return &NS{name, file}, nil
}

// Delete removes the name of a namespace; the namespace itself ends with the last
// process and the last open file in it. One that is gone is no error.
func Delete(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	path := filepath.Join(Dir, name)
	err := unix.Unmount(path, unix.MNT_DETACH)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) { // EINVAL: made but not mounted
		return fmt.Errorf("netns: delete %s: %w", name, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("netns: delete %s: %w", name, err)
	}
	return nil
}

// Name returns the name below Dir.
func (n *NS) Name() string { return n.name }

// Fd returns the file descriptor, for setns(2); it stays n's.
func (n *NS) Fd() int { return int(n.file.Fd()) }

// Close closes the file. The namespace keeps its name.
func (n *NS) Close() error { return n.file.Close() }

// Enter puts the calling thread into the namespace. The goroutine must be locked to
// its thread, and either leave it by ending or be replaced by exec(2).
func (n *NS) Enter() error {
	if err := unix.Setns(n.Fd(), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("netns: enter %s: %w", n.name, err)
	}
	return nil
}

// Do runs f on a thread in the namespace and returns what f returns.
func (n *NS) Do(f func() error) error {
	done := make(chan error)
	go func() { done <- n.do(f) }()
	return <-done
}

func (n *NS) do(f func() error) error {
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("netns: %w", err)
	}
	defer home.Close()
	if err := n.Enter(); err != nil {
		runtime.UnlockOSThread()
		return err
	}
	err = f()
	// A thread that cannot go home stays locked, and so ends with this goroutine.
	if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
		runtime.UnlockOSThread()
	}
	return err
}

// Sysctl writes one of the namespace's own settings; key is the path below /proc/sys.
func (n *NS) Sysctl(key, value string) error {
	return n.Do(func() error {
		if err := os.WriteFile(filepath.Join("/proc/sys", key), []byte(value), 0); err != nil {
			return fmt.Errorf("netns: %s: sysctl: %w", n.name, err)
		}
		return nil
	})
}

// Netlink opens a route socket in the namespace. Close it before n.
func (n *NS) Netlink() (*netlink.Conn, error) {
	conn, err := netlink.OpenAt(n.Fd())
	if err != nil {
		return nil, fmt.Errorf("netns: %s: %w", n.name, err)
	}
	return conn, nil
}

// Veth joins two namespaces with a pair of links, both up and without an address of
// the kernel's making other than the link-local one.
func Veth(a *NS, nameA string, b *NS, nameB string) error {
	connA, err := a.Netlink()
	if err != nil {
		return err
	}
	defer connA.Close()
	if err := connA.AddVeth(nameA, b.Fd(), nameB); err != nil {
		return fmt.Errorf("netns: join %s and %s: %w", a.name, b.name, err)
	}
	connB, err := b.Netlink()
	if err != nil {
		return err
	}
	defer connB.Close()
	if err := connB.SetUp(nameB, true); err != nil {
		return err
	}
	return connA.SetUp(nameA, true)
}
