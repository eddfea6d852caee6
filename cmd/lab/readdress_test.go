package lab

import (
	"os/exec"
	"testing"
)

func TestAnAddressThatChangesIsAnotherAndTheOldOneIsGone(t *testing.T) {
	for _, topology := range []Topology{Full, LAN} {
		t.Run(string(topology), func(t *testing.T) {
			g := newGround(t, topology, 3)
			old := g.places["n1"]
			if err := g.readdress("n1"); err != nil {
				t.Fatal(err)
			}
			answers := func(p place) (all []bool) {
				for _, a := range p.addresses() {
					var err error
					g.do(g.members["n2"].Do(func() error {
						err = exec.Command("ping", "-c3", "-i0.2", "-W1", a.String()).Run()
						return nil
					}))
					all = append(all, err == nil)
				}
				return all
			}
			if got := answers(g.places["n1"]); !got[0] || !got[1] {
				t.Errorf("at its new addresses %v: %v", g.places["n1"].addresses(), got)
			}
			if got := answers(old); got[0] || got[1] {
				t.Errorf("at its old addresses %v: %v", old.addresses(), got)
			}
		})
	}
}
