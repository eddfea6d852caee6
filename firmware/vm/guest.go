package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Files of the initramfs.
const (
	taskFile   = "/task"
	moduleDir  = "/modules"
	guestHost  = "/host" // the host's root
	guestSpace = "/space"
	guestRoot  = "/new"
)

// Names that QEMU gives to what it shares.
const (
	hostTag  = "host"
	writeTag = "write"
)

const (
	portGlob  = "/dev/vport*p1"
	portWait  = 10 * time.Second // until the kernel has found the port
	pipeGrace = time.Second      // for output of processes that outlive the command
	pipeRoom  = 1 << 20          // bytes that wait in a pipe at most (pipe(7))
	guestPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// task is what init is told.
type task struct {
	Args, Env []string
	Dir       string
	Release   string // of the kernel
	Modules   string // the kernel's modules, a folder of the host
	Write     string // the folder of the host that may be written, or nothing
}

// guest is process 1. It never returns: the host ends the machine once it has the exit status.
func guest() {
	err := serve()
	fmt.Println("vm: init:", err) // to the console, of which the host shows the end
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	os.Exit(1) // which the kernel takes for a panic
}

func serve() error {
	raw, err := os.ReadFile(taskFile)
	if err != nil {
		return err
	}
	var t task
	if err := json.Unmarshal(raw, &t); err != nil {
		return err
	}
	if err := insertModules(); err != nil {
		return err
	}
	if err := enterRoot(t); err != nil {
		return err
	}
	if err := loopbackUp(); err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	port, err := openPort()
	if err != nil {
		return err
	}
	if err := writeFrame(port, frameStart, nil); err != nil {
		return err
	}
	status, err := execute(t, port)
	if err != nil {
		return err
	}
	if err := writeFrame(port, frameExit, binary.BigEndian.AppendUint32(nil, uint32(status))); err != nil {
		return err
	}
	select {}
}

func insertModules() error {
	files, err := filepath.Glob(moduleDir + "/*")
	if err != nil {
		return err
	}
	for _, file := range files { // sorted, and named in their order
		image, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := unix.InitModule(image, ""); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("insert %s: %w", file, err)
		}
	}
	return nil
}

// mounts makes each folder and mounts there; the first failure ends it.
type mounts struct{ err error }

func (m *mounts) mount(source, target, kind string, flags uintptr, options string) {
	if m.err != nil {
		return
	}
	if m.err = os.MkdirAll(target, 0o755); m.err != nil {
		return
	}
	if err := unix.Mount(source, target, kind, flags, options); err != nil {
		m.err = fmt.Errorf("mount %s at %s: %w", source, target, err)
	}
}

func (m *mounts) folder(path string) {
	if m.err == nil {
		m.err = os.MkdirAll(path, 0o755)
	}
}

// enterRoot makes the root file system and changes into it.
func enterRoot(t task) error {
	const share = "trans=virtio,version=9p2000.L,msize=512000,access=any"
	var m mounts
	m.mount(hostTag, guestHost, "9p", unix.MS_RDONLY, share+",cache=loose")
	m.mount("space", guestSpace, "tmpfs", 0, "")
	m.folder(guestSpace + "/upper")
	m.folder(guestSpace + "/work")
	m.mount("root", guestRoot, "overlay", 0, fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%s/work", guestHost, guestSpace, guestSpace))
	if t.Write != "" {
		m.mount(writeTag, guestRoot+t.Write, "9p", 0, share)
	}
	m.mount(guestHost+t.Modules, guestRoot+"/lib/modules/"+t.Release, "", unix.MS_BIND, "")
	m.mount("proc", guestRoot+"/proc", "proc", 0, "")
	m.mount("sys", guestRoot+"/sys", "sysfs", 0, "")
	m.mount("cgroup", guestRoot+"/sys/fs/cgroup", "cgroup2", 0, "")
	m.mount("debug", guestRoot+"/sys/kernel/debug", "debugfs", 0, "")
	m.mount("dev", guestRoot+"/dev", "devtmpfs", 0, "")
	m.mount("pts", guestRoot+"/dev/pts", "devpts", 0, "")
	m.mount("shm", guestRoot+"/dev/shm", "tmpfs", 0, "")
	m.mount("run", guestRoot+"/run", "tmpfs", 0, "")
	m.folder(guestRoot + "/run/netns")
	if m.err != nil {
		return m.err
	}
	for name, target := range map[string]string{"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"} {
		if err := os.Symlink(target, filepath.Join(guestRoot, "dev", name)); err != nil {
			return err
		}
	}
	// As switch_root(8) does it.
	if err := os.Chdir(guestRoot); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move the root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("change the root: %w", err)
	}
	return unix.Sethostname([]byte("vm"))
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
}

