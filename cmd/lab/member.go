package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"re6st/hw/netns"
	"re6st/hw/process"
)

// Patience with the processes of a lab.
const (
	askEvery   = 20 * time.Millisecond // a process that is starting: is it there yet?
	stopGrace  = 3 * time.Second       // from SIGTERM to SIGKILL
	startBound = 8                     // processes that start at a time
)

// member is the registry or a node: a namespace, a folder and, while it lives, a
// process. The lab's lock guards what is below mu.
type member struct {
	name string
	dir  string // the process's own folder
	log  string // file with all that its processes printed
	ns   *netns.NS
	// settings are guarded by acting, once the lab has started.
	settings settings

	// mu of the lab:
	running *running // nil: no process
	who     identity // in the mesh; zero for the registry
}

// running is a member's own process, from its start until its end is in the books.
type running struct {
	child    *process.Child
	stopping bool          // its end is wanted; guarded by the lab's mu
	gone     chan struct{} // closed when it has ended and lab.json says so
}

func (m *member) isRegistry() bool { return m.name == registryName }

// spawn runs a process in the member's namespace, with its output in the log.
func (l *Lab) spawn(m *member, spec process.Spec) (*process.Child, error) {
	log, err := os.OpenFile(m.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lab: %s: %w", m.name, err)
	}
	defer log.Close()
	spec.NS, spec.Stderr = m.ns, log
	if spec.Stdout == nil {
		spec.Stdout = log
	}
	child, err := l.spawner.Start(spec)
	if err != nil {
		return nil, fmt.Errorf("lab: %s: %w", m.name, err)
	}
	return child, nil
}

// runToEnd runs a process of a member until it ends; that it failed is an error.
func (l *Lab) runToEnd(ctx context.Context, m *member, spec process.Spec) error {
	child, err := l.spawn(m, spec)
	if err != nil {
		return err
	}
	select {
	case <-child.Done():
	case <-ctx.Done():
		return errors.Join(context.Cause(ctx), child.Kill())
	}
	if status := child.Status(); status != 0 {
		return fmt.Errorf("lab: %s: `re6st %s` ended with status %d; it said:\n%s",
			m.name, spec.Args[0], status, tail(m.log, tailLines))
	}
	return nil
}

// output runs a process of a member until it ends and returns what it printed.
func (l *Lab) output(ctx context.Context, m *member, spec process.Spec) (string, error) {
	file, err := os.CreateTemp(l.group.Dir(), "output-")
	if err != nil {
		return "", fmt.Errorf("lab: %w", err)
	}
	defer os.Remove(file.Name())
	defer file.Close()
	spec.Stdout = file
	if err := l.runToEnd(ctx, m, spec); err != nil {
		return "", err
	}
	text, err := os.ReadFile(file.Name())
	return string(text), err
}

// launch starts a member's own process, the registry's or the node's, which runs on.
// When it ends by itself the lab says so.
func (l *Lab) launch(m *member) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m.running != nil {
		return fmt.Errorf("%w: %s runs already", ErrState, m.name)
	}
	config := l.options.Config
	if len(m.settings) > 0 {
		config = l.configFile(m)
	}
	spec := l.program.node(m.dir, config)
	if m.isRegistry() {
		spec = l.program.registryServe(m.dir, registryAddress(l.under.places[m.name]))
	}
	child, err := l.spawn(m, spec)
	if err != nil {
		return err
	}
	r := &running{child: child, gone: make(chan struct{})}
	m.running = r
	l.background.Go(func() { l.attend(m, r) })
	l.note("started", m.name)
	return nil
}

// attend waits for the end of a member's process.
func (l *Lab) attend(m *member, r *running) {
	defer close(r.gone)
	<-r.child.Done()
	l.mu.Lock()
	m.running = nil
	stopping, died := r.stopping, l.died
	l.mu.Unlock()
	if err := l.writeJSON(); err != nil {
		l.say("%v", err)
	}
	l.note("ended", m.name)
	if !stopping {
		died(m.name, fmt.Errorf("lab: %s ended by itself with status %d; it said:\n%s", m.name, r.child.Status(), tail(m.log, tailLines)))
	}
}

