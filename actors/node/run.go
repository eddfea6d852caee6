package node

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"re6st/actors/registry"
	"re6st/actors/system"
	"re6st/hw/fault"
	"re6st/hw/nodedir"
)

// stopTimeout is how long the actors may take to say goodbye.
const stopTimeout = 5 * time.Second

// Options are what `re6st node` was asked to run.
type Options struct {
	Dir     string // the node's folder
	Config  Config
	Logger  *slog.Logger
	Version string // of this program
	Ready   func() // called once the node is at work and can be asked by its control sockets

	// Watchdog is fed while the actors that the node needs are at work.
	Watchdog Watchdog
	// ReadConfig reads Config again, for a reload; nil: there is nothing to read.
	ReadConfig func() (Config, error)
	// Reloads asks for a reload each time something comes; nil: only the control socket does.
	Reloads <-chan os.Signal
	// LogLevel is what a reload sets to Config.Log; nil: nothing.
	LogLevel *slog.LevelVar
}

// faults is a table for system calls that are to fail on purpose, if any may.
func (o Options) faults() *fault.Table {
	if !o.Config.DebugFaults {
		return nil
	}
	o.Logger.Warn("debug_faults is on: whoever may write to the control socket can have system calls fail")
	return fault.New(time.Now)
}

// restart is how actors restart where their Spec does not say it.
func (o Options) restart() system.RestartPolicy {
	return system.RestartPolicy{Window: time.Duration(o.Config.DebugRestartWindow) * time.Millisecond}
}

// Run is a node, until ctx ends: nil, or until something it cannot live without
// has failed too often. What it opened is closed when it returns.
func Run(ctx context.Context, o Options) (err error) {
	dir, err := nodedir.Open(o.Dir)
	if err != nil {
		return fmt.Errorf("%w: %w", registry.ErrMember, err)
	}
	faults := o.faults()
	dir = dir.WithFaults(faults)
	wall, err := loadWall(dir)
	if err != nil {
		o.Logger.Warn("time of the last run not read", "error", err)
	}
	now, _ := wall.Now()
	member, err := registry.LoadMember(dir, now)
	if err != nil {
		return err
	}
	wall.Raise(member.Identity.Certificate.NotBefore)
	config := o.Config // as it was read, for reloads to compare with
	o.Config.MTU = cmp.Or(config.MTU, member.Params.MTU)
	state, err := loadBabel(dir)
	if err != nil {
		return err
	}
	remembered, err := loadPeers(dir)
	if err != nil {
		o.Logger.Warn("remembered peers not read", "error", err)
	}
	worked, err := loadWorked(dir, time.Now())
	if err != nil {
		o.Logger.Warn("carriers that worked not read", "error", err)
	}
	var boot [8]byte
	if _, err := rand.Read(boot[:]); err != nil {
		return err
	}
	h, err := openHost(o.Config, member, faults, o.Logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	sys := system.New(system.Config{Logger: o.Logger, Restart: o.restart()})
	n := &parts{
		options: o, dir: dir, faults: faults, member: member, wall: wall, credentials: credentials(member, boot), state: state, host: h, sys: sys,
		remembered: remembered, worked: worked, started: time.Now(), dial: dial(*o.Config.Mark),
		settings: settings{config: config, read: o.ReadConfig, level: o.LogLevel},
	}
	n.credentials.Verify = verifyBy(member.Authority, wall)
	n.parameters.Store(member.Params)
	revoked, err := registry.LoadCRL(dir, member.Authority)
	if err != nil {
		o.Logger.Warn("revocation list not read", "error", err)
	}
	n.revocations.Store(revoked)
	if err := n.credentials.Check(); err != nil {
		return err
	}
	return n.run(ctx)
}

// run has the packet path and the actors at work, and takes them down in that
// order turned round: tunnels say goodbye over a path that still works.
func (n *parts) run(ctx context.Context) error {
	n.credentials.Revoked = n.isRevoked
	n.identity.start(n.member)
	n.origins = n.newOrigins()
	n.client = registry.NewClient(n.member, n.dial, n.now)
	n.client.SetRegistries(n.parameters.Load().Registries)
	if err := n.openPlane(); err != nil {
		return err
	}
	path := make(chan error, 1)
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	go func() { path <- n.plane.Run(running) }()
	_, err := system.Spawn(n.sys, "node", system.Spec[message]{
		Kind: "node", New: func() system.Handler[message] { return &root{parts: n} }, OnBudget: system.Escalate,
	})
	if err == nil {
		select {
		case <-ctx.Done():
		case <-n.sys.Done():
		case err = <-path:
			path <- nil
			err = fmt.Errorf("packet path: %w", err)
		}
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	err = errors.Join(err, n.sys.Stop(limit), n.sys.Err())
	stop()
	n.plane.Close()
	return errors.Join(err, <-path)
}
