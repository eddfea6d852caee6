package simnet

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Scenario is what a scenario file says, in the language of the lab: a network, and
// lines such as "at 2s kill 33%" and "expect whole within 5s". Its time begins when the
// network is whole for the first time.
type Scenario struct {
	Topology Topology // for which it was written; empty: any
	Nodes    int
	Degree   int // 0: any
	Ranges   int
	Steps    []Step
}

// Step is one line: an Action or an Expect, and when.
type Step struct {
	Line   int           // in the file, from 1
	Text   string        // as it is written
	At     time.Duration // since the start of the scenario, if Timed; else after the step before
	Timed  bool
	Action *Action
	Expect *Expect
}

// Expect is what must be true for the scenario to succeed.
type Expect struct {
	What   string        // wordWhole or wordClean
	Within time.Duration // after the last action; or 0
	For    time.Duration // from now on, all the time; or 0
}

// What can be expected.
const (
	wordWhole = "whole"
	wordClean = "clean"
)

const expectUsage = "expect whole within DURATION, expect whole for DURATION, or expect clean within DURATION"

// ParseScenario reads a scenario; name is for the errors, which wrap ErrScenario and
// name the line. Whether its nodes exist is looked at when it is played.
func ParseScenario(name string, r io.Reader) (*Scenario, error) {
	var s Scenario
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, MaxLine)
	number := 0
	wrong := func(err error) error { return fmt.Errorf("%w: %s:%d: %w", ErrScenario, name, number, err) }
	for lines.Scan() {
		number++
		text, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(text)
		if len(words) == 0 {
			continue
		}
		if err := s.line(number, words); err != nil {
			return nil, wrong(err)
		}
	}
	number++
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return nil, wrong(fmt.Errorf("a line of more than %d bytes; shorten it", MaxLine))
	} else if err != nil {
		return nil, wrong(err)
	}
	return &s, nil
}

func (s *Scenario) line(number int, words []string) error {
	if words[0] == "network" {
		return s.network(words[1:])
	}
	if words[0] == "ranges" {
		return s.ranges(words[1:])
	}
	step := Step{Line: number, Text: strings.Join(words, " ")}
	if words[0] == "at" {
		if len(words) < 3 {
			return fmt.Errorf("at needs a time and an action; write: at 2s cut n1 n2")
		}
		at, err := parseDuration(words[1])
		if err != nil {
			return err
		}
		step.At, step.Timed = at, true
		words = words[2:]
	}
	if len(s.Steps) == MaxSteps {
		return fmt.Errorf("more than %d steps; split the scenario", MaxSteps)
	}
	var err error
	if words[0] == "expect" {
		step.Expect, err = parseExpect(words[1:])
	} else {
		step.Action, err = parseAction(words)
	}
	s.Steps = append(s.Steps, step)
	return err
}

// network takes the line that says for what network the scenario is.
func (s *Scenario) network(words []string) error {
	const usage = "write, before all else: network ring 8, or: network random 100 10"
	if len(s.Steps) > 0 || s.Nodes != 0 || len(words) < 2 || len(words) > 3 {
		return fmt.Errorf("a network has a topology and a number of nodes, once; %s", usage)
	}
	n, err := strconv.Atoi(words[1])
	if err != nil || n < MinNodes || n > MaxNodes {
		return fmt.Errorf("%q is no number of nodes; %s", words[1], usage)
	}
	s.Topology, s.Nodes = Topology(words[0]), n
	if len(words) == 3 {
		if s.Degree, err = strconv.Atoi(words[2]); err != nil {
			return fmt.Errorf("%q is no number of edges; %s", words[2], usage)
		}
	}
	return nil
}

// ranges takes the line that says how many prefixes a node has beside its locator.
func (s *Scenario) ranges(words []string) error {
	const usage = "write, before all steps: ranges 1"
	if len(s.Steps) > 0 || len(words) != 1 {
		return fmt.Errorf("ranges has a number; %s", usage)
	}
	n, err := strconv.Atoi(words[0])
	if err != nil || n < 0 || n > MaxRanges {
		return fmt.Errorf("%q is no number of 0 to %d; %s", words[0], MaxRanges, usage)
	}
	s.Ranges = n
	return nil
}

func parseExpect(words []string) (*Expect, error) {
	if len(words) != 3 || words[0] != wordWhole && words[0] != wordClean {
		return nil, fmt.Errorf("cannot expect %q; write: %s", strings.Join(words, " "), expectUsage)
	}
	d, err := parseDuration(words[2])
	switch {
	case err != nil:
		return nil, err
	case words[1] == "within":
		return &Expect{What: words[0], Within: d}, nil
	case words[1] == "for" && words[0] == wordWhole && d > 0:
		return &Expect{What: words[0], For: d}, nil
	}
	return nil, fmt.Errorf("cannot expect %q; write: %s", strings.Join(words, " "), expectUsage)
}

func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is no duration such as 2s or 500ms", s)
	}
	return d, nil
}
