package netlink

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// spaceFile tells the network namespace of a folder: as the kernel tells a process's in /proc.
const spaceFile = "namespace"

// namedSpaces is where ip-netns(8) keeps namespaces in which no process may be.
const namedSpaces = "/run/netns/*"

// noteSpace writes down which namespace the folder is for.
func (f *forwarder) noteSpace() error {
	space, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(f.dir, spaceFile), []byte(space), 0o600)
}

// sweep removes the folders of processes that were killed together with their namespaces, as
// those of a lab are: nobody is left to put anything back. What it cannot tell it leaves.
func (f *forwarder) sweep() {
	begin, _, _ := strings.Cut(filepath.Base(f.dir), "-")
	folders, err := filepath.Glob(filepath.Join(filepath.Dir(f.dir), begin+"-*"))
	if err != nil || len(folders) < 2 {
		return
	}
	live, err := liveSpaces()
	if err != nil {
		return
	}
	for _, dir := range folders {
		space, err := os.ReadFile(filepath.Join(dir, spaceFile))
		if dir == f.dir || err != nil || live[string(space)] {
			continue
		}
		removeUnused(dir)
	}
}

// removeUnused removes a folder, unless a process is just about to use it, or does.
func removeUnused(dir string) {
	for _, name := range []string{changesLock, usersLock} {
		file, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR, 0)
		if err != nil {
			return
		}
		defer file.Close()
		if unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
			return
		}
	}
	_ = removeFolder(dir) // the next start tries again
}

// removeFolder is for who holds the folder's lock. That goes last: from then on another may
// have made one of its own there, and this folder is that one's.
func removeFolder(dir string) error {
	var errs []error
	for _, name := range []string{recordFile + newSuffix, recordFile, spaceFile, usersLock, changesLock} {
		if err := os.Remove(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	err := os.Remove(dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTEMPTY) {
		err = nil
	}
	return errors.Join(append(errs, err)...)
}

// liveSpaces are the network namespaces that processes are in, or that have names. It fails
// where this process may not see those of others.
func liveSpaces() (map[string]bool, error) {
	if os.Geteuid() != 0 {
		return nil, fs.ErrPermission
	}
	links, err := filepath.Glob("/proc/[0-9]*/ns/net")
	if err != nil {
		return nil, err
	}
	live := map[string]bool{}
	for _, link := range links {
		if space, err := os.Readlink(link); err == nil { // else it has ended, or is above this sandbox
			live[space] = true
		}
	}
	named, err := filepath.Glob(namedSpaces)
	if err != nil {
		return nil, err
	}
	for _, name := range named {
		var s unix.Stat_t
		if unix.Stat(name, &s) == nil {
			live[fmt.Sprintf("net:[%d]", s.Ino)] = true
		}
	}
	return live, nil
}
