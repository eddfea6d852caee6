package nodedir_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"re6st/hw/nodedir"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func create(t *testing.T) nodedir.Dir {
	t.Helper()
	d, err := nodedir.Create(filepath.Join(t.TempDir(), "a", "b"))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func names(t *testing.T, d nodedir.Dir) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(d.Path(""))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func TestWriteReplacesContentAndPermissions(t *testing.T) {
	d := create(t)
	for _, c := range []struct {
		content string
		perm    fs.FileMode
	}{{"long content", nodedir.Public}, {"short", nodedir.Private}, {"", nodedir.Private}} {
		if err := d.Write("f", []byte(c.content), c.perm); err != nil {
			t.Fatal(err)
		}
		got, err := d.Read("f")
		if err != nil || string(got) != c.content {
			t.Errorf("got %q, %v, want %q", got, err, c.content)
		}
		if info, err := os.Stat(d.Path("f")); err != nil || info.Mode().Perm() != c.perm {
			t.Errorf("mode %v, %v, want %v", info.Mode(), err, c.perm)
		}
	}
	if got := names(t, d); !slices.Equal(got, []string{"f"}) {
		t.Errorf("files left: %v", got)
	}
}

func TestFolderIsPrivate(t *testing.T) {
	info, err := os.Stat(create(t).Path(""))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestHalfAFileOfAKilledWriterIsReplaced(t *testing.T) {
	d := create(t)
	if err := os.WriteFile(d.Path(".f.tmp"), []byte("half"), 0o666); err != nil {
		t.Fatal(err)
	}
	if d.Has("f") {
		t.Error("half a file counts as one")
	}
	if err := d.Write("f", []byte("whole"), nodedir.Private); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(d.Path("f")); err != nil || info.Mode().Perm() != nodedir.Private {
		t.Errorf("mode %v, %v: it came from the dead writer", info.Mode(), err)
	}
}

func TestFailedWriteLeavesTheOldFile(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to mount a small tmpfs")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	d, err := nodedir.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Write("f", []byte("old"), nodedir.Private); err != nil {
		t.Fatal(err)
	}
	if err := d.Write("f", make([]byte, 1<<17), nodedir.Private); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("on a full disk: %v", err)
	}
	if got, err := d.Read("f"); err != nil || string(got) != "old" {
		t.Errorf("the old file is now %q, %v", got, err)
	}
	if got := names(t, d); !slices.Equal(got, []string{"f"}) {
		t.Errorf("files left: %v", got)
	}
}

func TestReadBounds(t *testing.T) {
	d := create(t)
	if _, err := d.Read("f"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	content := bytes.Repeat([]byte{1}, nodedir.MaxFile)
	if err := d.Write("f", content, nodedir.Public); err != nil {
		t.Fatal(err)
	}
	if got, err := d.Read("f"); err != nil || !bytes.Equal(got, content) {
		t.Errorf("the largest: %d bytes, %v", len(got), err)
	}
	if err := d.Write("f", append(content, 1), nodedir.Public); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Read("f"); !errors.Is(err, nodedir.ErrTooLarge) {
		t.Errorf("one byte more: %v", err)
	}
}

func TestRemove(t *testing.T) {
	d := create(t)
	if err := d.Write("f", nil, nodedir.Public); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := d.Remove("f"); err != nil || d.Has("f") {
			t.Errorf("removed: %v", err)
		}
	}
}

func TestNamesAreOneElement(t *testing.T) {
	d := create(t)
	for _, name := range []string{"", ".", "..", "a/b", "../f", ".hidden", "/f"} {
		if err := d.Write(name, nil, nodedir.Public); err == nil {
			t.Errorf("%q was written", name)
		}
	}
}

func TestOpenWantsAFolder(t *testing.T) {
	d := create(t)
	if err := d.Write("f", nil, nodedir.Public); err != nil {
		t.Fatal(err)
	}
	if _, err := nodedir.Open(d.Path("f")); err == nil {
		t.Error("a file was opened as a folder")
	}
	if _, err := nodedir.Open(d.Path("none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}

func TestASharedFolderIsOpenWhateverTheUmask(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	path := filepath.Join(t.TempDir(), "run", "re6st")
	if err := nodedir.Share(path); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := os.Chmod(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := nodedir.Share(path); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("a folder that is there: %v, %v", info.Mode(), err)
	}
}
