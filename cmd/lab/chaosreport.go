package lab

import (
	"cmp"
	"fmt"
	"io"
	"maps"
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
	Echoes        int            `json:"echoes"`  // sent while the pair had a path
	Outages       []ChaosOutage  `json:"outages"` // the longest of each pair that had one, the longest first
	WholeS        *float64       `json:"whole_s"` // after all was healed; null: it did not become whole
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
}

// Of the outages in a report.
const (
	causesBefore = time.Second
	maxCauses    = 30
	shownOutages = 5
)

// settleOutages finds each pair's longest outage.
func (c *chaos) settleOutages() {
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
		o := c.ground.longestOutage(t.pair, t.echoes, c.began, c.until)
		if o.length() == 0 {
			continue
		}
		c.report.Outages = append(c.report.Outages, ChaosOutage{
			Pair: t.pair.String(), OutageS: seconds(o.length()), AtS: seconds(o.from - c.began), During: c.causes(o),
		})
	}
	slices.SortStableFunc(c.report.Outages, func(a, b ChaosOutage) int { return cmp.Compare(b.OutageS, a.OutageS) })
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
	if len(r.Outages) == 0 {
		fmt.Fprintf(w, "longest outage of a pair that had a path: none, of %d echoes\n", r.Echoes)
	}
	for i, o := range r.Outages[:min(shownOutages, len(r.Outages))] {
		if i == 0 {
			fmt.Fprintf(w, "longest outage of a pair that had a path: %.3f s, %s, at %.1f s, of %d echoes\n", o.OutageS, o.Pair, o.AtS, r.Echoes)
			for _, cause := range o.During {
				fmt.Fprintf(w, "    %s\n", cause)
			}
		} else {
			fmt.Fprintf(w, "  then %.3f s, %s, at %.1f s\n", o.OutageS, o.Pair, o.AtS)
		}
	}
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

func list(w io.Writer, what string, all []string) {
	fmt.Fprintf(w, "%s: %d\n", what, len(all))
	for _, text := range all {
		fmt.Fprintf(w, "  %s\n", strings.ReplaceAll(text, "\n", "\n  "))
	}
}
