package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Disk is how the disk of a member's folder is.
type Disk string

// The states of a disk.
const (
	DiskOK       Disk = "ok"
	DiskFull     Disk = "full"
	DiskReadOnly Disk = "readonly"
)

const (
	diskSize = 16 << 20 // bytes, of each member's
	ballast  = ".ballast"
)

// mountDisk gives a member's folder a disk of its own, in memory. Whoever removes the
// lab's folder unmounts it.
func mountDisk(m *member) error {
	if err := unix.Mount("tmpfs", m.dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=700", diskSize)); err != nil {
		return fmt.Errorf("lab: disk of %s: %w", m.name, err)
	}
	return nil
}

// setDisk makes the disks of one member, or of all nodes, be so.
func (l *Lab) setDisk(a Action) error {
	if !l.options.Disks {
		return fmt.Errorf("%w: the folders lie on this machine's disk; start the lab with --disks", ErrState)
	}
	names := l.names
	if a.A != everyName {
		names = []string{a.A}
	}
	for _, name := range names {
		if err := l.members[name].setDisk(a.Disk); err != nil {
			return fmt.Errorf("lab: disk of %s: %w", name, err)
		}
	}
	return nil
}

func (m *member) setDisk(d Disk) error {
	flags, path := uintptr(unix.MS_REMOUNT), filepath.Join(m.dir, ballast)
	if d == DiskReadOnly {
		return unix.Mount("", m.dir, "", flags|unix.MS_RDONLY, "")
	}
	if err := unix.Mount("", m.dir, "", flags, ""); err != nil {
		return err
	}
	if d == DiskOK {
		return ignore(os.ErrNotExist, os.Remove(path))
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return ignore(unix.ENOSPC, err)
	}
	defer f.Close()
	for block := make([]byte, 64<<10); ; {
		if _, err := f.Write(block); errors.Is(err, unix.ENOSPC) {
			return nil
		} else if err != nil {
			return err
		}
	}
}
