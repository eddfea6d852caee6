package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"re6st/actors/monitor"
	"re6st/hw/netns"
	"re6st/hw/process"
)

// Folder is where labs have theirs, one each, unless Options say otherwise.
const Folder = "/run/re6st-lab"

// EnvLab tells a command which lab it runs in: the folder with lab.json.
const EnvLab = "RE6ST_LAB"

// Options say what lab to make.
type Options struct {
	Nodes    int
	Topology Topology
	Access   Access
	Seed     uint64              // of the random topology
	Config   string              // file handed to every node, or ""
	Settings map[string]settings // lines of configuration of nodes
	Babeld   []string            // nodes with a cable to a machine that runs babeld
	IPv4     netip.Prefix        // of which each node has a share; not valid: the network has none
	Disks    bool                // each folder has a disk of its own
	Spare    int                 // join lines beside those of the nodes
	Timeout  time.Duration       // from the first process to the last echo
	Folder   string              // of all labs
	Logs     string              // folder for the logs, which stay there; "": the lab's own
	HTTP     netip.AddrPort      // of the loopback, where the live page is served; zero: nowhere
	Say      io.Writer           // what happens, a line each
}

// Lab is a network in namespaces. Its methods may be called from any goroutine.
type Lab struct {
	options Options
	names   []string // of the nodes
	edges   []Edge
	program program
	group   *netns.Group
	spawner *process.Spawner
	under   *underlay
	prober  *prober
	members map[string]*member // the registry and the nodes; not changed after Open
	control *control
	history history

	ctx        context.Context // ends with Close, or by Down
	cancel     context.CancelCauseFunc
	background sync.WaitGroup
	closed     chan struct{} // the lab is gone from the machine

	spare   []string   // join lines that nobody has used; guarded by acting
	acting  sync.Mutex // held during an Action: they are done one by one
	issued  issued     // by the registry; guarded by acting
	closing bool       // guarded by acting
	writing sync.Mutex // held while lab.json is written
	mu      sync.Mutex // guards died and the states of members
	died    func(name string, err error)
}

// errDown: somebody said `re6st lab down`.
var errDown = errors.New("lab: taken down by command")

// Open sweeps labs whose owner is dead and makes the namespaces, the links between
// them and the control socket of a new one. No process runs yet.
func Open(ctx context.Context, o Options) (l *Lab, err error) {
	edges, err := o.Topology.edges(o.Nodes, o.Seed)
	if err == nil {
		err = cmp.Or(o.Access.check(o.Topology, o.Nodes), checkBabeld(o.Babeld, o.Nodes))
	}
	if err != nil {
		return nil, &ExitError{exitUsage, err}
	}
	program, err := thisProgram()
	if err != nil {
		return nil, err
	}
	swept, err := netns.Sweep(o.Folder)
	if err != nil {
		return nil, err
	}
	for _, id := range swept {
		fmt.Fprintf(o.Say, "lab: swept %s, whose owner is dead\n", id)
	}
	group, err := netns.NewGroup(o.Folder)
	if err != nil {
		return nil, err
	}
	l = &Lab{
		options: o, names: nodeNames(o.Nodes), edges: edges, program: program, group: group,
		spawner: process.NewSpawner(), prober: newProber(), members: map[string]*member{}, closed: make(chan struct{}),
	}
	l.ctx, l.cancel = context.WithCancelCause(context.Background())
	l.died = l.sayDied
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	if l.under, err = newUnderlay(ctx, group, o.Topology, edges, l.names, o.Access); err != nil {
		return nil, err
	}
	if err := l.makeMembers(); err != nil {
		return nil, err
	}
	if err := cmp.Or(l.writeConfigs(), l.startGateways(), l.startBabeld()); err != nil {
		return nil, err
	}
	if l.control, err = openControl(l); err != nil {
		return nil, err
	}
	if err := l.openPage(); err != nil {
		return nil, err
	}
	return l, l.writeJSON()
}

// makeMembers gives everybody a folder and a log.
func (l *Lab) makeMembers() error {
	logs := l.logs()
	if err := os.MkdirAll(logs, 0o755); err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	for name, ns := range l.under.members {
		m := &member{name: name, ns: ns, dir: filepath.Join(l.group.Dir(), name), log: logFile(logs, name)}
		if err := os.Mkdir(m.dir, 0o700); err != nil {
			return fmt.Errorf("lab: %w", err)
		}
		l.members[name] = m
		if l.options.Disks {
			if err := mountDisk(m); err != nil {
				return err
			}
		}
	}
	return nil
}

// logs is the folder of what the processes print.
func (l *Lab) logs() string { return cmp.Or(l.options.Logs, filepath.Join(l.group.Dir(), "logs")) }

// ID returns the lab's id.
func (l *Lab) ID() string { return l.group.ID() }

// Dir returns the lab's folder, where lab.json is.
func (l *Lab) Dir() string { return l.group.Dir() }

// Done is closed when somebody took the lab down by command.
func (l *Lab) Done() <-chan struct{} { return l.ctx.Done() }

