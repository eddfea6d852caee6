package lab

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"re6st/actors/monitor"
	"re6st/protocols/addr"
)

// Check is an expectation that knows by itself how it is met.
type Check interface {
	fmt.Stringer
	names() []string // the nodes that it speaks of
	// meet sees whether it is so, now or in time, and says so in the report. An error ends
	// the scenario.
	meet(context.Context, *rehearsal, *StepReport) error
}

// Words that begin checks.
const (
	wordSafe    = "safe"
	wordEvent   = "event"
	wordVia     = "path"
	wordAnswer  = "answer"
	wordTap     = "tap"
	wordCarrier = "carrier"
	wordDirect  = "direct" // by no relay
)

// checkEvery is how often nodes are asked whether it is so.
const checkEvery = 100 * time.Millisecond

const checkUsage = "expect safe NODE from NODE for DURATION, expect event NODE TEXT within DURATION, expect path A B direct|by NODE within DURATION, " +
	"expect answer A B within DURATION, expect peer A B linked|REASON within DURATION, expect tap NODE reads nothing, expect tap NODE relayed > N, expect carrier A B udp|quic|tls within DURATION"

// checks are how they are read.
var checks = map[string]func(words []string) (Check, error){
	wordSafe:    func(words []string) (Check, error) { e, err := parseSafeExpect(words); return &e, err },
	wordEvent:   func(words []string) (Check, error) { e, err := parseEventExpect(words); return &e, err },
	wordVia:     func(words []string) (Check, error) { e, err := parsePathExpect(words); return &e, err },
	wordAnswer:  func(words []string) (Check, error) { e, err := parsePathExpect(words); return &e, err },
	wordCarrier: func(words []string) (Check, error) { e, err := parseCarrierExpect(words); return &e, err },
	wordPeer:    func(words []string) (Check, error) { e, err := parsePeerExpect(words); return &e, err },
	wordTap:     func(words []string) (Check, error) { e, err := parseTapExpect(words); return &e, err },
}

func checkNode(name, usage string) error {
	if !isName(name) || name == registryName {
		return fmt.Errorf("%q is no name of a node; %s", name, usage)
	}
	return nil
}

// parseTime reads the last two words: within, or for, and a duration above 0.
func parseTime(words []string, word, usage string) (time.Duration, error) {
	if len(words) != 2 || words[0] != word {
		return 0, fmt.Errorf("a time is needed at the end; %s", usage)
	}
	d, err := parseDuration(words[1])
	if err == nil && d == 0 {
		err = fmt.Errorf("no time at all is too short; %s", usage)
	}
	return d, err
}

// SafeExpect is that a node keeps its prefixes: from the step on no node but the thief
// has a route to them, or to a part of them, that ends at another node.
type SafeExpect struct {
	Owner, Thief string
	For          time.Duration
}

func parseSafeExpect(words []string) (e SafeExpect, err error) {
	const usage = "write: expect safe n1 from n4 for 5s"
	if len(words) != 6 || words[2] != "from" {
		return e, fmt.Errorf("cannot expect %q; %s", strings.Join(words, " "), usage)
	}
	e.Owner, e.Thief = words[1], words[3]
	for _, name := range e.names() {
		if err := checkNode(name, usage); err != nil {
			return e, err
		}
	}
	e.For, err = parseTime(words[4:], "for", usage)
	return e, err
}

func (e *SafeExpect) names() []string { return []string{e.Owner, e.Thief} }

// String gives the expectation as it is written.
func (e *SafeExpect) String() string {
	return fmt.Sprintf("expect safe %s from %s for %v", e.Owner, e.Thief, e.For)
}

func (e *SafeExpect) meet(ctx context.Context, r *rehearsal, report *StepReport) error {
	l := r.lab
	owner := l.members[e.Owner]
	own, err := l.ownClaim(ctx, owner)
	if err != nil {
		return err
	}
	asked, routes := 0, 0
	end := r.prober.now() + e.For
	for round := 0; round == 0 || r.prober.now() < end; round++ {
		for _, name := range l.alive() {
			if name == e.Thief {
				continue
			}
			stolen, n, err := l.stolen(ctx, l.members[name], own)
			if err != nil {
				return err
			}
			if asked, routes = asked+1, routes+n; stolen != "" {
				report.OK, report.Saw = false, name+" "+stolen
				return nil
			}
		}
		if err := sleep(ctx, checkEvery); err != nil {
			return context.Cause(ctx)
		}
	}
	report.Saw = fmt.Sprintf("asked %d times, the other nodes had %d routes there, all to %s", asked, routes, e.Owner)
	return nil
}

// stolen is a node's route into what is claimed that ends elsewhere; "": it has none. n
// counts its routes there.
func (l *Lab) stolen(ctx context.Context, m *member, own monitor.Claim) (stolen string, n int, err error) {
	var answer monitor.Routes
	if err := monitor.NewClient(l.program.socket(m.dir)).Get(ctx, "routes", &answer); err != nil {
		return "", 0, fmt.Errorf("lab: routes of %s: %w", m.name, err)
	}
	for _, route := range answer.Routes {
		inside := slices.ContainsFunc(own.Prefixes, func(p monitor.ClaimedPrefix) bool {
			return p.Prefix.Bits() > 0 && p.Prefix.Bits() <= route.Prefix.Bits() && p.Prefix.Contains(route.Prefix.Addr())
		})
		if !inside || route.Egress == (addr.NodeID{}) { // unreachable
			continue
		}
		if n++; route.Egress != own.Node {
			return fmt.Sprintf("has %s by %s, which ends at node %s", route.Prefix, route.Via, route.Egress), n, nil
		}
	}
	return "", n, nil
}

