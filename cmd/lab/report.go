package lab

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"re6st/actors/monitor"
)

// labVersion is the version of both JSON schemas: lab.json and the report.
const labVersion = 1

// labFile is the name of the file that describes a running lab, in its folder.
const labFile = "lab.json"

// labJSON is lab.json.
type labJSON struct {
	Version  int         `json:"version"`
	ID       string      `json:"id"`
	Topology Topology    `json:"topology"`
	Edges    [][2]string `json:"edges"`
	Router   string      `json:"router"`   // its namespace
	Registry string      `json:"registry"` // its namespace
	Nodes    []nodeJSON  `json:"nodes"`
}

type nodeJSON struct {
	Name      string                `json:"name"`
	Netns     string                `json:"netns"`
	PID       int                   `json:"pid"` // 0: does not run
	Addresses map[string]netip.Addr `json:"addresses"`
	Underlay  []netip.Addr          `json:"underlay"`
	NAT       *natJSON              `json:"nat,omitempty"`
	Socket    string                `json:"socket"`
}

// natJSON is the NAT that a node is behind.
type natJSON struct {
	Kind    NATKind    `json:"kind"`
	Netns   string     `json:"netns"`
	Outside netip.Addr `json:"outside"`
}

// writeJSON writes lab.json; who reads it finds the old one or the new one, whole.
func (l *Lab) writeJSON() error {
	d := labJSON{
		Version: labVersion, ID: l.ID(), Topology: l.options.Topology,
		Router: l.under.router.Name(), Registry: l.under.members[registryName].Name(),
	}
	for _, e := range l.edges {
		d.Edges = append(d.Edges, [2]string{e.A, e.B})
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	for _, s := range l.snapshot() {
		n := nodeJSON{
			Name: s.name, Netns: s.netns, PID: s.pid, Addresses: s.who.addresses,
			Underlay: l.under.places[s.name].addresses(), Socket: filepath.Join(s.dir, monitor.SocketName),
		}
		if nat, ok := l.under.nats[s.name]; ok {
			n.NAT = &natJSON{nat.kind, nat.ns.Name(), nat.outside}
		}
		d.Nodes = append(d.Nodes, n)
	}
	text, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return fmt.Errorf("lab: %s: %w", labFile, err)
	}
	path := filepath.Join(l.Dir(), labFile)
	if err := os.WriteFile(path+".new", append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	return nil
}

// hostsFile names the nodes for `re6st status` and the like, in each node's folder.
const hostsFile = "hosts"

// writeHosts tells each node's folder the names of all.
func (l *Lab) writeHosts() error {
	var hosts strings.Builder
	for _, s := range l.snapshot() {
		fmt.Fprintf(&hosts, "%s %s\n", s.who.prefix, s.name)
	}
	for _, s := range l.snapshot() {
		if err := os.WriteFile(filepath.Join(s.dir, hostsFile), []byte(hosts.String()), 0o644); err != nil {
			return fmt.Errorf("lab: %w", err)
		}
	}
	return nil
}

// readJSON reads the lab.json of a lab's folder.
func readJSON(dir string) (labJSON, error) {
	var d labJSON
	text, err := os.ReadFile(filepath.Join(dir, labFile))
	if err != nil {
		return d, fmt.Errorf("lab: %w", err)
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return d, fmt.Errorf("lab: %s: %w", labFile, err)
	}
	return d, nil
}

// Report is what `re6st lab run --json` prints.
type Report struct {
	Version    int             `json:"version"`
	Nodes      int             `json:"nodes"`
	Pairs      int             `json:"pairs"`
	ConvergedS *float64        `json:"converged_s"` // null: it did not
	MaxLinks   *int            `json:"max_links"`   // null: the nodes do not tell
	Exit       int             `json:"exit"`
	Scenario   *ScenarioReport `json:"scenario,omitempty"`
}

// ScenarioReport is what came of a scenario.
type ScenarioReport struct {
	OK    bool         `json:"ok"`
	Steps []StepReport `json:"steps"`
	Pings []PingReport `json:"pings,omitempty"`
}

// StepReport is what came of one line. Times are seconds.
type StepReport struct {
	Line    int          `json:"line"`
	Text    string       `json:"text"`
	At      float64      `json:"at_s"` // since the start of the scenario
	OK      bool         `json:"ok"`
	Error   string       `json:"error,omitempty"`
	WholeS  *float64     `json:"whole_s,omitempty"` // expect whole: since the action
	Missing []string     `json:"missing,omitempty"` // expect whole: pairs that did not answer
	Why     []string     `json:"why,omitempty"`     // expect whole: traces of the first of these
	Outages []PairOutage `json:"outages,omitempty"` // expect whole: up to the next action, longest first
	Saw     string       `json:"saw,omitempty"`     // expect status, join, revoked, params
	Lost    *int         `json:"lost,omitempty"`    // expect ping
	Outage  *float64     `json:"outage_s,omitempty"`
}

// PairOutage is the longest time that a pair was without answers.
type PairOutage struct {
	Pair   string  `json:"pair"`
	Outage float64 `json:"outage_s"`
}

// PingReport is what came of a ping of the scenario.
type PingReport struct {
	From   string  `json:"from"`
	To     string  `json:"to"`
	EveryS float64 `json:"every_s"`
	Sent   int     `json:"sent"`
	Rate   float64 `json:"per_second"` // that was reached
	Late   int     `json:"late"`       // sent more than an interval after their time
	Latest float64 `json:"latest_s"`   // by how much
	Lost   int     `json:"lost"`
	Outage float64 `json:"outage_s"` // the longest
}

// seconds cuts to microseconds, which is more than a scheduler keeps.
func seconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1e6 }