func (l *Lab) say(format string, args ...any) { fmt.Fprintf(l.options.Say, format+"\n", args...) }

func (l *Lab) sayDied(_ string, err error) { l.say("%v", err) }

// Close ends the processes and takes the lab from the machine. Once only.
func (l *Lab) Close() error {
	l.cancel(errDown)
	l.acting.Lock() // an action that runs comes to its end; none begins from here on
	l.closing = true
	l.acting.Unlock()
	var stopping sync.WaitGroup
	for _, m := range l.members {
		stopping.Go(func() { _ = l.halt(m, stopGrace) }) // one that does not run is as it should be
	}
	stopping.Wait()
	l.spawner.Close()
	l.prober.close()
	l.background.Wait()
	var errs []error
	for _, m := range l.members {
		errs = append(errs, os.RemoveAll(monitor.SpareDir(m.dir))) // of those that were killed
	}
	if l.under != nil { // else Open failed
		errs = append(errs, l.under.delays.close())
	}
	err := errors.Join(append(errs, l.group.Close())...)
	close(l.closed)
	if l.control != nil {
		l.control.close()
	}
	return err
}

// Start runs the registry, lets every node join and start, and waits until an echo
// has come back between every ordered pair. It returns the time from the start of
// the first join to the last echo.
func (l *Lab) Start(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ctx, stop := context.WithTimeout(ctx, l.options.Timeout)
	defer stop()
	l.onDeath(func(_ string, err error) { cancel(err) })
	defer l.onDeath(l.sayDied)

	began, last, missing := time.Time{}, time.Time{}, allPairs(l.names)
	lines, err := l.startRegistry(ctx)
	if err == nil {
		began = time.Now()
		wait := l.startNodes(ctx, lines, cancel)
		last, missing = l.prober.converge(ctx, l.names)
		wait()
	}
	switch cause := context.Cause(ctx); {
	case len(missing) == 0:
		return last.Sub(began), errors.Join(l.writeJSON(), l.writeHosts())
	case errors.Is(cause, context.DeadlineExceeded):
		return 0, l.explain(missing)
	case cause != nil:
		return 0, cause
	default:
		return 0, err
	}
}

func (l *Lab) onDeath(died func(name string, err error)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.died = died
}

// startRegistry returns a join line for each node.
func (l *Lab) startRegistry(ctx context.Context) ([]string, error) {
	m := l.members[registryName]
	if err := l.runToEnd(ctx, m, l.program.registryInit(m.dir, l.options.IPv4)); err != nil {
		return nil, err
	}
	if err := l.launch(m); err != nil {
		return nil, err
	}
	if err := l.awaitRegistry(ctx); err != nil {
		return nil, err
	}
	text, err := l.output(ctx, m, l.program.registryTokens(m.dir, len(l.names)+l.options.Spare))
	if err != nil {
		return nil, err
	}
	lines := strings.Fields(text)
	if len(lines) != len(l.names)+l.options.Spare {
		return nil, fmt.Errorf("lab: the registry printed %d join lines where %d were asked for", len(lines), len(l.names)+l.options.Spare)
	}
	l.spare = lines[len(l.names):]
	return lines[:len(l.names)], nil
}

// startNodes joins and starts all nodes, some at a time. The first failure is handed
// to fail. wait returns when nothing of it runs any more.
func (l *Lab) startNodes(ctx context.Context, lines []string, fail func(error)) (wait func()) {
	var starting sync.WaitGroup
	var joined atomic.Int32
	slots := make(chan struct{}, startBound)
	for i, name := range l.names {
		m, line := l.members[name], l.lineFor(name, lines[i])
		starting.Go(func() {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			err := l.runToEnd(ctx, m, l.program.join(line, m.dir))
			if err == nil {
				if n := int(joined.Add(1)); n == len(l.names) {
					l.say("joined %d", n)
				}
				err = l.launch(m)
			}
			<-slots
			if err == nil {
				err = l.locate(ctx, m)
			}
			if err != nil && ctx.Err() == nil {
				fail(err)
			}
		})
	}
	return starting.Wait
}

// explain says which pairs are missing and what the logs of their nodes say.
func (l *Lab) explain(missing []Pair) error {
	const shown = 20
	var b strings.Builder
	fmt.Fprintf(&b, "after %v %d of %d pairs have not answered:\n", l.options.Timeout, len(missing), len(allPairs(l.names)))
	silent := map[string]bool{}
	for i, p := range missing {
		silent[p.From], silent[p.To] = true, true
		if i < shown {
			fmt.Fprintf(&b, "\t%v\n", p)
		} else if i == shown {
			fmt.Fprintf(&b, "\tand %d more\n", len(missing)-shown)
		}
	}
	for _, name := range append([]string{registryName}, l.names...) {
		if m := l.members[name]; silent[name] || m.isRegistry() {
			fmt.Fprintf(&b, "%s said:\n%s", name, tail(m.log, tailLines))
		}
	}
	return fmt.Errorf("%w: %s", ErrTimeout, strings.TrimRight(b.String(), "\n"))
}