// EventExpect is that a node's events have one with that text.
type EventExpect struct {
	At, Text string
	Within   time.Duration // from the step on
}

func parseEventExpect(words []string) (e EventExpect, err error) {
	const usage = "write: expect event n3 is announced for node {n4.id} within 10s"
	if len(words) < 5 {
		return e, fmt.Errorf("cannot expect %q; %s", strings.Join(words, " "), usage)
	}
	e.At, e.Text = words[1], strings.Join(words[2:len(words)-2], " ")
	if err := checkNode(e.At, usage); err != nil {
		return e, err
	}
	if _, err := expand(e.Text, func(string, string) (string, error) { return "", nil }); err != nil {
		return e, err
	}
	e.Within, err = parseTime(words[len(words)-2:], "within", usage)
	return e, err
}

func (e *EventExpect) names() []string { return append([]string{e.At}, factNodes(e.Text)...) }

// String gives the expectation as it is written.
func (e *EventExpect) String() string {
	return fmt.Sprintf("expect event %s %s within %v", e.At, e.Text, e.Within)
}

func (e *EventExpect) meet(ctx context.Context, r *rehearsal, report *StepReport) error {
	text, err := r.lab.tell(ctx, e.Text)
	if err != nil {
		return err
	}
	return r.within(ctx, e.Within, report, func(ctx context.Context) (string, bool) {
		said := ""
		err := r.lab.program.events(ctx, r.lab.members[e.At].dir, func(event monitor.Event) {
			if strings.Contains(event.Text, text) {
				said = event.Text
			}
		})
		if err != nil {
			return err.Error(), false
		}
		if said == "" {
			return fmt.Sprintf("no event has %q", text), false
		}
		return said, true
	})
}

// PathExpect is that packets go from one node to another, by a third one or, where that
// is not said, anyhow.
type PathExpect struct {
	Pair   Pair
	By     string // "": directly, or an echo comes back
	Direct bool
	Within time.Duration // from the step on
}

func parsePathExpect(words []string) (e PathExpect, err error) {
	const usage = "write: expect path n1 n3 by n4 within 10s, expect path n1 n3 direct within 10s, or expect answer n1 n3 within 10s"
	rest := len(words) - 2
	switch {
	case words[0] == wordVia && len(words) == 7 && words[3] == "by":
		e.By = words[4]
	case words[0] == wordVia && len(words) == 6 && words[3] == wordDirect:
		e.Direct = true
	case words[0] == wordAnswer && len(words) == 5:
	default:
		return e, fmt.Errorf("cannot expect %q; %s", strings.Join(words, " "), usage)
	}
	e.Pair = Pair{words[1], words[2]}
	for _, name := range e.names() {
		if err := checkNode(name, usage); err != nil {
			return e, err
		}
	}
	e.Within, err = parseTime(words[rest:], "within", usage)
	return e, err
}

func (e *PathExpect) names() []string {
	names := []string{e.Pair.From, e.Pair.To}
	if e.By != "" {
		names = append(names, e.By)
	}
	return names
}

// String gives the expectation as it is written.
func (e *PathExpect) String() string {
	if e.Direct {
		return fmt.Sprintf("expect path %s %s %s within %v", e.Pair.From, e.Pair.To, wordDirect, e.Within)
	}
	if e.By == "" {
		return fmt.Sprintf("expect answer %s %s within %v", e.Pair.From, e.Pair.To, e.Within)
	}
	return fmt.Sprintf("expect path %s %s by %s within %v", e.Pair.From, e.Pair.To, e.By, e.Within)
}

func (e *PathExpect) meet(ctx context.Context, r *rehearsal, report *StepReport) error {
	if e.By == "" && !e.Direct {
		return r.expectAnswer(ctx, e, report)
	}
	began := r.prober.now()
	return r.within(ctx, e.Within, report, func(ctx context.Context) (string, bool) {
		path, err := r.lab.Path(ctx, e.Pair.From, e.Pair.To)
		if err != nil {
			return err.Error(), false
		}
		saw := fmt.Sprintf("after %.1f s, %s", (r.prober.now() - began).Seconds(), strings.Join(path, " "))
		return saw, e.Direct && len(path) == 2 || !e.Direct && slices.Contains(path, e.By)
	})
}

// expectAnswer sends echoes until one that was sent from the step on comes back.
func (r *rehearsal) expectAnswer(ctx context.Context, e *PathExpect, report *StepReport) error {
	limited, cancel := context.WithTimeout(ctx, e.Within)
	defer cancel()
	began := r.prober.now()
	t := r.prober.newTrain(e.Pair)
	r.prober.steady(limited, checkEvery, t)
	last, missing := r.prober.await(limited, []*train{t}, began)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if report.OK = len(missing) == 0; report.OK {
		report.Saw = fmt.Sprintf("after %.2f s", (last - began).Seconds())
	} else {
		report.Saw = "no answer"
	}
	return nil
}

// within asks again and again, for so long, whether it is so; the report has the last
// answer.
func (r *rehearsal) within(ctx context.Context, d time.Duration, report *StepReport, ask func(context.Context) (string, bool)) error {
	limited, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	for {
		saw, ok := ask(limited)
		if ok || limited.Err() == nil || report.Saw == "" {
			report.Saw, report.OK = saw, ok
		}
		if ok {
			return nil
		}
		if sleep(limited, checkEvery) != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return nil // the scenario goes on
		}
	}
}
