package node

import (
	"os/exec"
	"testing"
	"time"

	"re6st/hw/netns"
)

// answers tells whether an echo comes back within some tries.
func (l *lan) answers(ns *netns.NS, to string, tries string) bool {
	l.t.Helper()
	return exec.Command("ip", "netns", "exec", ns.Name(), "ping", "-n", "-c", "1", "-w", tries, to).Run() == nil
}

func TestTheInboundPolicyIsBeforeTheKernel(t *testing.T) {
	const one, two = "2001:db8:42:1::1", "2001:db8:42:2::1"
	for name, c := range map[string]struct {
		config string
		opens  bool
	}{
		"established": {"inbound = \"established\"\n", false},
		"listed":      {"inbound = \"list\"\ninbound_list = [\"" + one + " icmp\"]\n", true},
		"not listed":  {"inbound = \"list\"\ninbound_list = [\"::/0 tcp 22\"]\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLAN(t)
			l.node(l.n1, 1, "")
			l.node(l.n2, 2, c.config)
			deadline := time.Now().Add(patience)
			for !l.answers(l.n2, one, "1") {
				if time.Now().After(deadline) {
					t.Fatal("what it begins is not answered")
				}
			}
			tries := "2"
			if c.opens {
				tries = "60"
			}
			if got := l.answers(l.n1, two, tries); got != c.opens {
				t.Errorf("what begins elsewhere is answered: %v", got)
			}
		})
	}
}
