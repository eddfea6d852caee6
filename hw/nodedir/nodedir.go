package nodedir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"re6st/hw/fault"
)

// MaxFile is the size of the largest file that Read returns, in bytes.
const MaxFile = 1 << 20

// Permissions of files: Private for keys, Public for the rest.
const (
	Private fs.FileMode = 0o600
	Public  fs.FileMode = 0o644
)

// dirMode of a folder that Create makes: it will hold keys.
const dirMode fs.FileMode = 0o700

// ErrTooLarge is a file of more than MaxFile bytes.
var ErrTooLarge = errors.New("file too large")

// Dir is the folder of a node.
type Dir struct {
	path   string
	faults *fault.Table
	disk   *disk
}

// WithFaults is the same folder, of which some calls fail on purpose.
func (d Dir) WithFaults(t *fault.Table) Dir { return Dir{d.path, t, d.disk} }

// Open takes a folder that exists.
func Open(path string) (Dir, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Dir{}, err
	}
	if !info.IsDir() {
		return Dir{}, fmt.Errorf("%s is not a folder", path)
	}
	return Dir{path: path, disk: &disk{failing: map[string]error{}, kept: map[string]file{}}}, nil
}

// Create takes a folder, which it makes if need be, readable by its owner only.
func Create(path string) (Dir, error) {
	if err := os.MkdirAll(path, dirMode); err != nil {
		return Dir{}, err
	}
	return Open(path)
}

// publicDirMode of a folder whose files say themselves who may use them.
const publicDirMode fs.FileMode = 0o755

// Share makes a folder that everybody may enter, whatever the umask. One that is there
// stays as it is.
func Share(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(path, publicDirMode); err != nil {
		return err
	}
	return os.Chmod(path, publicDirMode)
}

// Path is where the file of this name lies.
func (d Dir) Path(name string) string { return filepath.Join(d.path, name) }

// Read returns a file. One that is not there is fs.ErrNotExist, one above MaxFile
// is ErrTooLarge.
func (d Dir) Read(name string) ([]byte, error) {
	if err := d.faults.Check(fault.NodedirRead); err != nil {
		return nil, err
	}
	f, err := os.Open(d.Path(name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err == nil && len(b) > MaxFile {
		err = fmt.Errorf("%s: %w, at most %d bytes", f.Name(), ErrTooLarge, MaxFile)
	}
	return b, err
}

// Has tells whether there is a file of this name.
func (d Dir) Has(name string) bool {
	_, err := os.Lstat(d.Path(name))
	return err == nil
}

// Write replaces a file, or leaves the old one untouched and returns an error.
// After it has returned nil the content survives a power cut.
func (d Dir) Write(name string, content []byte, perm fs.FileMode) error {
	d.disk.writing.Lock()
	defer d.disk.writing.Unlock()
	return d.write(name, content, perm)
}

func (d Dir) write(name string, content []byte, perm fs.FileMode) (err error) {
	if name != filepath.Base(name) || name[0] == '.' {
		return fmt.Errorf("write %q: not a plain file name", name)
	}
	defer func() { d.note(name, err) }()
	if err := d.faults.Check(fault.NodedirWrite); err != nil {
		return err
	}
	tmp := d.Path("." + name + ".tmp")
	defer func() {
		if err != nil {
			os.Remove(tmp) // may not be there; the error at hand says more
		}
	}()
	if err := writeSynced(tmp, content, perm); err != nil {
		return err
	}
	if err := os.Rename(tmp, d.Path(name)); err != nil {
		return err
	}
	return d.sync()
}

// Remove deletes a file for good, and what is kept of it; that there is none is no error.
func (d Dir) Remove(name string) error {
	d.disk.writing.Lock()
	defer d.disk.writing.Unlock()
	if err := d.faults.Check(fault.NodedirWrite); err != nil {
		return err
	}
	err := os.Remove(d.Path(name))
	gone := errors.Is(err, fs.ErrNotExist)
	if err != nil && !gone {
		return err
	}
	if d.note(name, nil); gone {
		return nil
	}
	return d.sync()
}

func writeSynced(path string, content []byte, perm fs.FileMode) error {
	// A file left by a killed process may have other permissions: not reused.
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func (d Dir) sync() error {
	f, err := os.Open(d.path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
