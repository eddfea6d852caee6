package netns

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Names in a group's parent folder and in its own.
const (
	prefix    = "re6st-"    // of every namespace of every group
	sweepLock = ".lock"     // in the parent: held while a folder is made or swept
	ownerLock = "lock"      // in the group's folder: held by the owner, and holds its pid
	idBytes   = 3           // of a group's id, in hex: two labs meet once in 16 million
	idDigits  = 2 * idBytes // of the id as text
)

// Group is a set of namespaces with one owner: this process.
type Group struct {
	id     string
	dir    string // the group's own folder
	owner  *os.File
	spaces []*NS
}

// NewGroup makes a group with a folder of its own, DIR/ID, and locks it.
func NewGroup(dir string) (*Group, error) {
	if os.Geteuid() != 0 {
		return nil, ErrNotRoot
	}
	unlock, err := lockParent(dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	var random [idBytes]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, fmt.Errorf("netns: group id: %w", err)
	}
	g := &Group{id: hex.EncodeToString(random[:])}
	g.dir = filepath.Join(dir, g.id)
	if err := os.Mkdir(g.dir, 0o700); err != nil {
		return nil, fmt.Errorf("netns: new group: %w", err)
	}
	g.owner, err = os.OpenFile(filepath.Join(g.dir, ownerLock), os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		// Not LOCK_NB: somebody who asks for the Owner may hold it for a moment.
		err = unix.Flock(int(g.owner.Fd()), unix.LOCK_EX)
	}
	if err == nil {
		_, err = fmt.Fprintln(g.owner, os.Getpid())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("netns: new group: %w", err), os.RemoveAll(g.dir))
	}
	return g, nil
}

// lockParent makes the parent folder and keeps other processes from making or
// sweeping groups in it: between a folder and its lock a group looks dead.
func lockParent(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("netns: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, sweepLock), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("netns: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		lock.Close()
		return nil, fmt.Errorf("netns: lock %s: %w", dir, err)
	}
	return func() { lock.Close() }, nil
}

// ID returns the six hexadecimal digits that are in every name of the group.
func (g *Group) ID() string { return g.id }

// Dir returns the group's folder; what is put there goes with the group.
func (g *Group) Dir() string { return g.dir }

// Create makes a namespace of the group, named re6st-ID-NAME. The group closes it.
func (g *Group) Create(name string) (*NS, error) {
	ns, err := Create(prefix + g.id + "-" + name)
	if err != nil {
		return nil, err
	}
	g.spaces = append(g.spaces, ns)
	return ns, nil
}

// Close kills what still runs in the namespaces, removes them and the folder.
func (g *Group) Close() error {
	var errs []error
	for _, ns := range g.spaces {
		errs = append(errs, ns.Close())
	}
	// The folder goes last and under the lock: as long as it is there a Sweep finds the rest.
	err := removeSpaces(g.id)
	if err == nil {
		err = g.removeFolder()
	}
	return errors.Join(append(errs, err, g.owner.Close())...)
}

// removeFolder keeps sweeps away meanwhile: a folder whose lock is gone already looks dead.
func (g *Group) removeFolder() error {
	unlock, err := lockParent(filepath.Dir(g.dir))
	if err != nil {
		return err
	}
	defer unlock()
	return removeFolder(g.dir)
}

// Sweep takes down the groups of dir whose owner is dead, and returns their ids.
// Groups whose owner lives, and files that are no group's, are left as they are.
func Sweep(dir string) ([]string, error) {
	if os.Geteuid() != 0 {
		return nil, ErrNotRoot
	}
	unlock, err := lockParent(dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("netns: sweep: %w", err)
	}
	var swept []string
	var errs []error
	for _, e := range entries {
		if !e.IsDir() || !isID(e.Name()) {
			continue
		}
		group := filepath.Join(dir, e.Name())
		alive, err := ownerLives(group)
		if alive || err != nil {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, takeDown(group, e.Name()))
		swept = append(swept, e.Name())
	}
	return swept, errors.Join(errs...)
}

func isID(name string) bool {
	_, err := hex.DecodeString(name)
	return err == nil && len(name) == idDigits
}

// ownerLives tries the owner's lock. A folder without one belongs to an owner that
// died between making the two.
func ownerLives(dir string) (bool, error) {
	lock, err := os.Open(filepath.Join(dir, ownerLock))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("netns: sweep: %w", err)
	}
	defer lock.Close()
	// Shared, so that two who ask at a time do not take each other for the owner.
	err = unix.Flock(int(lock.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}

// Owner returns the process id of a group's owner, and whether it lives.
func Owner(dir string) (pid int, alive bool, err error) {
	text, err := os.ReadFile(filepath.Join(dir, ownerLock))
	if err != nil {
		return 0, false, fmt.Errorf("netns: owner: %w", err)
	}
	pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, false, fmt.Errorf("netns: owner: %s: %w", dir, err)
	}
	alive, err = ownerLives(dir)
	return pid, alive, err
}

// takeDown removes the namespaces of a group and then its folder.
func takeDown(dir, id string) error {
	if err := removeSpaces(id); err != nil {
		return err // with the folder left, the next sweep tries again
	}
	return removeFolder(dir)
}

// removeSpaces removes the namespaces with the group's id in their name, with the
// processes inside.
func removeSpaces(id string) error {
	entries, err := os.ReadDir(Dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("netns: take down %s: %w", id, err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix+id+"-") {
			names = append(names, e.Name())
		}
	}
	errs := []error{killInside(names)}
	for _, name := range names {
		errs = append(errs, Delete(name))
	}
	return errors.Join(errs...)
}

func removeFolder(dir string) error {
	if err := unmountIn(dir); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}

// unmountIn unmounts the folders of a group that are disks of their own.
func unmountIn(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("netns: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		if err != nil && !errors.Is(err, unix.EINVAL) { // EINVAL: nothing is mounted there
			return fmt.Errorf("netns: unmount %s: %w", path, err)
		}
	}
	return nil
}

// killInside kills every process whose main thread is in one of the namespaces, and
// looks again until no new one has come: a process may fork while it is looked at.
func killInside(names []string) error {
	inside := map[string]bool{}
	for _, name := range names {
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(Dir, name), &st); err != nil {
			return fmt.Errorf("netns: %s: %w", name, err)
		}
		inside[fmt.Sprintf("net:[%d]", st.Ino)] = true
	}
	if len(inside) == 0 {
		return nil
	}
	killed := map[int]bool{os.Getpid(): true} // never oneself
	for {
		before := len(killed)
		processes, err := processesIn(inside)
		if err != nil {
			return err
		}
		for _, pid := range processes {
			if killed[pid] {
				continue
			}
			killed[pid] = true
			if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("netns: kill %d: %w", pid, err)
			}
		}
		if len(killed) == before {
			return nil
		}
	}
}

// processesIn lists the processes in namespaces given as /proc/PID/ns/net names them.
func processesIn(inside map[string]bool) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("netns: %w", err)
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		ns, err := os.Readlink(filepath.Join("/proc", e.Name(), "ns/net"))
		if err == nil && inside[ns] { // an error: it ended meanwhile
			pids = append(pids, pid)
		}
	}
	return pids, nil
}
