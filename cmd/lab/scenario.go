package lab

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Scenario is what a scenario file says, line by line in its order.
type Scenario struct {
	Network Network // for which it was written; zero: any
	Access  Access  // of its nodes
	// Settings are lines of configuration that nodes have from the start, and Babeld the
	// nodes with a cable to babeld.
	Settings map[string]settings
	Babeld   []string
	Steps    []Step
}

// Network is the shape and the size of a lab.
type Network struct {
	Topology Topology
	Nodes    int
}

// Step is one line: an Action or an Expect, and when.
type Step struct {
	Line   int           // in the file, from 1
	At     time.Duration // since the start of the scenario, if Timed; else after the step before
	Timed  bool
	Action *Action
	Expect *Expect
}

// Expect is what must be true for the scenario to succeed.
type Expect struct {
	Whole  time.Duration // all pairs answer within that time after the last action; or 0
	For    time.Duration // no pair loses an echo for that time after the last action; or 0
	Pair   Pair          // of a ping that runs, if Whole and For are 0
	Lost   int           // the ping has lost fewer echoes than that, so far; or 0
	Outage time.Duration // the ping's longest outage is shorter than that, so far; or 0
	State  *StateExpect  // or nil
	News   *NewsExpect   // or nil
	Renew  *RenewExpect  // or nil
	Check  Check         // or nil
}

// StateExpect is in what state a node, or the registry, must come to be.
type StateExpect struct {
	Of     string // a node, or wordJoin
	Is     string // a node's: degraded, running or revoked; of joining: works or refused
	Within time.Duration
}

// Limits of a scenario file.
const (
	maxScenarioSteps = 10_000
	maxScenarioLine  = 1000 // bytes
)

// wordNetwork begins the line that says for what network a scenario is; the others begin
// lines that say which nodes are behind a NAT each, have one family of the underlay, have
// a second uplink, and are joined with babeld.
const (
	wordNetwork  = "network"
	wordNAT      = "nat"
	wordUnderlay = "underlay"
	wordUplinks  = "uplinks"
	wordBabeld   = "babeld"
)

// Expectations as they are written.
const expectUsage = "expect whole within DURATION, expect whole for DURATION, expect ping A B lost < N, expect ping A B outage < DURATION, expect status NODE degraded|running|revoked within DURATION, expect join works|refused within DURATION, expect revoked NODE within|for DURATION, expect renewed NODE|all within DURATION, expect params within DURATION, " + checkUsage

// ScenarioError says what is wrong in which line.
type ScenarioError struct {
	File string
	Line int
	What string // and what to do
}

func (e *ScenarioError) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.What) }

// ParseScenario reads a scenario; name is for the errors, which are ScenarioErrors
// but for those of r. nodes is how many the lab has: who is named must be one of them.
// With 0 the scenario itself says it, or the lab has as many as labs have by default.
func ParseScenario(name string, r io.Reader, nodes int) (*Scenario, error) {
	b := scenarioBuilder{nodes: nodes, pings: map[Pair]bool{}}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxScenarioLine)
	number := 0
	for lines.Scan() {
		number++
		text, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(text)
		if len(words) == 0 {
			continue
		}
		if err := b.line(number, words); err != nil {
			return nil, &ScenarioError{name, number, err.Error()}
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return nil, &ScenarioError{name, number + 1, fmt.Sprintf("line of more than %d bytes; shorten it", maxScenarioLine)}
	} else if err != nil {
		return nil, fmt.Errorf("lab: read scenario: %w", err)
	}
	return &b.scenario, nil
}

// line takes the words of one line.
func (b *scenarioBuilder) line(number int, words []string) error {
	if words[0] == wordNetwork {
		return b.network(words[1:])
	}
	switch words[0] {
	case wordNAT:
		return b.nat(words[1:])
	case wordUnderlay:
		return b.underlay(words[1:])
	case wordUplinks:
		return b.uplinks(words[1:])
	case wordBabeld:
		return b.babeld(words[1:])
	}
	if words[0] == verbConfig && b.names == nil {
		return b.setting(words)
	}
	if b.names == nil {
		b.names = nodeNames(cmp.Or(b.nodes, b.scenario.Network.Nodes, defaultNodes))
		b.configs = map[string]settings{}
		maps.Copy(b.configs, b.scenario.Settings)
	}
	step, err := parseStep(words)
	if err != nil {
		return err
	}
	step.Line = number
	return b.add(step)
}

// network takes the line that says for what network the scenario is.
func (b *scenarioBuilder) network(words []string) error {
	const usage = "write, before all else: network ring 8"
	if b.names != nil || b.scenario.Network.Nodes != 0 || len(words) != 2 {
		return fmt.Errorf("a network has a topology and a number of nodes, once; %s", usage)
	}
	n, err := strconv.Atoi(words[1])
	if err != nil {
		return fmt.Errorf("%q is no number of nodes; %s", words[1], usage)
	}
	if _, err := Topology(words[0]).edges(n, defaultSeed); err != nil {
		return fmt.Errorf("%w; %s", err, usage)
	}
	b.scenario.Network = Network{Topology(words[0]), n}
	return nil
}

