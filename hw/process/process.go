package process

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrClosed says that the Spawner is closed, or lost its way home from a namespace.
var ErrClosed = errors.New("process: the spawner is closed")

// Namespace is where a child may run; hw/netns.NS is one.
type Namespace interface {
	Enter() error // puts the calling thread inside
}

// Spec says what to run and how. Path is looked up in PATH if it has no slash.
type Spec struct {
	Path   string
	Args   []string // without the program's name
	Env    []string // nil: the parent's
	Dir    string   // "": the parent's
	NS     Namespace
	Stdin  *os.File // nil: /dev/null, as for the other two
	Stdout *os.File
	Stderr *os.File
	// Foreground leaves the child in the parent's process group, so that it may read
	// the terminal and gets its ^C. Signals then reach the child alone.
	Foreground bool
}

// Spawner forks children. Its methods may be called from any goroutine.
type Spawner struct {
	jobs chan func()
	quit chan struct{}
	done chan struct{}
	once sync.Once

	mu       sync.Mutex
	children map[*Child]bool // those that have not ended
}

// NewSpawner starts the thread that forks.
func NewSpawner() *Spawner {
	s := &Spawner{
		jobs: make(chan func()), quit: make(chan struct{}), done: make(chan struct{}),
		children: map[*Child]bool{},
	}
	go s.run()
	return s
}

// run never unlocks its thread, which so does nothing else.
func (s *Spawner) run() {
	runtime.LockOSThread()
	defer close(s.done)
	for {
		select {
		case job := <-s.jobs:
			job()
		case <-s.quit:
			return
		}
	}
}

// Close kills the children that still run and waits until they have ended.
func (s *Spawner) Close() {
	s.once.Do(func() { close(s.quit) })
	<-s.done // none is started from here on
	s.mu.Lock()
	left := slices.Collect(maps.Keys(s.children))
	s.mu.Unlock()
	for _, c := range left {
		// The thread's end may have killed it already, but not if it was the process's first thread, which stays.
		_ = c.Kill()
		<-c.done
	}
}

// Start runs a child.
func (s *Spawner) Start(spec Spec) (*Child, error) {
	cmd := exec.Command(spec.Path, spec.Args...)
	cmd.Env, cmd.Dir = spec.Env, spec.Dir
	// An *os.File that is nil must not become an io.Writer that is not.
	if spec.Stdin != nil {
		cmd.Stdin = spec.Stdin
	}
	if spec.Stdout != nil {
		cmd.Stdout = spec.Stdout
	}
	if spec.Stderr != nil {
		cmd.Stderr = spec.Stderr
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: !spec.Foreground}

	c := &Child{cmd: cmd, group: !spec.Foreground, done: make(chan struct{})}
	result := make(chan error, 1)
	job := func() {
		err := startIn(spec.NS, cmd)
		if err == nil {
			s.mu.Lock()
			s.children[c] = true
			s.mu.Unlock()
		}
		result <- err
	}
	select {
	case s.jobs <- job:
	case <-s.done:
		return nil, ErrClosed
	}
	if err := <-result; err != nil {
		return nil, fmt.Errorf("process: start %s: %w", spec.Path, err)
	}
	go func() {
		c.wait()
		s.mu.Lock()
		delete(s.children, c)
		s.mu.Unlock()
		close(c.done)
	}()
	return c, nil
}

// startIn forks on the calling thread, inside ns.
func startIn(ns Namespace, cmd *exec.Cmd) error {
	if ns != nil {
		home, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			return err
		}
		defer home.Close()
		if err := ns.Enter(); err != nil {
			return err
		}
		defer func() {
			if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
				// The file was opened a moment ago by this very thread: only a kernel without memory gets here.
				panic(fmt.Sprintf("process: cannot return to the own namespace: %v", err))
			}
		}()
	}
	return cmd.Start()
}

// Child is a started process. Its methods may be called from any goroutine.
type Child struct {
	cmd   *exec.Cmd
	group bool
	done  chan struct{}

	mu    sync.Mutex // held while signalling, so that the pid is not another's by then
	ended bool
}

func (c *Child) wait() {
	// Wait without reaping first: between reaping and marking, the number is anybody's.
	for {
		err := unix.Waitid(unix.P_PID, c.Pid(), nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	_ = c.cmd.Wait() // the status is in ProcessState
}

// Pid returns the process id.
func (c *Child) Pid() int { return c.cmd.Process.Pid }

// Done is closed when the child has ended.
func (c *Child) Done() <-chan struct{} { return c.done }

// Status returns the exit status as a shell gives it: 128 plus the number of the
// signal that ended the child. Only after Done.
func (c *Child) Status() int {
	ws, ok := c.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return c.cmd.ProcessState.ExitCode()
}

// Signal sends a signal to the child and all of its process group, unless it has ended.
func (c *Child) Signal(sig syscall.Signal) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return nil
	}
	pid := c.Pid()
	if c.group {
		pid = -pid
	}
	if err := unix.Kill(pid, sig); err != nil {
		return fmt.Errorf("process: signal %v to %d: %w", sig, c.Pid(), err)
	}
	return nil
}

// Kill ends the child with its process group at once, and waits for its end.
func (c *Child) Kill() error {
	if err := c.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-c.done
	return nil
}

// Stop asks the child to end (SIGTERM), kills it after grace, and waits for its end.
func (c *Child) Stop(grace time.Duration) error {
	if err := c.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-c.done:
		return nil
	case <-timer.C:
		return c.Kill()
	}
}
