package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	qemu         = "qemu-system-x86_64"
	consoleLines = 20              // shown where the machine failed
	killWait     = 5 * time.Second // for QEMU's pipes once it is dead
	bootLimit    = 2 * time.Minute // on a machine under load it takes half a minute
	bootTries    = 3               // an emulated processor stands still at times
)

// What a QEMU finds among its file descriptors.
const (
	fdPort = 3 + iota
	fdInitramfs
	fdConsole
)

// machine is one run.
type machine struct {
	kernel  kernel
	memory  int // MiB
	cpus    int
	kvm     bool
	console bool // show the kernel's console at the end
	append  string
	limit   time.Duration // for a boot; one that takes longer is tried again
	task    task
}

var (
	// errNoExit: the machine ended without telling the command's exit status.
	errNoExit = errors.New("the machine ended before the command did")
	// errNoBoot: the command has not been started.
	errNoBoot = errors.New("the machine did not boot in time")
)

// usableKVM tells whether the processor's own virtualisation serves. KVM of the sort pvm
// runs only kernels that were made for it.
func usableKVM() bool {
	if _, err := os.Stat("/sys/module/kvm_pvm"); err == nil {
		return false
	}
	return unix.Access("/dev/kvm", unix.R_OK|unix.W_OK) == nil
}

// run boots, and returns the command's exit status once it is there, or ctx's error.
func (m machine) run(ctx context.Context, stdout, stderr io.Writer) (int, error) {
	for try := 1; ; try++ {
		status, err := m.try(ctx, stdout, stderr)
		if !errors.Is(err, errNoBoot) || try == bootTries {
			return status, err
		}
		fmt.Fprintf(stderr, "vm: %v; try %d of %d\n", err, try+1, bootTries)
	}
}

func (m machine) try(ctx context.Context, stdout, stderr io.Writer) (int, error) {
	initramfs, err := memoryFile("initramfs")
	if err != nil {
		return 0, err
	}
	defer initramfs.Close()
	if err := m.writeInitramfs(initramfs); err != nil {
		return 0, err
	}
	console, err := memoryFile("console")
	if err != nil {
		return 0, err
	}
	defer console.Close()
	ours, theirs, err := portPair()
	if err != nil {
		return 0, err
	}
	defer ours.Close()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, qemu, m.arguments()...)
	cmd.ExtraFiles = []*os.File{theirs, initramfs, console} // fdPort and on
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = killWait
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	runtime.LockOSThread() // Pdeathsig means the thread's death
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		theirs.Close()
		return 0, err
	}
	theirs.Close()
	status, err := m.converse(ours, stdout, stderr)
	timeUp := ctx.Err()
	cancel()
	_ = cmd.Wait() // killed
	if timeUp != nil {
		err = timeUp
	} else if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, unix.ECONNRESET) {
		err = errNoExit
	}
	m.showConsole(console, stderr, err != nil)
	if err != nil {
		return 0, errors.Join(err, qemuSaid(said.String()))
	}
	return status, nil
}

// converse takes what comes by the port, from the start of the command to its exit status.
func (m machine) converse(port *os.File, stdout, stderr io.Writer) (int, error) {
	if err := port.SetReadDeadline(time.Now().Add(m.limit)); err != nil {
		return 0, err
	}
	if err := awaitStart(port); errors.Is(err, os.ErrDeadlineExceeded) {
		return 0, errNoBoot
	} else if err != nil {
		return 0, err
	}
	if err := port.SetReadDeadline(time.Time{}); err != nil {
		return 0, err
	}
	return copyFrames(port, stdout, stderr)
}

func qemuSaid(text string) error {
	if text = strings.TrimSpace(text); text != "" {
		return errors.New("QEMU said: " + text)
	}
	return nil
}

// memoryFile makes a file that is gone with its last descriptor.
func memoryFile(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// portPair is the machine's serial port, our end and QEMU's.
func portPair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0) // so that reads have a deadline
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "port"), os.NewFile(uintptr(fds[1]), "port"), nil
}

func (m machine) arguments() []string {
	// How fast the counter of an emulated processor is the kernel finds out wrongly on a busy
	// machine, and then its clock is ten times too fast.
	accel, cpu, clock := "tcg,thread=multi,tb-size=512", "Nehalem", "tsc=unstable clocksource=hpet"
	if m.kvm {
		accel, cpu, clock = "kvm", "host", "tsc=reliable"
	}
	fd := func(n int) string { return "/proc/self/fd/" + strconv.Itoa(n) }
	share := func(path, tag string) string {
		return fmt.Sprintf("local,path=%s,mount_tag=%s,security_model=none,multidevs=remap", strings.ReplaceAll(path, ",", ",,"), tag)
	}
	args := []string{
		"-nodefaults", "-display", "none", "-no-reboot", "-nic", "none",
		"-machine", "q35", "-accel", accel, "-cpu", cpu, "-m", strconv.Itoa(m.memory), "-smp", strconv.Itoa(m.cpus),
		"-kernel", m.kernel.image(), "-initrd", fd(fdInitramfs),
		"-append", strings.TrimSpace("console=ttyS0 quiet panic=-1 mitigations=off no_timer_check rdinit=/init " + clock + " " + m.append),
		"-chardev", "file,id=console,path=" + fd(fdConsole), "-serial", "chardev:console",
		"-device", "virtio-serial-pci", "-chardev", fmt.Sprintf("socket,id=port,fd=%d", fdPort),
		"-device", "virtserialport,nr=1,chardev=port",
		"-device", "virtio-rng-pci",
		"-virtfs", share("/", hostTag) + ",readonly=on",
	}
	if m.task.Write != "" {
		args = append(args, "-virtfs", share(m.task.Write, writeTag))
	}
	return args
}

// writeInitramfs packs this program, the modules that it inserts, and the task.
func (m machine) writeInitramfs(to io.Writer) error {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err
	}
	task, err := json.Marshal(m.task)
	if err != nil {
		return err
	}
	dep, err := os.ReadFile(filepath.Join(m.kernel.modules(), "modules.dep"))
	if err != nil {
		return err
	}
	builtin, err := os.ReadFile(filepath.Join(m.kernel.modules(), "modules.builtin"))
	if err != nil {
		return err
	}
	paths, err := modulePaths(string(dep), string(builtin), bootModules)
	if err != nil {
		return err
	}
	c := &cpio{to: to}
	c.add("init", modeBinary, self)
	c.add(taskFile[1:], modeFile, task)
	c.add(moduleDir[1:], modeDir, nil)
	for i, path := range paths {
		image, err := readModule(filepath.Join(m.kernel.modules(), path))
		if err != nil {
			return err
		}
		c.add(fmt.Sprintf("%s/%02d-%s", moduleDir[1:], i, moduleName(path)), modeFile, image)
	}
	return c.Close()
}

// showConsole writes what the kernel said: all of it if asked for, its end after a failure.
func (m machine) showConsole(console *os.File, to io.Writer, failed bool) {
	if !m.console && !failed {
		return
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/self/fd/%d", console.Fd()))
	if err != nil {
		fmt.Fprintln(to, "vm: console:", err)
		return
	}
	lines := strings.SplitAfter(string(text), "\n")
	if !m.console {
		lines = lines[max(0, len(lines)-consoleLines):]
	}
	fmt.Fprint(to, strings.Join(lines, ""))
}
