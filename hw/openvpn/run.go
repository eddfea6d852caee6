package openvpn

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"re6st/hw/process"
)

// socketPathLen is what a unix socket's name may have in bytes (unix(7)).
const socketPathLen = 107

// Find is where the program is, or ErrMissing. "" is Program.
func Find(program string) (string, error) {
	if program == "" {
		program = Program
	}
	path, err := exec.LookPath(program)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrMissing, err)
	}
	return path, nil
}

// Run is one life of a child. It returns when that has ended: nil where stop was why, else
// an error, which tells the child's last words. report is called by one goroutine at a
// time, and not after the return.
func Run(stop context.Context, s Spec, report func(Event)) error {
	if err := s.check(); err != nil {
		return err
	}
	program, err := Find(s.Program)
	if err != nil {
		return err
	}
	socket := filepath.Join(s.Folder, s.Device+".sock")
	if len(socket) > socketPathLen {
		return fmt.Errorf("%w: the management socket %s has more than %d bytes", ErrSpec, socket, socketPathLen)
	}
	r := &run{spec: &s, report: report, words: conversation{waits: s.Local.IsValid(), admit: s.Admit}}
	if err := r.listen(socket); err != nil {
		return err
	}
	defer r.listener.Close() // and its file goes
	spawner := process.NewSpawner()
	defer spawner.Close()
	child, err := r.start(spawner, program, socket)
	if err != nil {
		return err
	}
	return r.supervise(stop, child)
}

// run is what one life needs.
type run struct {
	spec     *Spec
	report   func(Event)
	listener *net.UnixListener
	output   *os.File     // what the child writes
	input    *os.File     // what it reads, where text goes
	text     []byte       // its configuration
	words    conversation // of the goroutine that converses

	mu   sync.Mutex
	last []string // lines of the log
}

// listen waits for the child's management interface.
func (r *run) listen(socket string) error {
	if err := os.MkdirAll(r.spec.Folder, 0o700); err != nil {
		return fmt.Errorf("openvpn: %s: %w", r.spec, err)
	}
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) { // of a process that was killed
		return fmt.Errorf("openvpn: %s: %w", r.spec, err)
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return fmt.Errorf("openvpn: %s: management socket: %w", r.spec, err)
	}
	r.listener = listener
	if err := os.Chmod(socket, 0o600); err != nil {
		listener.Close()
		return fmt.Errorf("openvpn: %s: management socket: %w", r.spec, err)
	}
	return nil
}

// start runs the child, which waits for its configuration.
func (r *run) start(spawner *process.Spawner, program, socket string) (*process.Child, error) {
	in, input, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("openvpn: %w", err)
	}
	defer in.Close()
	output, log, err := os.Pipe()
	if err != nil {
		input.Close()
		return nil, fmt.Errorf("openvpn: %w", err)
	}
	defer log.Close()
	child, err := spawner.Start(process.Spec{
		Path: program, Args: []string{"--config", "stdin"}, Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, Dir: "/",
		NS: r.spec.NS, Stdin: in, Stdout: log, Stderr: log,
	})
	if err != nil {
		input.Close()
		output.Close()
		return nil, fmt.Errorf("openvpn: %s: %w", r.spec, err)
	}
	r.input, r.output, r.text = input, output, r.spec.config(socket)
	return child, nil
}

// configure writes the configuration, keys and all. A revocation list can be longer than what
// a pipe holds; a child that ends without having read it all tells why.
func (r *run) configure() {
	_, _ = r.input.Write(r.text)
	r.input.Close()
	clear(r.text)
}

// supervise reads what the child says until it has ended, or is to.
func (r *run) supervise(stop context.Context, child *process.Child) error {
	var pumps sync.WaitGroup
	pumps.Go(r.configure)
	pumps.Go(r.readLog)
	lost := make(chan error, 1)
	pumps.Go(func() { lost <- r.converse() })

	var fault error
	select {
	case <-child.Done():
	case <-stop.Done():
		fault = child.Stop(stopTime)
	case fault = <-lost: // nil: it hung up, and so is about to end
		fault = errors.Join(fault, child.Stop(stopTime))
	}
	r.listener.Close() // converse may still wait for the child
	pumps.Wait()
	r.output.Close()
	switch {
	case stop.Err() != nil:
		return nil
	case fault != nil:
		return fmt.Errorf("openvpn: %s: %w", r.spec, fault)
	default:
		return fmt.Errorf("%w: %s: status %d: %s", ErrEnded, r.spec, child.Status(), r.lastWords())
	}
}

// readLog reads until the child has ended, and all that it started.
func (r *run) readLog() {
	lines := bufio.NewReaderSize(r.output, maxLine)
	for {
		line, _, err := lines.ReadLine() // of a longer one the rest comes as another
		if err != nil {
			return
		}
		r.mu.Lock()
		r.last = append(r.last, string(line))
		r.last = r.last[max(0, len(r.last)-lastWords):]
		r.mu.Unlock()
		if r.spec.Log != nil {
			r.spec.Log(string(line))
		}
	}
}

// lastWords are why the child ended, as far as it says so.
func (r *run) lastWords() string {
	if r.words.fatal != "" {
		return r.words.fatal
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.last, "; ")
}

// converse speaks with the management interface. It returns nil when the child hung up, or
// ended before it called.
func (r *run) converse() error {
	conn, err := r.listener.AcceptUnix()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("management: %w", err)
	}
	defer conn.Close()
	say := func(text string) error {
		_, err := conn.Write([]byte(text))
		return err
	}
	if err := say(hello); err != nil {
		return nil //nolint:nilerr // it hung up
	}
	lines := bufio.NewScanner(conn)
	lines.Buffer(make([]byte, 0, 4<<10), maxLine)
	for lines.Scan() {
		err := r.words.HandleLine(lines.Text())
		r.words.Drain(func(answer string) { _ = say(answer) }, r.report) // to one that hung up nobody listens
		if err != nil {
			return fmt.Errorf("management: %w", err)
		}
	}
	// An error of the connection is a hang-up too: the child has ended, with its answer unread.
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return fmt.Errorf("management: %w: a line of more than %d bytes", errManagement, maxLine)
	}
	return nil
}
