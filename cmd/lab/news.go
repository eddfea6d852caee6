package lab

import (
	"context"
	"fmt"
	"strings"
	"time"

	"re6st/actors/monitor"
	"re6st/protocols/addr"
)

// Words of expectations about what the registry issues.
const (
	wordRevoked = "revoked"
	wordParams  = "params"
)

// newsEvery is how often the nodes are asked what they have heard.
const newsEvery = 50 * time.Millisecond

// issued is what the registry was told to issue.
type issued struct {
	params  uint64          // the number of the parameters, less the first
	revoked map[string]bool // names of nodes
}

// NewsExpect is that all nodes have heard of what the registry issued last, and done
// as it says.
type NewsExpect struct {
	Revoked string        // a node: neither link nor route leads to it; "": the parameters
	Within  time.Duration // after the last action; or 0
	For     time.Duration // from the last action on; or 0
}

// parseSet reads KEY=VALUE...
func parseSet(rest []string) (string, error) {
	if len(rest) == 0 {
		return "", fmt.Errorf("a parameter is needed")
	}
	for _, setting := range rest {
		if key, _, ok := strings.Cut(setting, "="); !ok || key == "" {
			return "", fmt.Errorf("%q is no KEY=VALUE", setting)
		}
	}
	return strings.Join(rest, " "), nil
}

// parseNewsExpect reads `revoked n1 within 2s`, `revoked n1 for 10s` or `params within 2s`.
func parseNewsExpect(words []string) (e NewsExpect, err error) {
	const usage = "write: expect revoked n1 within 2s, expect revoked n1 for 10s, or expect params within 2s"
	rest := words[1:]
	if words[0] == wordRevoked {
		if e.Revoked = rest[0]; !isName(e.Revoked) || e.Revoked == registryName {
			return e, fmt.Errorf("%q is no name of a node; %s", e.Revoked, usage)
		}
		rest = rest[1:]
	}
	if len(rest) != 2 || rest[0] != "within" && (rest[0] != "for" || e.Revoked == "") {
		return e, fmt.Errorf("cannot expect %q; %s", strings.Join(words, " "), usage)
	}
	d, err := parseDuration(rest[1])
	if err == nil && d == 0 {
		err = fmt.Errorf("no time at all is too short; %s", usage)
	}
	if rest[0] == "for" {
		e.For = d
	} else {
		e.Within = d
	}
	return e, err
}

// String gives the expectation as it is written.
func (e NewsExpect) String() string {
	what := wordParams
	if e.Revoked != "" {
		what = wordRevoked + " " + e.Revoked
	}
	if e.For > 0 {
		return fmt.Sprintf("expect %s for %v", what, e.For)
	}
	return fmt.Sprintf("expect %s within %v", what, e.Within)
}

// revoke has the registry take a node out of the network.
func (l *Lab) revoke(ctx context.Context, name string) error {
	if name == registryName {
		return fmt.Errorf("%w: the registry is no node", ErrState)
	}
	prefix := l.identity(name).prefix
	m := l.members[registryName]
	if err := l.runToEnd(ctx, m, l.program.registryRevoke(m.dir, prefix)); err != nil {
		return err
	}
	if l.issued.revoked == nil {
		l.issued.revoked = map[string]bool{}
	}
	l.issued.revoked[name] = true
	return nil
}

// set has the registry change parameters of the network.
func (l *Lab) set(ctx context.Context, settings string) error {
	m := l.members[registryName]
	if err := l.runToEnd(ctx, m, l.program.registrySet(m.dir, strings.Fields(settings))); err != nil {
		return err
	}
	l.issued.params++
	return nil
}

// inMesh returns the names of the nodes that run and were not revoked. The caller
// holds acting.
func (l *Lab) inMesh() []string {
	var names []string
	for _, name := range l.alive() {
		if !l.issued.revoked[name] {
			names = append(names, name)
		}
	}
	return names
}

// expectNews waits until all nodes have heard, or sees that they stay so.
func (r *rehearsal) expectNews(ctx context.Context, e *NewsExpect, report *StepReport) error {
	end := r.actionBegan + e.Within
	if e.For > 0 {
		end = r.actionDone + e.For
	}
	ctx, cancel := context.WithTimeout(ctx, max(end-r.prober.now(), newsEvery))
	defer cancel()
	ticker := time.NewTicker(newsEvery)
	defer ticker.Stop()
	for {
		late, nodes := r.lab.unheard(ctx, e.Revoked)
		at := r.prober.now()
		switch {
		case ctx.Err() != nil: // the answers came too late to count
		case late != "":
			if report.Saw = late; e.For > 0 {
				report.OK = false
				return nil
			}
		case e.For == 0:
			report.Saw = fmt.Sprintf("after %.2f s, by %d nodes", (at - r.actionBegan).Seconds(), nodes)
			return nil
		default:
			report.Saw = fmt.Sprintf("by %d nodes", nodes)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			report.OK = e.For > 0
			return nil // the scenario goes on
		}
	}
}

// unheard names a node that has not heard yet, or has not done as it says, and counts
// those that are in the mesh.
func (l *Lab) unheard(ctx context.Context, revoked string) (late string, nodes int) {
	l.acting.Lock()
	names, params := l.inMesh(), l.issued.params+1
	l.acting.Unlock()
	for _, name := range names {
		var s monitor.Status
		client := monitor.NewClient(l.program.socket(l.members[name].dir))
		err := client.Get(ctx, "status", &s)
		switch {
		case err != nil:
			return fmt.Sprintf("%s: %v", name, err), 0
		case revoked == "" && s.Params < params:
			return fmt.Sprintf("%s has parameters %d", name, s.Params), 0
		case revoked != "" && s.CRL == 0:
			return name + " has no revocation list", 0
		}
		if revoked == "" {
			continue
		}
		if way := l.wayTo(ctx, client, revoked); way != "" {
			return fmt.Sprintf("%s has %s to %s", name, way, revoked), 0
		}
	}
	return "", len(names)
}

// wayTo is by what a node reaches another one; empty: it does not.
func (l *Lab) wayTo(ctx context.Context, client *monitor.Client, name string) string {
	id := l.identity(name).id
	var tunnels monitor.Tunnels
	if err := client.Get(ctx, "tunnels", &tunnels); err != nil {
		return err.Error() + " on the way"
	}
	for _, t := range tunnels.Tunnels {
		if t.Node == id && t.State != "dialing" {
			return "a link"
		}
	}
	var routes monitor.Routes
	if err := client.Get(ctx, "routes", &routes); err != nil {
		return err.Error() + " on the way"
	}
	for _, r := range routes.Routes {
		if r.Egress == id && id != (addr.NodeID{}) {
			return "a route"
		}
	}
	return ""
}
