package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// minRoom is how much must be free for the node's files, in bytes.
const minRoom = 16 << 20

// privateFiles are the secrets of a node's folder.
var privateFiles = []string{"node.key", "static.key"}

// folder examines the node's folder.
func folder(dir string) []Finding {
	f := Finding{Area: "folder", Name: dir, For: "the node's identity and what it remembers", Cure: "re6st join makes it; -d names another"}
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		err = errors.New("not a folder")
	}
	if err != nil {
		return []Finding{f.needed(err, "")}
	}
	f.Cure = "mount it read-write, make room, or correct its owner; until then the node runs on and remembers nothing"
	all := []Finding{f.needed(writable(dir), "writable")}
	for _, name := range privateFiles {
		secret := Finding{Area: "folder", Name: name, For: "the node's identity", Cure: "chmod 600 " + filepath.Join(dir, name)}
		info, err := os.Stat(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // the identity's own finding says so
		}
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			err = fmt.Errorf("others may read it: mode %v", info.Mode().Perm())
		}
		all = append(all, secret.needed(err, "private"))
	}
	return all
}

// writable asks the kernel, and counts the room.
func writable(dir string) error {
	if err := unix.Access(dir, unix.W_OK); err != nil {
		return err
	}
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return err
	}
	if room := s.Bavail * uint64(s.Bsize); room < minRoom {
		return fmt.Errorf("%d kB are free, want %d", room>>10, minRoom>>10)
	}
	return nil
}
