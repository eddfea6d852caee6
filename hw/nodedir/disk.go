package nodedir

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// MinFree is how much space a disk that is not full has, in bytes.
const MinFree = 64 << 10

// What a disk may lack.
var (
	ErrFull     = errors.New("disk full")
	ErrReadOnly = errors.New("disk read-only")
)

// disk is what the disk did not take, of all copies of one Dir.
type disk struct {
	writing sync.Mutex // held while a file changes, so that who comes last is who stays
	mu      sync.Mutex
	failing map[string]error // by file, until it is written
	kept    map[string]file  // of those, what Keep was given last
}

type file struct {
	content []byte
	perm    fs.FileMode
}

// Keep is Write, but what the disk does not take now is written by Retry: the
// newest content of each name. It retains content.
func (d Dir) Keep(name string, content []byte, perm fs.FileMode) error {
	d.disk.writing.Lock()
	defer d.disk.writing.Unlock()
	err := d.write(name, content, perm)
	if err != nil {
		d.disk.mu.Lock()
		d.disk.kept[name] = file{content, perm}
		d.disk.mu.Unlock()
	}
	return err
}

// Retry writes what was kept, and returns the errors of what still is.
func (d Dir) Retry() error {
	d.disk.mu.Lock()
	kept := slices.Sorted(maps.Keys(d.disk.kept))
	d.disk.mu.Unlock()
	var errs []error
	for _, name := range kept {
		errs = append(errs, d.retry(name))
	}
	return errors.Join(errs...)
}

// retry writes what is kept of a file, unless somebody has written it meanwhile.
func (d Dir) retry(name string) error {
	d.disk.writing.Lock()
	defer d.disk.writing.Unlock()
	d.disk.mu.Lock()
	f, still := d.disk.kept[name]
	d.disk.mu.Unlock()
	if !still {
		return nil
	}
	return d.write(name, f.content, f.perm)
}

// note remembers how the last change of a file ended.
func (d Dir) note(name string, err error) {
	d.disk.mu.Lock()
	defer d.disk.mu.Unlock()
	if err != nil {
		d.disk.failing[name] = err
		return
	}
	delete(d.disk.failing, name)
	delete(d.disk.kept, name)
}

// Problem is why files are not written, or would not be: nil where all is well. It
// looks at the disk and writes nothing.
func (d Dir) Problem() error {
	if err := d.check(); err != nil {
		return err
	}
	d.disk.mu.Lock()
	defer d.disk.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(d.disk.failing)) {
		return d.disk.failing[name]
	}
	return nil
}

func (d Dir) check() error {
	var s unix.Statfs_t
	if err := unix.Statfs(d.path, &s); err != nil {
		return fmt.Errorf("%s: %w", d.path, err)
	}
	if s.Flags&unix.ST_RDONLY != 0 {
		return fmt.Errorf("%s: %w", d.path, ErrReadOnly)
	}
	if free := s.Bfree * uint64(s.Bsize); s.Blocks > 0 && free < MinFree {
		return fmt.Errorf("%s: %w, %d bytes left", d.path, ErrFull, free)
	}
	return nil
}