func openPort() (*os.File, error) {
	for deadline := time.Now().Add(portWait); ; time.Sleep(10 * time.Millisecond) {
		if found, err := filepath.Glob(portGlob); err != nil || len(found) > 0 {
			return os.OpenFile(found[0], os.O_RDWR, 0)
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("no %s", portGlob)
		}
	}
}

// execute runs the command, and reaps whatever else ends, as process 1 has to.
func execute(t task, port io.Writer) (status int, err error) {
	if err := os.Setenv("PATH", guestPath); err != nil {
		return 0, err
	}
	var lock sync.Mutex // of the port
	var copies sync.WaitGroup
	var pipes []*os.File
	output := func(kind byte) (*os.File, error) {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		pipes = append(pipes, r)
		copies.Go(func() { relay(r, port, kind, &lock) })
		return w, nil
	}
	stdout, err := output(frameStdout)
	if err != nil {
		return 0, err
	}
	stderr, err := output(frameStderr)
	if err != nil {
		return 0, err
	}
	status = spawn(t, stdout, stderr)
	stdout.Close()
	stderr.Close()
	for _, r := range pipes {
		if err := r.SetReadDeadline(time.Now().Add(pipeGrace)); err != nil {
			return 0, err
		}
	}
	copies.Wait() // the exit frame is the last
	return status, nil
}

// relay copies what comes by a pipe until its end, or its deadline: then what is there already.
func relay(from *os.File, port io.Writer, kind byte, lock *sync.Mutex) {
	buffer := make([]byte, maxFrame)
	for left := pipeRoom; left > 0; {
		n, err := from.Read(buffer)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			n, err = readWaiting(from, buffer)
			left -= n
		}
		if n > 0 {
			lock.Lock()
			err = errors.Join(err, writeFrame(port, kind, buffer[:n]))
			lock.Unlock()
		}
		if err != nil {
			return
		}
	}
}

// readWaiting reads what waits in a pipe, whatever its deadline; io.EOF: nothing does.
func readWaiting(pipe *os.File, buffer []byte) (n int, err error) {
	raw, err := pipe.SyscallConn()
	if err != nil {
		return 0, err
	}
	e := raw.Control(func(fd uintptr) {
		if n, err = unix.Read(int(fd), buffer); n <= 0 {
			n, err = 0, io.EOF
		}
	})
	return n, errors.Join(e, err)
}

// spawn starts the command and waits for it. A command that cannot be started has the
// status that a shell gives.
func spawn(t task, stdout, stderr *os.File) int {
	path, err := exec.LookPath(t.Args[0])
	if err != nil && filepath.Base(t.Args[0]) != t.Args[0] {
		path, err = t.Args[0], nil // below the folder of the command, which is not ours
	}
	if err != nil {
		fmt.Fprintln(stderr, "vm:", err)
		return 127
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		fmt.Fprintln(stderr, "vm:", err)
		return 126
	}
	process, err := os.StartProcess(path, t.Args, &os.ProcAttr{Dir: t.Dir, Env: t.Env, Files: []*os.File{null, stdout, stderr}})
	if err != nil {
		fmt.Fprintln(stderr, "vm:", err)
		if errors.Is(err, os.ErrNotExist) {
			return 127
		}
		return 126
	}
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			fmt.Fprintln(stderr, "vm: wait:", err)
			return 126
		case pid == process.Pid && status.Signaled():
			return 128 + int(status.Signal())
		case pid == process.Pid:
			return status.ExitStatus()
		}
	}
}