// write writes the table.
func (r ScenarioReport) write(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "AT\tLINE\tSTEP\tRESULT")
	for _, s := range r.Steps {
		fmt.Fprintf(t, "%.3f s\t%d\t%s\t%s\n", s.At, s.Line, s.Text, s.result())
	}
	t.Flush()
	for _, s := range r.Steps {
		for _, why := range s.Why {
			fmt.Fprintf(w, "line %d: %s\n", s.Line, why)
		}
	}
	for _, p := range r.Pings {
		fmt.Fprintf(w, "ping %s %s every %v: %d sent, %.1f a second, %d late, by %.3f s at most; %d lost, longest outage %.3f s\n",
			p.From, p.To, time.Duration(p.EveryS*float64(time.Second)), p.Sent, p.Rate, p.Late, p.Latest, p.Lost, p.Outage)
	}
	fmt.Fprintf(w, "scenario %s\n", okText[r.OK])
}

func (s StepReport) result() string {
	text := okText[s.OK]
	if s.Error != "" {
		text += ": " + s.Error
	}
	if s.Saw != "" {
		text += ": " + s.Saw
	}
	if s.Lost != nil {
		text += fmt.Sprintf(": %d lost, longest outage %.3f s", *s.Lost, *s.Outage)
	}
	if s.WholeS != nil {
		text += fmt.Sprintf(": whole after %.3f s", *s.WholeS)
	}
	if len(s.Missing) > 0 {
		text += ": no answer " + some(s.Missing)
	}
	if len(s.Outages) > 0 {
		var longest []string
		for _, o := range s.Outages {
			longest = append(longest, fmt.Sprintf("%s %.3f s", o.Pair, o.Outage))
		}
		text += "; longest outages " + some(longest)
	}
	return text
}

// okText is how a verdict is printed.
var okText = map[bool]string{true: "ok", false: "FAILED"}

// some lists the first of many, which the JSON has all.
func some(list []string) string {
	const shown = 3
	text := strings.Join(list[:min(shown, len(list))], ", ")
	if len(list) > shown {
		text += fmt.Sprintf(" and %d more", len(list)-shown)
	}
	return text
}
