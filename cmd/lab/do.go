package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// Do does one action to the running lab. One on a path is first to be Resolved.
func (l *Lab) Do(ctx context.Context, a Action) error {
	l.acting.Lock()
	defer l.acting.Unlock()
	if l.closing {
		return fmt.Errorf("%w: the lab is being taken down", ErrState)
	}
	if err := l.check(a); err != nil {
		return err
	}
	err := l.act(ctx, a)
	if err == nil {
		l.note("did", a.String())
	}
	return err
}

func (l *Lab) act(ctx context.Context, a Action) error {
	edge := newEdge(a.A, a.B)
	switch a.Verb {
	case verbCut:
		return l.changeRules(ctx, l.under.rules.cut(edge, a.How))
	case verbHeal:
		if a.A == everyName {
			l.under.rules.healAll()
			return l.under.load(ctx)
		}
		return l.changeRules(ctx, l.under.rules.heal(edge))
	case verbBlock:
		return l.changeRules(ctx, l.under.rules.block(edge, a.Block))
	case verbUnblock:
		return l.changeRules(ctx, l.under.rules.unblock(edge, a.Block))
	case verbLink:
		return l.changeRules(ctx, l.under.rules.link(edge))
	case verbLoss:
		return l.changeRules(ctx, l.under.rules.lose(edge, a.Share))
	case verbRate:
		return l.under.setRate(a.A, a.Rate)
	case verbKill, verbStart, verbRestart:
		return l.power(a)
	case verbForget:
		return l.forget(a)
	case verbDisk:
		return l.setDisk(a)
	case verbClock:
		return l.setClock(ctx, a)
	case verbUplink:
		return l.changeRules(ctx, l.under.setUplink(a.A, a.Port, a.State))
	case verbAddr:
		if a.A == registryName {
			return fmt.Errorf("%w: nodes know the registry by its address", ErrState)
		}
		return errors.Join(l.under.readdress(a.A), l.writeJSON())
	case verbRevoke:
		return l.revoke(ctx, a.A)
	case verbRenew:
		return l.renew(ctx, a.A)
	case verbSet:
		return l.set(ctx, a.Set)
	case verbConfig:
		return l.configure(ctx, a.A, a.Text)
	case verbRight:
		return l.right(ctx, a.A, a.Text)
	case verbDelay:
		return l.under.setDelay(ctx, edge, a.Every)
	default:
		return fmt.Errorf("%w: %s is for scenarios", ErrState, a.Verb)
	}
}

// check says whether the lab has those that an action names.
func (l *Lab) check(a Action) error {
	for _, name := range []string{a.A, a.B} {
		if name != "" && name != everyName && l.members[name] == nil {
			return fmt.Errorf("%w: %s; there are registry and n1 to %s", ErrNode, name, l.names[len(l.names)-1])
		}
	}
	return nil
}

// power kills, starts or restarts a member, or all nodes at once: of these, those
// that are not in that state already.
func (l *Lab) power(a Action) error {
	if a.A != everyName {
		return l.powerOne(a.Verb, l.members[a.A])
	}
	alive := l.alive()
	var members []*member
	for _, name := range l.names {
		if slices.Contains(alive, name) != (a.Verb == verbStart) || a.Verb == verbRestart {
			members = append(members, l.members[name])
		}
	}
	if a.Verb != verbRestart {
		return each(members, func(m *member) error { return l.powerOne(a.Verb, m) })
	}
	// None comes back before all are gone: what the others knew is gone with them.
	err := each(members, func(m *member) error { return ignore(ErrState, l.halt(m, stopGrace)) })
	return errors.Join(err, each(members, l.restart))
}

func (l *Lab) powerOne(verb string, m *member) error {
	switch verb {
	case verbKill:
		return l.halt(m, 0)
	case verbRestart:
		if err := ignore(ErrState, l.halt(m, stopGrace)); err != nil {
			return err
		}
	}
	return l.restart(m)
}

// peersFile is where a node stores the peers that it had.
const peersFile = "peers.json"

// forget takes from nodes that do not run the peers that they remember.
func (l *Lab) forget(a Action) error {
	for _, s := range l.snapshot() {
		switch {
		case a.A != everyName && a.A != s.name:
			continue
		case s.pid != 0:
			return fmt.Errorf("%w: %s runs, and would write its peers down again; kill it first", ErrState, s.name)
		}
		if err := os.Remove(filepath.Join(s.dir, peersFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("lab: %s: %w", s.name, err)
		}
	}
	return nil
}

// ignore drops an error of that kind.
func ignore(kind, err error) error {
	if errors.Is(err, kind) {
		return nil
	}
	return err
}

// Resolve finds what an action on a path concerns now: `cut path A B` the link in
// the middle of the path that packets take from A to B, `kill relay A B` the node
// there. Other actions come back as they are.
func (l *Lab) Resolve(ctx context.Context, a Action) (Action, error) {
	if !a.Path {
		return a, nil
	}
	if err := l.check(a); err != nil {
		return a, err
	}
	path, err := l.Path(ctx, a.A, a.B)
	if err != nil {
		return a, err
	}
	a.Path = false
	if a.Verb == verbCut {
		middle := (len(path) - 1) / 2
		a.A, a.B = path[middle], path[middle+1]
		return a, nil
	}
	if len(path) < 3 {
		return a, fmt.Errorf("%w: no relay is between %s and %s", ErrState, a.A, a.B)
	}
	a.A, a.B = path[len(path)/2], ""
	return a, nil
}

func (l *Lab) changeRules(ctx context.Context, err error) error {
	if err != nil {
		return err
	}
	return l.under.load(ctx)
}

// each does something to all members at once.
func each(members []*member, do func(*member) error) error {
	errs := make([]error, len(members))
	var doing sync.WaitGroup
	for i, m := range members {
		doing.Go(func() { errs[i] = do(m) })
	}
	doing.Wait()
	return errors.Join(errs...)
}

// restart runs a member's process again and, in the background, asks a node for its
// addresses anew.
func (l *Lab) restart(m *member) error {
	if err := l.launch(m); err != nil {
		return err
	}
	if !m.isRegistry() {
		l.background.Go(func() {
			if err := l.locate(l.ctx, m); err != nil && l.ctx.Err() == nil {
				l.say("%v", err)
			}
		})
	}
	return l.writeJSON()
}

// reachable returns the pairs that a whole mesh would connect now.
func (l *Lab) reachable() []Pair {
	l.acting.Lock()
	defer l.acting.Unlock()
	return connected(l.inMesh(), l.under.rules.open())
}
