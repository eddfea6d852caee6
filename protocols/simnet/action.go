package simnet

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Action is one thing done to a network. The zero fields are those that Verb has not.
type Action struct {
	Verb  string
	A, B  int           // nodes from 1; 0: all
	Share float64       // loss; kill: of the running nodes, drawn
	Time  time.Duration // delay: one way; flap, restart: between two
	Count int           // flap
	// Registry: kill and start mean the registry, which only nodes of a Mesh ask.
	Registry bool
}

// The verbs.
const (
	verbCut     = "cut"
	verbMute    = "mute"
	verbSplit   = "split"
	verbHeal    = "heal"
	verbLoss    = "loss"
	verbDelay   = "delay"
	verbKill    = "kill"
	verbStart   = "start"
	verbRestart = "restart"
	verbFlap    = "flap"
	verbRekey   = "rekey"
	verbRogue   = "rogue"
	verbWait    = "wait"
)

// usages shows how each verb is written.
var usages = map[string]string{
	verbCut:     "cut A B",
	verbMute:    "mute A B",
	verbSplit:   "split",
	verbHeal:    "heal A B|all",
	verbLoss:    "loss A B|all PERCENT",
	verbDelay:   "delay A B DURATION",
	verbKill:    "kill NODE|all|SHARE%|registry",
	verbStart:   "start NODE|all|registry",
	verbRestart: "restart NODE|all [every DURATION]",
	verbFlap:    "flap A B every DURATION COUNT",
	verbRekey:   "rekey A B|all",
	verbRogue:   "rogue A B",
	verbWait:    "wait DURATION",
}

// Verbs are the lines that act, as they are written, in order.
func Verbs() (all []string) {
	for _, u := range usages {
		all = append(all, u)
	}
	slices.Sort(all)
	return all
}

// Words in the place of a node's name.
const (
	everyName    = "all"
	registryName = "registry"
)

// parseAction reads the words of an action.
func parseAction(words []string) (*Action, error) {
	a := Action{Verb: words[0]}
	usage, ok := usages[a.Verb]
	if !ok {
		return nil, fmt.Errorf("unknown word %q; write one of: %s", a.Verb, strings.Join(Verbs(), ", "))
	}
	p := arguments{rest: words[1:]}
	switch a.Verb {
	case verbCut, verbMute, verbRogue:
		a.A, a.B = p.node(), p.node()
	case verbHeal, verbRekey:
		a.A, a.B = p.edge()
	case verbLoss:
		a.A, a.B = p.edge()
		a.Share = p.percent()
	case verbDelay:
		a.A, a.B, a.Time = p.node(), p.node(), p.duration()
	case verbKill:
		if a.Registry = p.take(registryName); !a.Registry && !p.take(everyName) {
			if len(p.rest) > 0 && strings.HasSuffix(p.rest[0], "%") {
				a.Share = p.percent()
			} else {
				a.A = p.node()
			}
		}
	case verbStart, verbRestart:
		if a.Registry = a.Verb == verbStart && p.take(registryName); !a.Registry && !p.take(everyName) {
			a.A = p.node()
		}
		if a.Verb == verbRestart && p.take("every") {
			a.Time = p.duration()
		}
	case verbFlap:
		a.A, a.B = p.node(), p.node()
		if !p.take("every") {
			p.wrong = true
		}
		a.Time, a.Count = p.duration(), p.count()
	case verbWait:
		a.Time = p.duration()
	}
	if p.wrong || len(p.rest) > 0 || a.B != 0 && a.A == a.B {
		return nil, fmt.Errorf("cannot do %q; write: %s", strings.Join(words, " "), usage)
	}
	return &a, nil
}

// arguments takes the words of an action one by one; wrong: one did not fit.
type arguments struct {
	rest  []string
	wrong bool
}

func (p *arguments) next() string {
	if len(p.rest) == 0 {
		p.wrong = true
		return ""
	}
	word := p.rest[0]
	p.rest = p.rest[1:]
	return word
}

func (p *arguments) take(word string) bool {
	if len(p.rest) == 0 || p.rest[0] != word {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

// node is the number of n1, from 1.
func (p *arguments) node() int {
	digits, ok := strings.CutPrefix(p.next(), "n")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || n < 1 || n > MaxNodes {
		p.wrong = true
	}
	return n
}

func (p *arguments) edge() (a, b int) {
	if p.take(everyName) {
		return 0, 0
	}
	return p.node(), p.node()
}

func (p *arguments) percent() float64 {
	f, err := strconv.ParseFloat(strings.TrimSuffix(p.next(), "%"), 64)
	if err != nil || !(f >= 0 && f < 100) {
		p.wrong = true
	}
	return f / 100
}

func (p *arguments) duration() time.Duration {
	d, err := parseDuration(p.next())
	p.wrong = p.wrong || err != nil
	return d
}

func (p *arguments) count() int {
	n, err := strconv.Atoi(p.next())
	if err != nil || n < 1 || n > MaxSteps {
		p.wrong = true
	}
	return n
}