// nat takes a line that puts nodes behind a NAT each.
func (b *scenarioBuilder) nat(words []string) error {
	const usage = "write, before all steps: nat port-restricted n1 n2"
	if b.names != nil || len(words) < 2 {
		return fmt.Errorf("a nat has a kind and nodes; %s", usage)
	}
	for _, name := range words[1:] {
		if err := b.scenario.Access.NATs.add(name, NATKind(words[0])); err != nil {
			return fmt.Errorf("%w; %s", err, usage)
		}
	}
	return nil
}

// underlay takes a line that leaves nodes one family of the underlay.
func (b *scenarioBuilder) underlay(words []string) error {
	const usage = "write, before all steps: underlay v4 n1 n2"
	if b.names != nil || len(words) == 0 {
		return fmt.Errorf("an underlay has a family and nodes; %s", usage)
	}
	names := words[1:]
	if len(names) == 0 {
		names = []string{everyName}
	}
	for _, name := range names {
		if err := b.scenario.Access.Families.add(name, Family(words[0])); err != nil {
			return fmt.Errorf("%w; %s", err, usage)
		}
	}
	return nil
}

// uplinks takes a line that gives nodes a second uplink.
func (b *scenarioBuilder) uplinks(words []string) error {
	if b.names != nil || len(words) == 0 {
		return fmt.Errorf("uplinks has the nodes with two of them; write, before all steps: uplinks n1 n2")
	}
	b.scenario.Access.Uplinks = append(b.scenario.Access.Uplinks, words...)
	return nil
}

// babeld takes the line that says who is joined with babeld.
func (b *scenarioBuilder) babeld(words []string) error {
	if b.names != nil || len(words) == 0 || len(b.scenario.Babeld) > 0 {
		return fmt.Errorf("babeld has the nodes that are joined with it, once; write, before all steps: babeld n1 n2")
	}
	b.scenario.Babeld = words
	return nil
}

// setting takes a line of configuration that a node has from the start.
func (b *scenarioBuilder) setting(words []string) error {
	a, err := parseAction(words)
	if err != nil {
		return err
	}
	if len(factNodes(a.Text)) > 0 {
		return fmt.Errorf("nothing is known of nodes before they run; write it behind a step, and then: restart %s", a.A)
	}
	if b.scenario.Settings == nil {
		b.scenario.Settings = map[string]settings{}
	}
	return b.configure(b.scenario.Settings, a)
}

// configure looks whether a node's configuration is sound with one more line.
func (b *scenarioBuilder) configure(in map[string]settings, a Action) error {
	if a.A == registryName {
		return fmt.Errorf("the registry is no node; write: %s", usages[verbConfig])
	}
	in[a.A] = in[a.A].with(a.Text)
	return in[a.A].check(nil)
}

// parseStep reads one line, without knowing the others.
func parseStep(words []string) (Step, error) {
	var s Step
	if words[0] == "at" {
		if len(words) < 3 {
			return s, fmt.Errorf("at needs a time and an action; write: at 2s cut n1 n2")
		}
		at, err := parseDuration(words[1])
		if err != nil {
			return s, fmt.Errorf("%w; write: at 2s cut n1 n2", err)
		}
		s.At, s.Timed = at, true
		words = words[2:]
	}
	if words[0] == "expect" {
		e, err := parseExpect(words[1:])
		s.Expect = &e
		return s, err
	}
	a, err := parseAction(words)
	s.Action = &a
	return s, err
}

func parseExpect(words []string) (e Expect, err error) {
	switch {
	case len(words) == 3 && words[0] == "whole" && (words[1] == "within" || words[1] == "for"):
		d, err := parseDuration(words[2])
		if err == nil && d == 0 {
			err = fmt.Errorf("no time at all is too short")
		}
		if err != nil {
			return e, fmt.Errorf("%w; write: expect whole %s 2s", err, words[1])
		}
		if words[1] == "for" {
			e.For = d
		} else {
			e.Whole = d
		}
		return e, nil
	case len(words) == 6 && words[0] == "ping" && words[4] == "<" && isName(words[1]) && isName(words[2]):
		e.Pair = Pair{words[1], words[2]}
	case len(words) > 1 && checks[words[0]] != nil:
		e.Check, err = checks[words[0]](words)
		return e, err
	case len(words) >= 4 && (words[0] == wordStatus || words[0] == wordJoin):
		state, err := parseStateExpect(words)
		e.State = &state
		return e, err
	case len(words) > 0 && words[0] == wordRenewed:
		renew, err := parseRenewExpect(words)
		e.Renew = &renew
		return e, err
	case len(words) >= 2 && (words[0] == wordRevoked || words[0] == wordParams):
		news, err := parseNewsExpect(words)
		e.News = &news
		return e, err
	default:
		return e, fmt.Errorf("cannot expect %q; write: %s", strings.Join(words, " "), expectUsage)
	}
	switch words[3] {
	case "lost":
		n, err := strconv.Atoi(words[5])
		if err != nil || n < 1 {
			return e, fmt.Errorf("%q is no number of echoes above 0; write: expect ping n1 n2 lost < 3", words[5])
		}
		e.Lost = n
	case "outage":
		d, err := parseDuration(words[5])
		if err != nil || d == 0 {
			return e, fmt.Errorf("%q is no duration above 0; write: expect ping n1 n2 outage < 1s", words[5])
		}
		e.Outage = d
	default:
		return e, fmt.Errorf("a ping has no %q; write: %s", words[3], expectUsage)
	}
	return e, nil
}

