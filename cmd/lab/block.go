package lab

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"re6st/actors/monitor"
	"re6st/protocols/fabric"
)

// Block is what a firewall between two nodes drops without a word.
type Block string

// The blocks.
const (
	// BlockOurs are the datagrams of protocols/fabric in UDP, by their first byte: its two
	// upper bits are 0, and the version 1 follows.
	BlockOurs Block = "ours"
	// BlockQUIC is what has QUIC's fixed bit (RFC 9000 section 17) in its first byte.
	BlockQUIC Block = "quic"
	BlockUDP  Block = "udp"
	BlockTLS  Block = "tls" // TCP of port 443
	BlockAll  Block = "all"
)

// blockRules are what they are for nft; the payload of UDP begins 64 bits into its header.
var blockRules = map[Block][]string{
	BlockOurs: {"meta l4proto udp @th,64,4 0x1 drop"},
	BlockQUIC: {"meta l4proto udp @th,65,1 0x1 drop"},
	BlockUDP:  {"meta l4proto udp drop"},
	BlockTLS:  {"tcp dport 443 drop", "tcp sport 443 drop"},
	BlockAll:  {"drop"},
}

// blocks lists them in the order of their rules.
var blocks = []Block{BlockOurs, BlockQUIC, BlockUDP, BlockTLS, BlockAll}

// block has a firewall between the ends of an edge drop something more, unblock something
// less: all is everything.
func (f *firewall) block(e Edge, what Block) error {
	if err := f.check(e); err != nil {
		return err
	}
	if !slices.Contains(f.blocked[e], what) {
		f.blocked[e] = append(slices.Clone(f.blocked[e]), what)
	}
	return nil
}

func (f *firewall) unblock(e Edge, what Block) error {
	if err := f.check(e); err != nil {
		return err
	}
	if what == BlockAll {
		delete(f.blocked, e)
		return nil
	}
	f.blocked[e] = slices.DeleteFunc(slices.Clone(f.blocked[e]), func(b Block) bool { return b == what })
	return nil
}

// blockings renders the blocks of edges.
func (f *firewall) blockings(b *strings.Builder, edges []Edge) {
	for _, what := range blocks {
		var on []Edge
		for _, e := range edges {
			if slices.Contains(f.blocked[e], what) {
				on = append(on, e)
			}
		}
		for _, rule := range blockRules[what] {
			f.rule(b, on, rule)
		}
	}
}

// parseBlock reads what is blocked.
func parseBlock(rest []string) (Block, error) {
	if len(rest) != 1 || !slices.Contains(blocks, Block(rest[0])) {
		return "", fmt.Errorf("%q is nothing that can be blocked", strings.Join(rest, " "))
	}
	return Block(rest[0]), nil
}

// CarrierExpect is that the link of two nodes goes by a carrier.
type CarrierExpect struct {
	Of, With string
	Carrier  string
	Within   time.Duration
}

func parseCarrierExpect(words []string) (e CarrierExpect, err error) {
	const usage = "write: expect carrier n1 n2 quic within 3s"
	if len(words) != 6 {
		return e, fmt.Errorf("cannot expect %q; %s", strings.Join(words, " "), usage)
	}
	e.Of, e.With, e.Carrier = words[1], words[2], words[3]
	for _, name := range e.names() {
		if err := checkNode(name, usage); err != nil {
			return e, err
		}
	}
	if _, err := fabric.ParseCarrier(e.Carrier); err != nil {
		return e, fmt.Errorf("%w; %s", err, usage)
	}
	e.Within, err = parseTime(words[4:], "within", usage)
	return e, err
}

func (e *CarrierExpect) names() []string { return []string{e.Of, e.With} }

// String gives the expectation as it is written.
func (e *CarrierExpect) String() string {
	return fmt.Sprintf("expect carrier %s %s %s within %v", e.Of, e.With, e.Carrier, e.Within)
}

// meet asks both ends, as both choose.
func (e *CarrierExpect) meet(ctx context.Context, r *rehearsal, report *StepReport) error {
	return r.within(ctx, e.Within, report, func(ctx context.Context) (string, bool) {
		one, other := r.lab.carrier(ctx, e.Of, e.With), r.lab.carrier(ctx, e.With, e.Of)
		return one + " and " + other, one == e.Carrier && other == e.Carrier
	})
}

// carrier is that of a node's link with another, or why there is none.
func (l *Lab) carrier(ctx context.Context, of, with string) string {
	var answer monitor.Tunnels
	if err := monitor.NewClient(l.program.socket(l.members[of].dir)).Get(ctx, "tunnels", &answer); err != nil {
		return err.Error()
	}
	for _, t := range answer.Tunnels {
		if t.Node == l.identity(with).id && t.State == "up" {
			return t.Carrier
		}
	}
	return "no link"
}
