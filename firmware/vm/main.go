package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Exit statuses beside the command's; those of timeout(1).
const (
	exitUsage   = 2
	exitTimeUp  = 124
	exitMachine = 125
)

// needed are the programs without which nothing runs, and Debian's packages of them.
var needed = []struct{ program, pkg string }{
	{qemu, "qemu-system-x86"},
	{"depmod", "kmod"},
	{"apt-get", "apt"},
	{"dpkg", "dpkg"},
}

func main() {
	if os.Getpid() == 1 {
		guest()
	}
	os.Exit(host())
}

func host() int {
	flags := flag.NewFlagSet("vm", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "usage: vm [FLAG...] COMMAND [ARGUMENT...]\nRuns a command as root under Debian's kernel in an emulated machine.")
		flags.PrintDefaults()
	}
	cache := flags.String("cache", "", "`folder` of downloaded kernels (default: kernel beside this program)")
	name := flags.String("kernel", "", "Debian's kernel `package` (default: that of this release of Debian)")
	limit := flags.Duration("timeout", 10*time.Minute, "time limit, boot included")
	memory := flags.Int("memory", 1024, "the machine's memory in `MiB`")
	cpus := flags.Int("cpus", min(2, runtime.NumCPU()), "the machine's processors")
	write := flags.String("w", "", "a `folder` in which the command may write; elsewhere what it writes is thrown away")
	console := flags.Bool("console", false, "show the kernel's console at the end")
	extra := flags.String("append", "", "more `options` for the kernel's command line")
	emulate := flags.Bool("emulate", false, "emulate the processor even where there is KVM")
	if err := flags.Parse(os.Args[1:]); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return exitUsage
	}
	if flags.NArg() == 0 {
		flags.Usage()
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	m := machine{memory: *memory, cpus: *cpus, kvm: !*emulate && usableKVM(), console: *console, append: *extra, limit: bootLimit}
	m.task.Args, m.task.Env = flags.Args(), os.Environ()
	status, err := boot(ctx, m, *cache, *name, *write, *limit)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		fmt.Fprintf(os.Stderr, "vm: %s did not end within %v\n", flags.Arg(0), *limit)
		return exitTimeUp
	case err != nil:
		fmt.Fprintln(os.Stderr, "vm:", err)
		return exitMachine
	}
	return status
}

// boot gets the kernel and runs the machine.
func boot(ctx context.Context, m machine, cache, name, write string, limit time.Duration) (int, error) {
	if err := examine(runtime.GOARCH, exec.LookPath); err != nil {
		return 0, err
	}
	var err error
	if cache == "" {
		self, err := os.Executable()
		if err != nil {
			return 0, err
		}
		cache = filepath.Join(filepath.Dir(self), "kernel")
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return 0, err
	}
	if cache, err = realPath(cache); err != nil {
		return 0, err
	}
	if m.kernel, err = fetchKernel(cache, name, os.Stderr); err != nil {
		return 0, err
	}
	m.task.Release, m.task.Modules = m.kernel.release, m.kernel.modules()
	if m.task.Dir, err = os.Getwd(); err != nil {
		return 0, err
	}
	if write != "" {
		if m.task.Write, err = realPath(write); err != nil {
			return 0, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return m.run(ctx, os.Stdout, os.Stderr)
}

// realPath is absolute and without symbolic links, which lead astray while the machine's
// root is still being made.
func realPath(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(abs)
}

// examine says what of the machine is missing, and how to get it.
func examine(arch string, look func(string) (string, error)) error {
	if arch != "amd64" {
		return fmt.Errorf("this runs on amd64 only, not on %s", arch)
	}
	var missing []string
	for _, n := range needed {
		if _, err := look(n.program); err != nil {
			if _, err := look("/usr/sbin/" + n.program); err != nil {
				missing = append(missing, n.pkg)
			}
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("missing Debian packages: %[1]s; install them with: apt-get install %[1]s", strings.Join(missing, " "))
	}
	return nil
}