// scenarioBuilder checks each step against those before it.
type scenarioBuilder struct {
	scenario Scenario
	nodes    int           // 0: what the scenario says
	names    []string      // nil before the first step
	pings    map[Pair]bool // that run by now
	last     Step          // the latest with a time
	configs  map[string]settings
}

// add appends a step that fits.
func (b *scenarioBuilder) add(step Step) error {
	if len(b.scenario.Steps) == maxScenarioSteps {
		return fmt.Errorf("more than %d steps; split the scenario", maxScenarioSteps)
	}
	if step.Timed {
		if b.last.At > step.At {
			return fmt.Errorf("at %v comes after at %v of line %d; order the lines by time", step.At, b.last.At, b.last.Line)
		}
		b.last = step
	}
	for _, name := range step.names() {
		if name == registryName && step.allowsRegistry() || name == everyName {
			continue
		}
		if !slices.Contains(b.names, name) {
			return fmt.Errorf("%s is no node here; the lab has n1 to %s", name, b.names[len(b.names)-1])
		}
	}
	if e := step.Expect; e != nil && e.watchesPing() && !b.pings[e.Pair] {
		return fmt.Errorf("no ping %s %s runs by then; write before it: ping %[1]s %[2]s every 10ms", e.Pair.From, e.Pair.To)
	}
	if a := step.Action; a != nil && a.Verb == verbPing {
		pair := Pair{a.A, a.B}
		if b.pings[pair] {
			return fmt.Errorf("a ping %s %s runs by then; leave one out", a.A, a.B)
		}
		b.pings[pair] = true
	}
	if a := step.Action; a != nil && a.Verb == verbConfig {
		if err := b.configure(b.configs, *a); err != nil {
			return err
		}
	}
	b.scenario.Steps = append(b.scenario.Steps, step)
	return nil
}

// names returns the members that the step speaks of.
func (s Step) names() []string {
	var names []string
	if s.Action != nil {
		names = append([]string{s.Action.A, s.Action.B}, factNodes(s.Action.Text)...)
	} else if s.Expect.watchesPing() {
		names = []string{s.Expect.Pair.From, s.Expect.Pair.To}
	} else if e := s.Expect.State; e != nil && e.Of != wordJoin {
		names = []string{e.Of}
	} else if e := s.Expect.News; e != nil {
		names = []string{e.Revoked}
	} else if e := s.Expect.Renew; e != nil {
		names = []string{e.Of}
	} else if c := s.Expect.Check; c != nil {
		names = c.names()
	}
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}

// allowsRegistry: the registry runs no node, so it has no address in the mesh to ping.
func (s Step) allowsRegistry() bool {
	return s.Action != nil && s.Action.Verb != verbPing && !s.Action.Path
}

// watchesWhole reports whether a step wants all pairs watched.
func (s *Scenario) watchesWhole() bool {
	return slices.ContainsFunc(s.Steps, func(step Step) bool { return step.Expect != nil && step.Expect.watchesWhole() })
}

func (e *Expect) watchesWhole() bool { return e.Whole > 0 || e.For > 0 }

func (e *Expect) watchesPing() bool {
	return !e.watchesWhole() && e.State == nil && e.News == nil && e.Renew == nil && e.Check == nil
}

// String gives the line as it is written.
func (s Step) String() string {
	var text string
	switch e := s.Expect; {
	case s.Action != nil:
		text = s.Action.String()
	case e.Whole > 0:
		text = fmt.Sprintf("expect whole within %v", e.Whole)
	case e.For > 0:
		text = fmt.Sprintf("expect whole for %v", e.For)
	case e.State != nil:
		text = e.State.String()
	case e.News != nil:
		text = e.News.String()
	case e.Renew != nil:
		text = e.Renew.String()
	case e.Check != nil:
		text = e.Check.String()
	case e.Lost > 0:
		text = fmt.Sprintf("expect ping %s %s lost < %d", e.Pair.From, e.Pair.To, e.Lost)
	default:
		text = fmt.Sprintf("expect ping %s %s outage < %v", e.Pair.From, e.Pair.To, e.Outage)
	}
	if s.Timed {
		return fmt.Sprintf("at %v %s", s.At, text)
	}
	return text
}
