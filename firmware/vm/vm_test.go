package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestAnArchiveIsNewc(t *testing.T) {
	var out bytes.Buffer
	c := &cpio{to: &out}
	c.add("d", modeDir, nil)
	c.add("d/f", modeFile, []byte("hello"))
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	member := func(inode, mode, size, name, text string) string {
		zero := "00000000"
		return "070701" + inode + mode + zero + zero + "00000001" + zero + size + zero + zero + zero + zero + name + zero + text
	}
	want := member("00000001", "000041ED", "00000000", "00000002", "d\x00") +
		member("00000002", "000081A4", "00000005", "00000004", "d/f\x00\x00\x00") + "hello\x00\x00\x00" +
		member("00000003", "00000000", "00000000", "0000000B", "TRAILER!!!\x00\x00\x00\x00")
	if out.String() != want {
		t.Errorf("have\n%q\nwant\n%q", out.String(), want)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestAnArchiveThatCannotBeWrittenIsAnError(t *testing.T) {
	c := &cpio{to: full{}}
	c.add("f", modeFile, nil)
	if err := c.Close(); !errors.Is(err, io.ErrShortWrite) {
		t.Error(err)
	}
}

func frames(t *testing.T, list ...any) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	for i := 0; i < len(list); i += 2 {
		if err := writeFrame(&b, byte(list[i].(int)), []byte(list[i+1].(string))); err != nil {
			t.Fatal(err)
		}
	}
	return &b
}

func TestFramesBringOutputAndStatus(t *testing.T) {
	var stdout, stderr bytes.Buffer
	status, err := copyFrames(frames(t, 1, "out", 2, "err", 1, "put", 3, "\x00\x00\x00\x07"), &stdout, &stderr)
	if status != 7 || err != nil || stdout.String() != "output" || stderr.String() != "err" {
		t.Error(status, err, stdout.String(), stderr.String())
	}
}

func TestFramesThatAreNoneAreRefused(t *testing.T) {
	for name, b := range map[string]*bytes.Buffer{
		"kind":        frames(t, 9, ""),
		"status":      frames(t, 3, "\x07"),
		"long":        bytes.NewBufferString("\x01\xff\xff\xff\xff"),
		"a byte over": bytes.NewBufferString("\x01\x00\x01\x00\x01"),
	} {
		if _, err := copyFrames(b, io.Discard, io.Discard); !errors.Is(err, errFrame) {
			t.Error(name, err)
		}
	}
	for _, b := range []*bytes.Buffer{frames(t), frames(t, 1, "out"), bytes.NewBufferString("\x01\x00\x00")} {
		if _, err := copyFrames(b, io.Discard, io.Discard); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Error("a port without an exit frame:", err)
		}
	}
}

func TestTheFirstFrameIsTheStart(t *testing.T) {
	if err := awaitStart(frames(t, 4, "")); err != nil {
		t.Error(err)
	}
	for name, b := range map[string]*bytes.Buffer{"output": frames(t, 1, "out"), "data": frames(t, 4, "x")} {
		if err := awaitStart(b); !errors.Is(err, errFrame) {
			t.Error(name, err)
		}
	}
	if err := awaitStart(frames(t)); !errors.Is(err, io.EOF) {
		t.Error("a port that ends:", err)
	}
}

// relayed is what relay makes of a pipe that a process holds which outlives the command.
func relayed(t *testing.T, write func(w *os.File)) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	write(w)
	if err := r.SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	var port, said bytes.Buffer
	relay(r, &port, frameStdout, new(sync.Mutex))
	r.Close()
	if err := writeFrame(&port, frameExit, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	if _, err := copyFrames(&port, &said, io.Discard); err != nil {
		t.Fatal(err)
	}
	return said.String()
}

func TestTheLastWordsOfACommandAreNotCutOff(t *testing.T) {
	said := relayed(t, func(w *os.File) {
		if _, err := w.WriteString("last words"); err != nil {
			t.Fatal(err)
		}
	})
	if said != "last words" {
		t.Errorf("%q", said)
	}
}

func TestWhoSpeaksForEverIsNotWaitedFor(t *testing.T) {
	var speakers sync.WaitGroup
	said := relayed(t, func(w *os.File) {
		// As much waits as can, and more comes than is read.
		if _, err := unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, pipeRoom); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, pipeRoom)); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			speakers.Go(func() {
				for err := error(nil); err == nil; { // until nobody listens
					_, err = w.Write(make([]byte, pipeRoom))
				}
			})
		}
	})
	if speakers.Wait(); len(said) < pipeRoom || len(said) > pipeRoom+maxFrame {
		t.Errorf("%d bytes", len(said))
	}
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte("\x01\x00\x00\x00\x01x\x03\x00\x00\x00\x04\x00\x00\x00\x00"))
	f.Add([]byte("\x02\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var out bytes.Buffer
		if _, err := copyFrames(bytes.NewReader(b), &out, &out); err == nil && out.Len() > len(b) {
			t.Errorf("%d bytes from %d", out.Len(), len(b))
		}
	})
}

