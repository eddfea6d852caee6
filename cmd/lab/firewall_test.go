package lab

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestOnlyNeighborsAndTheRegistryPass(t *testing.T) {
	edges := mustEdges(t, Line, 3, 0)
	got := newFirewall(Line, edges, nodeNames(3)).rules()
	want := `table inet lab
delete table inet lab
table inet lab {
chain forward {
type filter hook forward priority 0; policy drop;
iifname . oifname { "n1" . "n2", "n2" . "n1", "n1" . "registry", "registry" . "n1", ` +
		`"n2" . "n3", "n3" . "n2", "n2" . "registry", "registry" . "n2", "n3" . "registry", "registry" . "n3" } accept
}
}
`
	if got != want {
		t.Errorf("rules\n%s\nwant\n%s", got, want)
	}
}

func TestHealTakesBackCutsAndLosses(t *testing.T) {
	f := newFirewall(Ring, mustEdges(t, Ring, 4, 0), nodeNames(4))
	whole := f.rules()
	a, b, c := Edge{"n1", "n2"}, Edge{"n2", "n3"}, Edge{"n3", "n4"}
	d := Edge{"n1", "registry"}
	if err := errors.Join(f.cut(a, Silent), f.cut(b, Reject), f.lose(c, 1250), f.cut(d, RejectV4)); err != nil {
		t.Fatal(err)
	}
	rules := f.rules()
	for _, want := range []string{
		`{ "n1" . "n2", "n2" . "n1" } drop`,
		`{ "n2" . "n3", "n3" . "n2" } reject with icmpx type host-unreachable`,
		`{ "n1" . "registry", "registry" . "n1" } meta nfproto ipv4 reject with icmp type host-unreachable`,
		`{ "n3" . "n4", "n4" . "n3" } numgen random mod 10000 < 1250 drop`,
	} {
		if !strings.Contains(rules, want) {
			t.Errorf("rules\n%s\nlack %s", rules, want)
		}
	}
	if got := f.open(); slices.Contains(got, a) || slices.Contains(got, b) || !slices.Contains(got, c) || !slices.Contains(got, d) {
		t.Errorf("open edges %v", got)
	}
	if err := errors.Join(f.heal(a), f.heal(b), f.lose(c, 0), f.heal(d)); err != nil {
		t.Fatal(err)
	}
	if got := f.rules(); got != whole {
		t.Errorf("healed, the rules are\n%s\nwant\n%s", got, whole)
	}
}

func TestWhatIsNoEdgeCannotBeCut(t *testing.T) {
	f := newFirewall(Line, mustEdges(t, Line, 3, 0), nodeNames(3))
	for _, err := range []error{f.cut(Edge{"n1", "n3"}, Silent), f.heal(Edge{"n1", "n9"}), f.lose(Edge{"n1", "n3"}, 1)} {
		if !errors.Is(err, ErrState) {
			t.Errorf("got %v, want ErrState", err)
		}
	}
}

func TestLANCannotReject(t *testing.T) {
	f := newFirewall(LAN, mustEdges(t, LAN, 3, 0), nodeNames(3))
	if err := f.cut(Edge{"n1", "n2"}, Reject); !errors.Is(err, ErrState) {
		t.Errorf("got %v, want ErrState", err)
	}
}

func TestABlockIsByWhatPacketsAre(t *testing.T) {
	f := newFirewall(Ring, mustEdges(t, Ring, 3, 0), nodeNames(3))
	whole := f.rules()
	e := Edge{"n1", "n2"}
	for what, want := range map[Block]string{
		BlockOurs: "meta l4proto udp @th,64,4 0x1 drop", BlockQUIC: "meta l4proto udp @th,65,1 0x1 drop",
		BlockUDP: "meta l4proto udp drop", BlockTLS: "tcp sport 443 drop", BlockAll: "drop",
	} {
		if err := f.block(e, what); err != nil {
			t.Fatal(err)
		}
		if rules := f.rules(); !strings.Contains(rules, `{ "n1" . "n2", "n2" . "n1" } `+want+"\n") {
			t.Errorf("%s: rules\n%s\nlack %s", what, rules, want)
		}
		if err := f.unblock(e, what); err != nil {
			t.Fatal(err)
		}
		if got := f.rules(); got != whole {
			t.Errorf("%s is blocked still:\n%s", what, got)
		}
	}
	if f.block(Edge{"n1", "n9"}, BlockAll) == nil || f.unblock(Edge{"n1", "n9"}, BlockAll) == nil {
		t.Error("what is no edge is blocked")
	}
}

func TestALinkOpensWhatIsNoEdge(t *testing.T) {
	edges, err := Line.edges(4, 1)
	if err != nil {
		t.Fatal(err)
	}
	f := newFirewall(Line, edges, nodeNames(4))
	e := newEdge("n4", "n1")
	if err := f.link(e); err != nil || f.check(e) != nil || f.cut(e, Silent) != nil {
		t.Errorf("linked: %v; is it an edge: %v", err, f.check(e))
	}
	if err := f.link(e); !errors.Is(err, ErrState) {
		t.Errorf("linked twice: %v", err)
	}
}
