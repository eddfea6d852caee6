package lab

import (
	"context"
	"fmt"
	"strings"
	"time"

	"re6st/actors/monitor"
)

// wordPeer begins an expectation of what a node says of another as a peer.
const wordPeer = "peer"

// PeerExpect is what a node says of its link with another: linked, or why there is none.
type PeerExpect struct {
	Pair   Pair
	Is     string // linked, or the detail in `re6st peers`
	Within time.Duration
}

func parsePeerExpect(words []string) (e PeerExpect, err error) {
	const usage = "write: expect peer n1 n3 linked within 10s, or expect peer n1 n3 same_country within 10s"
	if len(words) != 6 {
		return e, fmt.Errorf("cannot expect %q; %s", strings.Join(words, " "), usage)
	}
	e.Pair, e.Is = Pair{words[1], words[2]}, words[3]
	for _, name := range e.names() {
		if err := checkNode(name, usage); err != nil {
			return e, err
		}
	}
	e.Within, err = parseTime(words[4:], "within", usage)
	return e, err
}

func (e *PeerExpect) names() []string { return []string{e.Pair.From, e.Pair.To} }

// String gives the expectation as it is written.
func (e *PeerExpect) String() string {
	return fmt.Sprintf("expect peer %s %s %s within %v", e.Pair.From, e.Pair.To, e.Is, e.Within)
}

func (e *PeerExpect) meet(ctx context.Context, r *rehearsal, report *StepReport) error {
	l := r.lab
	id := l.identity(e.Pair.To).id
	return r.within(ctx, e.Within, report, func(ctx context.Context) (string, bool) {
		var answer monitor.Peers
		if err := monitor.NewClient(l.program.socket(l.members[e.Pair.From].dir)).Get(ctx, "peers", &answer); err != nil {
			return err.Error(), false
		}
		for _, p := range answer.Peers {
			if p.Node == id {
				saw := strings.TrimSpace(p.State + " " + p.Detail)
				return saw, p.State == e.Is || p.Detail == e.Is && p.State != "linked"
			}
		}
		return "it does not know the node", false
	})
}
