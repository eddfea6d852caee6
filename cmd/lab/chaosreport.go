package lab

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// ChaosReport is what `re6st lab chaos --json` prints.
type ChaosReport struct {
	Version       int            `json:"version"`
	Seed          uint64         `json:"seed"`
	Nodes         int            `json:"nodes"`
	Topology      Topology       `json:"topology"`
	DurationS     float64        `json:"duration_s"`
	ConvergedS    *float64       `json:"converged_s"` // null: it did not
	Strikes       int            `json:"strikes"`     // that hit
	Faults        map[string]int `json:"faults"`      // the same by their kind
	Skipped       int            `json:"skipped"`     // nobody could be hit, or enough was broken already
	Missed        int            `json:"missed"`      // could not be done
	Quarantines   int            `json:"quarantines"` // caused on purpose
	Escalations   int            `json:"escalations"` // nodes that ended on purpose, and were started again
	LongStalls    int            `json:"long_stalls"` // of pumps, too long to go unnoticed
	StallsNoticed int            `json:"stalls_noticed"`
	Echoes        int            `json:"echoes"`       // sent while the pair had a path
	Outages       []ChaosOutage  `json:"outages"`      // the longest of each pair that had one, the longest first
	OutagesOver   map[string]int `json:"outages_over"` // how many there were of all pairs
	WholeS        *float64       `json:"whole_s"`      // after all was healed; null: it did not become whole
	ForeignLost   []string       `json:"foreign_lost"`
	Leaks         []string       `json:"leaks"`
	Unplanned     []string       `json:"unplanned"` // ends of nodes that nobody caused, and the like
	OK            bool           `json:"ok"`
}

// ChaosOutage is a time in which a pair had a path and no answer.
type ChaosOutage struct {
	Pair    string   `json:"pair"`
	OutageS float64  `json:"outage_s"`
	AtS     float64  `json:"at_s"`             // since the start of the chaos
	During  []string `json:"during,omitempty"` // what was struck shortly before, or lasted
	Trail   []string `json:"trail,omitempty"`  // of the longest of all: what the nodes told meanwhile
}

// Of the outages in a report.
const (
	causesBefore = time.Second
	maxCauses    = 30
	shownOutages = 5
	sameMoment   = 0.5 // seconds
)

// overs are the lengths beyond which outages are counted.
var overs = []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}

// settleOutages finds each pair's longest outage, and counts all.
func (c *chaos) settleOutages() {
	all := c.allOutages()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.OutagesOver = map[string]int{}
	var most []outage
	for _, of := range all {
		for _, over := range overs {
			for _, o := range of {
				if o.length() > over {
					c.report.OutagesOver[over.String()]++
				}
			}
		}
		if o := longest(of); o.length() > 0 {
			most = append(most, o)
		}
	}
	slices.SortStableFunc(most, func(a, b outage) int { return cmp.Compare(b.length(), a.length()) })
	moments := c.moments()
	for i, o := range most {
		told := ChaosOutage{Pair: o.pair.String(), OutageS: seconds(o.length()), AtS: seconds(o.from - c.began), During: c.causes(o)}
		if i < shownOutages {
			told.Trail = c.trail(o, moments)
		}
		c.report.Outages = append(c.report.Outages, told)
	}
	if err := c.writeLog(slices.Concat(all...)); err != nil {
		c.lab.say("chaos: %v", err)
	}
}

// allOutages finds those of each pair.
func (c *chaos) allOutages() (all [][]outage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.lab.prober
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range c.trains {
		state, path := 0, false
		for _, e := range t.echoes {
			if path, state = c.ground.had(t.pair, e.sent, state); path && e.sent < c.until {
				c.report.Echoes++
			}
		}
		all = append(all, c.ground.outages(t.pair, t.echoes, c.began, c.until))
	}
	return all
}

// causes are the strikes around an outage. The caller holds mu.
func (c *chaos) causes(o outage) (texts []string) {
	for _, s := range c.strikes {
		if s.at < o.to && s.until > o.from-causesBefore {
			texts = append(texts, fmt.Sprintf("at %.1f s %s", seconds(s.at-c.began), s.text))
		}
	}
	return texts[:min(maxCauses, len(texts))]
}

// write writes the summary.
func (r *ChaosReport) write(w io.Writer) {
	fmt.Fprintf(w, "chaos: seed %d, %d nodes, %s, %v\n", r.Seed, r.Nodes, r.Topology, time.Duration(r.DurationS*float64(time.Second)))
	fmt.Fprintf(w, "faults: %d (%d skipped, %d missed)\n", r.Strikes, r.Skipped, r.Missed)
	for _, kind := range slices.Sorted(maps.Keys(r.Faults)) {
		fmt.Fprintf(w, "  %-16s %5d\n", kind, r.Faults[kind])
	}
	fmt.Fprintf(w, "on purpose: %d quarantines, %d nodes ended and started again, %d of %d long stalls told as stuck\n",
		r.Quarantines, r.Escalations, r.StallsNoticed, r.LongStalls)
	r.writeOutages(w)
	if r.WholeS != nil {
		fmt.Fprintf(w, "whole %.2f s after all was healed\n", *r.WholeS)
	} else {
		fmt.Fprintln(w, "NOT WHOLE after all was healed")
	}
	list(w, "foreign routes lost", r.ForeignLost)
	list(w, "leaks", r.Leaks)
	list(w, "unplanned", r.Unplanned)
	fmt.Fprintf(w, "chaos %s\n", okText[r.OK])
}

// writeOutages writes the longest outages, with what was struck then.
func (r *ChaosReport) writeOutages(w io.Writer) {
	if len(r.Outages) == 0 {
		fmt.Fprintf(w, "longest outage of a pair that had a path: none, of %d echoes\n", r.Echoes)
		return
	}
	for i, o := range r.Outages[:min(shownOutages, len(r.Outages))] {
		if i == 0 {
			fmt.Fprintf(w, "longest outage of a pair that had a path: %.3f s, %s, at %.1f s, of %d echoes\n", o.OutageS, o.Pair, o.AtS, r.Echoes)
		} else {
			fmt.Fprintf(w, "  then %.3f s, %s, at %.1f s\n", o.OutageS, o.Pair, o.AtS)
		}
		if i > 0 && math.Abs(o.AtS-r.Outages[i-1].AtS) < sameMoment {
			continue // and of the same causes
		}
		for _, cause := range o.During {
			fmt.Fprintf(w, "    %s\n", cause)
		}
	}
	fmt.Fprint(w, "outages of pairs that had a path:")
	for i, over := range overs {
		fmt.Fprintf(w, "%s %d over %v", strings.Repeat(",", min(i, 1)), r.OutagesOver[over.String()], over)
	}
	fmt.Fprintln(w)
}

func list(w io.Writer, what string, all []string) {
	fmt.Fprintf(w, "%s: %d\n", what, len(all))
	for _, text := range all {
		fmt.Fprintf(w, "  %s\n", strings.ReplaceAll(text, "\n", "\n  "))
	}
}
