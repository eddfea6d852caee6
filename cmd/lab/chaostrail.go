package lab

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// chaosLog is the file among the logs that says what was struck, and which pairs had an
// outage.
const chaosLog = "chaos.log"

// Of the trail of an outage.
const (
	trailBefore = time.Second
	maxTrail    = 40
)

// telling are the events of nodes that tell of links, routes and sessions.
var telling = map[string]bool{
	"up": true, "down": true, "moved": true, "session": true, "faulted": true, "restarted": true, "quarantined": true, "stuck": true,
}

// moment is something that happened, on the prober's clock.
type moment struct {
	at   time.Duration
	text string
}

func sortMoments(m []moment) {
	slices.SortStableFunc(m, func(a, b moment) int { return cmp.Compare(a.at, b.at) })
}

// moments reads what the nodes logged, and what inquests found. The caller holds mu.
func (c *chaos) moments() []moment {
	all := slices.Clone(c.findings)
	for _, name := range c.lab.names {
		log, err := os.ReadFile(c.lab.members[name].log)
		if err != nil {
			c.lab.say("chaos: the log of %s: %v", name, err)
		}
		all = append(all, momentsOf(name, log, c.lab.prober.start)...)
	}
	sortMoments(all)
	return all
}

// momentsOf takes the events that are telling out of a log.
func momentsOf(name string, log []byte, start time.Time) (all []moment) {
	for line := range bytes.Lines(log) {
		fields := logFields(string(line))
		at, err := time.Parse(time.RFC3339Nano, fields["time"])
		if err == nil && telling[fields["msg"]] {
			text := strings.TrimSpace(strings.Join([]string{name, fields["actor"], fields["msg"], fields["text"]}, " "))
			all = append(all, moment{at.Sub(start), text})
		}
	}
	return all
}

// logFields takes a line of slog's text format apart.
func logFields(line string) map[string]string {
	fields := map[string]string{}
	for {
		key, rest, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok {
			return fields
		}
		value, after, _ := strings.Cut(rest, " ")
		if quoted, err := strconv.QuotedPrefix(rest); err == nil {
			value, _ = strconv.Unquote(quoted)
			after = rest[len(quoted):]
		}
		fields[key], line = value, after
	}
}

// trail is what the nodes told around an outage.
func (c *chaos) trail(o outage, all []moment) (texts []string) {
	for _, m := range all {
		if m.at >= o.from-trailBefore && m.at <= o.to && len(texts) < maxTrail {
			texts = append(texts, fmt.Sprintf("at %.2f s %s", seconds(m.at-c.began), m.text))
		}
	}
	return texts
}

// writeLog writes chaos.log. The caller holds mu.
func (c *chaos) writeLog(outages []outage) error {
	var all []moment
	all = append(all, c.findings...)
	for _, s := range c.strikes {
		all = append(all, moment{s.at, s.text})
	}
	for _, o := range outages {
		all = append(all, moment{o.from, fmt.Sprintf("outage of %.3f s, %s", seconds(o.length()), o.pair)})
	}
	sortMoments(all)
	var b bytes.Buffer
	for _, m := range all {
		at := c.lab.prober.start.Add(m.at).UTC().Format("15:04:05.000")
		fmt.Fprintf(&b, "%s %8.3f s %s\n", at, seconds(m.at-c.began), m.text)
	}
	return os.WriteFile(filepath.Join(c.lab.logs(), chaosLog), b.Bytes(), 0o644)
}
