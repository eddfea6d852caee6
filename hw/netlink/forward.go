package netlink

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"re6st/hw/nodedir"
)

const (
	ipv6Conf       = "/proc/sys/net/ipv6/conf"
	forwarding     = ipv6Conf + "/all/forwarding"
	forwardingIPv4 = "/proc/sys/net/ipv4/ip_forward"
	acceptRA       = "1" // accept router advertisements unless forwarding
	acceptRAAlways = "2" // accept them although forwarding
)

// Files of a namespace's forwarding.
const (
	changesLock = "lock"    // held while settings change
	usersLock   = "users"   // held, shared, by each process that wants forwarding
	recordFile  = "changed" // what the settings were
	newSuffix   = ".new"    // of a record that is being written
)

// forwarder is one process's part in the forwarding of its network namespace. What
// the settings were is in a record below /run that all such processes share, and that
// a crash and the next start leave as it is: the last one to end puts it back. A
// reboot takes away record and settings alike, and the next start those of namespaces
// that are gone.
type forwarder struct {
	dir   string
	file  string // the setting that makes the kernel forward
	users *os.File
}

// sysctl is a value that was changed, and what it was.
type sysctl struct {
	File string `json:"file"`
	Was  string `json:"was"`
}

// Forward makes the kernel route IPv6 between interfaces. Because forwarding
// stops an interface from accepting router advertisements (ip-sysctl.rst), each
// one that accepted them is told to go on. undo puts back what was changed, unless
// another process that called Forward in this namespace lives, which then will; it is
// never nil. dir is where those processes meet, such as /run/re6st.
func Forward(dir string) (undo func() error, err error) {
	return forward(filepath.Join(dir, "forward-"), "IPv6", forwarding)
}

// ForwardIPv4 is Forward for IPv4.
func ForwardIPv4(dir string) (undo func() error, err error) {
	return forward(filepath.Join(dir, "forward4-"), "IPv4", forwardingIPv4)
}

// forward has the processes of a namespace meet in a folder of that name and the
// namespace's.
func forward(name, family, file string) (undo func() error, err error) {
	ns, err := namespace()
	if err != nil {
		return func() error { return nil }, fmt.Errorf("cannot tell the network namespace: %w", err)
	}
	f := &forwarder{dir: name + ns, file: file}
	if err := f.begin(); err != nil {
		return f.end, fmt.Errorf("cannot let the kernel forward %s: %w", family, err)
	}
	return f.end, nil
}

// namespace names the network namespace of the process: by its cookie (Linux 5.14),
// which no other has until a reboot, or else by its inode, which others have later.
func namespace() (string, error) {
	if fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err == nil {
		defer unix.Close(fd)
		if cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE); err == nil {
			return fmt.Sprint(cookie), nil
		}
	}
	var ns unix.Stat_t
	err := unix.Stat("/proc/thread-self/ns/net", &ns)
	return fmt.Sprintf("inode-%d", ns.Ino), err
}

// begin joins those who forward, and changes what is not changed yet.
func (f *forwarder) begin() error {
	unlock, err := f.change()
	if err != nil {
		return err
	}
	defer unlock()
	if f.users, err = os.OpenFile(filepath.Join(f.dir, usersLock), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	if err := unix.Flock(int(f.users.Fd()), unix.LOCK_SH); err != nil {
		return err
	}
	if err := f.noteSpace(); err != nil {
		return err
	}
	f.sweep()
	changed := f.record()
	if on, err := readSysctl(f.file); err != nil || on != "1" {
		changed = nil // of a namespace that had the number of this one
	}
	wanted, err := f.wanted()
	if err != nil {
		return err
	}
	changed = append(changed, wanted...)
	if err := f.store(changed); err != nil { // before the change: a crash in between is undone too
		return err
	}
	for _, s := range wanted {
		value := acceptRAAlways
		if s.File == f.file {
			value = "1"
		}
		if err := os.WriteFile(s.File, []byte(value), 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// wanted is what is to be changed, forwarding last.
func (f *forwarder) wanted() (wanted []sysctl, err error) {
	interfaces, err := filepath.Glob(ipv6Conf + "/*/accept_ra")
	if err != nil {
		return nil, err
	}
	if f.file != forwarding {
		interfaces = nil // which IPv4 does not have
	}
	for _, file := range interfaces {
		if was, err := readSysctl(file); err == nil && was == acceptRA {
			wanted = append(wanted, sysctl{file, was})
		}
	}
	was, err := readSysctl(f.file)
	if err != nil || was == "1" {
		return wanted, err
	}
	return append(wanted, sysctl{f.file, was}), nil
}

// end leaves those who forward; the last one puts back what was changed.
func (f *forwarder) end() error {
	if f.users == nil {
		return nil
	}
	unlock, err := f.change()
	if err != nil {
		return errors.Join(err, f.users.Close())
	}
	defer unlock()
	defer func() { f.users = nil }()
	if unix.Flock(int(f.users.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return f.users.Close()
	}
	errs := []error{f.users.Close()}
	changed := f.record()
	for i := len(changed) - 1; i >= 0; i-- {
		err := os.WriteFile(changed[i].File, []byte(changed[i].Was), 0)
		if !errors.Is(err, fs.ErrNotExist) { // an interface that went meanwhile took its settings along
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, removeFolder(f.dir))...)
}

// change has this process alone with the settings until unlock.
func (f *forwarder) change() (unlock func(), err error) {
	for {
		// The folder above holds sockets for others too.
		if err := errors.Join(nodedir.Share(filepath.Dir(f.dir)), os.MkdirAll(f.dir, 0o700)); err != nil {
			return nil, err
		}
		file, err := os.OpenFile(filepath.Join(f.dir, changesLock), os.O_RDWR|os.O_CREATE, 0o600)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the last one before us has just removed it all
		}
		if err != nil {
			return nil, err
		}
		err = unix.Flock(int(file.Fd()), unix.LOCK_EX)
		ours, err1 := file.Stat()
		there, err2 := os.Stat(file.Name())
		if err == nil && err1 == nil && err2 == nil && os.SameFile(ours, there) {
			return func() { _ = file.Close() }, nil // which unlocks it
		}
		_ = file.Close()
		if err = errors.Join(err, err1); err != nil {
			return nil, err
		}
	}
}

// record is what was changed, if anything can be told of it.
func (f *forwarder) record() (changed []sysctl) {
	raw, err := os.ReadFile(filepath.Join(f.dir, recordFile))
	if err != nil || json.Unmarshal(raw, &changed) != nil {
		return nil
	}
	for _, s := range changed { // it says what to write where, as root
		if match, err := filepath.Match(ipv6Conf+"/*/accept_ra", s.File); err != nil || !match && s.File != f.file {
			return nil
		}
	}
	return changed
}

func (f *forwarder) store(changed []sysctl) error {
	raw, err := json.Marshal(changed)
	if err != nil {
		return err
	}
	file := filepath.Join(f.dir, recordFile)
	if err := os.WriteFile(file+newSuffix, raw, 0o600); err != nil {
		return err
	}
	return os.Rename(file+newSuffix, file)
}

func readSysctl(file string) (string, error) {
	raw, err := os.ReadFile(file)
	return string(bytes.TrimSpace(raw)), err
}