func TestModulesComeAfterWhatTheyNeed(t *testing.T) {
	const dep = `kernel/net/9p/9pnet.ko.xz:
kernel/fs/9p/9p.ko.xz: kernel/net/9p/9pnet.ko.xz kernel/fs/netfs/netfs.ko.xz
kernel/fs/netfs/netfs.ko.xz:
kernel/net/9p/9pnet_virtio.ko.xz: kernel/net/9p/9pnet.ko.xz
kernel/drivers/char/hw_random/virtio-rng.ko.xz:
`
	paths, err := modulePaths(dep, "kernel/drivers/virtio/virtio_pci.ko\n", []string{"virtio_pci", "9p", "9pnet_virtio", "virtio_rng"})
	want := "kernel/fs/netfs/netfs.ko.xz kernel/net/9p/9pnet.ko.xz kernel/fs/9p/9p.ko.xz kernel/net/9p/9pnet_virtio.ko.xz kernel/drivers/char/hw_random/virtio-rng.ko.xz"
	if got := strings.Join(paths, " "); got != want || err != nil {
		t.Errorf("%v\nhave %s\nwant %s", err, got, want)
	}
	if _, err := modulePaths(dep, "", []string{"overlay"}); err == nil || !strings.Contains(err.Error(), "overlay") {
		t.Error("a module that is missing:", err)
	}
}

func TestTheKernelIsTheOneOfTheRelease(t *testing.T) {
	const depends = "linux-image-amd64\n  Depends: linux-image-6.1.0-56-amd64\n  Suggests: linux-image-other\n"
	if name := kernelOf(depends); name != "linux-image-6.1.0-56-amd64" {
		t.Error(name)
	}
	if name := kernelOf(""); name != "" {
		t.Error(name)
	}
}

func TestAKernelInTheCacheIsNotDownloaded(t *testing.T) {
	cache := t.TempDir()
	boot := filepath.Join(cache, "linux-image-6.1.0-1-amd64", "boot")
	if err := os.MkdirAll(boot, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(boot, "vmlinuz-6.1.0-1-amd64"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("linux-image-6.1.0-1-amd64", filepath.Join(cache, defaultLink)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "linux-image-6.1.0-1-amd64"} {
		if k, err := fetchKernel(cache, name, io.Discard); err != nil || k.release != "6.1.0-1-amd64" {
			t.Error(name, k, err)
		}
	}
	for _, name := range []string{"bash", "linux-image-../x"} {
		if _, err := fetchKernel(cache, name, io.Discard); err == nil || !strings.Contains(err.Error(), "no kernel package") {
			t.Error(name, err)
		}
	}
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	look := func(name string) (string, error) {
		if strings.HasSuffix(name, "depmod") || name == qemu || name == "/usr/sbin/"+qemu {
			return "", exec.ErrNotFound
		}
		return name, nil
	}
	err := examine("amd64", look)
	if err == nil || !strings.Contains(err.Error(), "apt-get install qemu-system-x86 kmod") {
		t.Error(err)
	}
	if err := examine("arm64", look); err == nil || !strings.Contains(err.Error(), "arm64") {
		t.Error(err)
	}
}

// stillborn is a machine whose QEMU does as the script says.
func stillborn(t *testing.T, script string) machine {
	t.Helper()
	dir := t.TempDir()
	k := kernel{dir, "6.1.0-1-amd64"}
	var dep strings.Builder
	for _, m := range bootModules {
		dep.WriteString(m + ".ko:\n")
		writeTestFile(t, filepath.Join(k.modules(), m+".ko"), m)
	}
	writeTestFile(t, filepath.Join(k.modules(), "modules.dep"), dep.String())
	writeTestFile(t, filepath.Join(k.modules(), "modules.builtin"), "")
	writeTestFile(t, filepath.Join(dir, qemu), "#!/bin/sh\n"+script)
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return machine{kernel: k, limit: 10 * time.Millisecond}
}

func writeTestFile(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o755)); err != nil {
		t.Fatal(err)
	}
}

func TestAMachineThatDoesNotBootIsTriedAgain(t *testing.T) {
	var stderr bytes.Buffer
	_, err := stillborn(t, "exec sleep 1000").run(t.Context(), io.Discard, &stderr)
	if !errors.Is(err, errNoBoot) || strings.Count(stderr.String(), "did not boot") != bootTries-1 {
		t.Errorf("%v\n%s", err, stderr.String())
	}
}

func TestWhatQEMUSaysIsTold(t *testing.T) {
	m := stillborn(t, "echo no such option >&2; exit 1")
	m.limit = time.Minute
	_, err := m.run(t.Context(), io.Discard, io.Discard)
	if !errors.Is(err, errNoExit) || !strings.Contains(err.Error(), "no such option") {
		t.Error(err)
	}
}

func TestAFolderWithACommaIsShared(t *testing.T) {
	m := machine{task: task{Write: "/a,b"}}
	if args := m.arguments(); !slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "local,path=/a,,b,") }) {
		t.Error(args)
	}
}