// halt ends a member's process, by SIGKILL if grace is 0 or else by asking first, and
// waits until it is gone.
func (l *Lab) halt(m *member, grace time.Duration) error {
	l.mu.Lock()
	r := m.running
	if r != nil {
		r.stopping = true
	}
	l.mu.Unlock()
	if r == nil {
		return fmt.Errorf("%w: %s does not run", ErrState, m.name)
	}
	end := r.child.Kill
	if grace > 0 {
		end = func() error { return r.child.Stop(grace) }
	}
	if err := end(); err != nil {
		return err
	}
	<-r.gone
	return nil
}

// locate waits until a node tells its addresses, and opens its station.
func (l *Lab) locate(ctx context.Context, m *member) error {
	ticker := time.NewTicker(askEvery)
	defer ticker.Stop()
	for {
		who, err := l.program.identify(ctx, m.dir)
		if err == nil {
			l.mu.Lock()
			m.who = who
			l.mu.Unlock()
			return l.prober.open(m.name, m.ns, who.addresses[generalClass])
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("lab: %s does not tell its addresses: %w", m.name, err)
		}
	}
}

// awaitRegistry waits until the registry takes connections.
func (l *Lab) awaitRegistry(ctx context.Context) error {
	m := l.members[registryName]
	at := registryAddress(l.under.places[registryName]).String()
	ticker := time.NewTicker(askEvery)
	defer ticker.Stop()
	for {
		err := m.ns.Do(func() error {
			conn, err := net.DialTimeout("tcp", at, time.Second)
			if err == nil {
				conn.Close()
			}
			return err
		})
		if err == nil {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("lab: the registry does not listen on %s: %w; its log:\n%s", at, errors.Join(context.Cause(ctx), err), tail(m.log, tailLines))
		}
	}
}

// memberState is a copy of what changes in a member.
type memberState struct {
	name, netns, dir string
	pid              int // 0: no process runs
	who              identity
}

// snapshot copies the state of the nodes, in their order.
func (l *Lab) snapshot() []memberState {
	l.mu.Lock()
	defer l.mu.Unlock()
	var states []memberState
	for _, name := range l.names {
		states = append(states, l.members[name].state())
	}
	return states
}

func (m *member) state() memberState {
	s := memberState{name: m.name, netns: m.ns.Name(), dir: m.dir, who: m.who} // nobody changes an identity
	if m.running != nil {
		s.pid = m.running.child.Pid()
	}
	return s
}

// identity is what a node said of itself last.
func (l *Lab) identity(name string) identity {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.members[name].who
}

// nodes are the members that are nodes, in their order.
func (l *Lab) nodes() []*member {
	var nodes []*member
	for _, name := range l.names {
		nodes = append(nodes, l.members[name])
	}
	return nodes
}

// alive returns the names of the nodes whose process runs.
func (l *Lab) alive() []string {
	var names []string
	for _, s := range l.snapshot() {
		if s.pid != 0 {
			names = append(names, s.name)
		}
	}
	return names
}

// command runs CMD in the lab's own namespace with the terminal of the lab, and
// returns its status. When ctx ends CMD is asked to end, and then killed.
func (l *Lab) command(ctx context.Context, words []string, stdout *os.File) (int, error) {
	child, err := l.spawner.Start(process.Spec{
		Path: words[0], Args: words[1:], Env: append(os.Environ(), EnvLab+"="+l.group.Dir()),
		Stdin: os.Stdin, Stdout: stdout, Stderr: os.Stderr, Foreground: true,
	})
	if err != nil {
		return statusNotStarted, err
	}
	select {
	case <-child.Done():
	case <-ctx.Done():
		if err := child.Stop(stopGrace); err != nil {
			return statusNotStarted, err
		}
	}
	return child.Status(), nil
}

// statusNotStarted is what a shell returns for a command that it cannot run.
const statusNotStarted = 127

// statusInterrupted is what a shell returns for one that a signal ended.
func statusInterrupted(sig syscall.Signal) int { return 128 + int(sig) }

// logFile is where a member's processes print to.
func logFile(dir, name string) string { return filepath.Join(dir, name+".log") }
