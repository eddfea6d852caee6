package neighbor

import (
	"testing"
	"testing/synctest"
	"time"

	"re6st/protocols/addr"
)

func TestAWayIsExplainedByItsChoices(t *testing.T) {
	inWorld(t, 3, nil, func(w *world) {
		w.link(1, 0, 1)
		w.link(2, 0, 2)
		w.link(3, 1, 2)
		time.Sleep(20 * time.Second)
		var got []Choice
		ask := func(egress addr.NodeID) {
			w.routers[0].ref.Tell(Explain{Egress: egress, Into: func(c []Choice) { got = c }})
			synctest.Wait()
		}
		ask(w.routers[2].id)
		if len(got) != 2 || got[0].Peer != w.routers[2].id || got[0].Link != 2 || !got[0].Selected || got[0].Metric == 0 {
			t.Fatalf("%+v", got)
		}
		if o := got[1]; o.Peer != w.routers[1].id || o.Link != 1 || o.Selected || o.Metric <= got[0].Metric {
			t.Errorf("%+v", got)
		}
		if ask(addr.NodeIDFromUint64(77)); got != nil {
			t.Errorf("a way to nobody: %+v", got)
		}
	})
}
