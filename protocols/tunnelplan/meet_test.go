package tunnelplan_test

import (
	"net/netip"
	"testing"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/nat"
	"re6st/protocols/tunnelplan"
)

// dialing is a planner with a link to peer 1 that dials peer 2, to which routes lead.
func dialing(t *testing.T) *bench {
	b := newBench(t, tunnelplan.Limits{ClientCount: 2, MaxClients: 1})
	b.plan.HandlePeers(b.now, tunnelplan.Registry, []tunnelplan.Peer{known(1)})
	b.plan.HandleUp(b.now, id(1), tunnelplan.Opened, known(1).Endpoints[0])
	b.plan.HandlePeers(b.now, tunnelplan.Registry, []tunnelplan.Peer{known(2)})
	b.plan.HandleRouting(b.now, tunnelplan.Routing{Reachable: []addr.NodeID{id(1), id(2)}})
	if dialled := of[tunnelplan.Open](b.events()); len(dialled) != 2 || dialled[1].Peer.ID != id(2) {
		t.Fatalf("dialled %+v", dialled)
	}
	return b
}

func offered(r tunnelplan.Rendezvous, at ...string) tunnelplan.Rendezvous {
	for _, a := range at {
		r.Endpoints = append(r.Endpoints, netip.MustParseAddrPort(a))
	}
	return r
}

func TestAPeerThatDoesNotAnswerIsAskedToDialTwice(t *testing.T) {
	b := dialing(t)
	if early := of[tunnelplan.Meet](b.pass(tunnelplan.MeetDelay - 1)); len(early) > 0 {
		t.Errorf("asked before it could have answered: %+v", early)
	}
	asked := of[tunnelplan.Meet](b.pass(10 * time.Second))
	if len(asked) != tunnelplan.MeetTries || asked[0].ID != id(2) || asked[0].Answer || asked[0] != asked[1] {
		t.Errorf("asked %+v, want the same %d times", asked, tunnelplan.MeetTries)
	}
}

func TestAPeerThatNoRouteReachesIsNotAsked(t *testing.T) {
	b := dialing(t)
	b.plan.HandleRouting(b.now, tunnelplan.Routing{Reachable: []addr.NodeID{id(1)}})
	if asked := of[tunnelplan.Meet](b.pass(10 * time.Second)); len(asked) > 0 {
		t.Errorf("asked %+v", asked)
	}
}

func TestAnAnswerEndsTheAsking(t *testing.T) {
	b := dialing(t)
	asked := of[tunnelplan.Meet](b.pass(tunnelplan.MeetDelay))
	b.plan.HandleRendezvous(b.now, id(2), tunnelplan.Rendezvous{Answer: true, Nonce: asked[0].Nonce, NAT: nat.PortRestricted})
	if again := of[tunnelplan.Meet](b.pass(10 * time.Second)); len(again) > 0 {
		t.Errorf("asked again: %+v", again)
	}
}

func TestWithAnObstacleThePeerIsDialledSeldom(t *testing.T) {
	b := dialing(t)
	b.plan.HandleNAT(b.now, nat.Random)
	asked := of[tunnelplan.Meet](b.pass(tunnelplan.MeetDelay))
	answer := tunnelplan.Rendezvous{Answer: true, Nonce: asked[0].Nonce + 1, NAT: nat.Random}
	b.plan.HandleRendezvous(b.now, id(2), answer)
	if o := b.plan.Outlook(id(2)); o.Obstacle != nat.NoObstacle {
		t.Errorf("%q by the word of who was not asked", o.Obstacle)
	}
	answer.Nonce--
	answer.NAT = nat.Unknown
	b.plan.HandleRendezvous(b.now, id(2), answer)
	if again := of[tunnelplan.Meet](b.pass(tunnelplan.MeetAgain)); len(again) != 1 {
		t.Errorf("asked again %+v, want once: it did not know its NAT", again)
	}
	answer.NAT = nat.Random
	b.plan.HandleRendezvous(b.now, id(2), answer)
	b.plan.HandleFailed(b.now, id(2))
	o := b.plan.Outlook(id(2))
	if o.Obstacle != nat.BothRandom || o.Failures != 1 || o.NextDial.Before(b.now.Add(tunnelplan.BackoffMax/2)) {
		t.Errorf("%+v", o)
	}
	if again := of[tunnelplan.Open](b.pass(tunnelplan.BackoffMax / 2)); len(again) > 0 {
		t.Errorf("dialled again: %+v", again)
	}
	b.plan.HandleNAT(b.now, nat.None)
	if again := of[tunnelplan.Open](b.pass(2 * time.Second)); len(again) != 1 {
		t.Errorf("the obstacle is gone, and dialled is %+v", again)
	}
	if o := b.plan.Outlook(id(2)); o.Obstacle != nat.NoObstacle {
		t.Errorf("still %q", o.Obstacle)
	}
}

func TestAPeerThatAsksIsAnsweredAndDialledWhereItSays(t *testing.T) {
	b := newBench(t, tunnelplan.Limits{ClientCount: 0, MaxClients: 1})
	b.plan.HandlePeers(b.now, tunnelplan.Registry, []tunnelplan.Peer{known(2)})
	b.plan.HandleRendezvous(b.now, id(2), offered(tunnelplan.Rendezvous{Nonce: 7, NAT: nat.PortRestricted}, "203.0.113.1:7326"))
	events := b.events()
	answers, dials := of[tunnelplan.Meet](events), of[tunnelplan.Open](events)
	if len(answers) != 1 || answers[0] != (tunnelplan.Meet{ID: id(2), Nonce: 7, Answer: true}) {
		t.Errorf("answered %+v", answers)
	}
	if len(dials) != 1 || dials[0].Peer.ID != id(2) || dials[0].Peer.Endpoints[0] != netip.MustParseAddrPort("203.0.113.1:7326") {
		t.Fatalf("dialled %+v", dials)
	}
	b.plan.HandleUp(b.now, id(2), tunnelplan.Opened, dials[0].Peer.Endpoints[0])
	if closed := of[tunnelplan.Close](b.events()); len(closed) > 0 {
		t.Errorf("the link was wanted by the peer and is closed as this node's: %+v", closed)
	}
	b.plan.HandlePeers(b.now, tunnelplan.Registry, []tunnelplan.Peer{known(3)})
	b.plan.HandleRouting(b.now, tunnelplan.Routing{Reachable: []addr.NodeID{id(2), id(3)}})
	if err := b.plan.Admit(b.now, id(3)); err == nil {
		t.Error("the link does not count as accepted")
	}
}

func TestAPeerThatIsNotAdmittedIsNotDialledForItsAsking(t *testing.T) {
	b := newBench(t, tunnelplan.Limits{ClientCount: 0, MaxClients: 0})
	b.plan.HandleRevoked(b.now, []addr.NodeID{id(3)})
	for i := range 5 {
		b.plan.HandleRendezvous(b.now, id(i), offered(tunnelplan.Rendezvous{}, "203.0.113.1:7326"))
	}
	if events := b.pass(time.Minute); len(of[tunnelplan.Open](events))+len(of[tunnelplan.Meet](events)) > 0 {
		t.Errorf("%+v", events)
	}
}

func TestBehindAnObstacleAPeerThatAsksIsAnsweredOnly(t *testing.T) {
	b := newBench(t, tunnelplan.Limits{MaxClients: 5})
	b.plan.HandleNAT(b.now, nat.Random)
	b.plan.HandleRendezvous(b.now, id(2), offered(tunnelplan.Rendezvous{NAT: nat.PortRestricted}, "203.0.113.1:7326"))
	events := b.events()
	if len(of[tunnelplan.Meet](events)) != 1 || len(of[tunnelplan.Open](events)) != 0 {
		t.Errorf("%+v", events)
	}
}

// A forger gets few dials out of a node, whoever it says to be.
func TestDialsThatPeersAskForAreFew(t *testing.T) {
	b := newBench(t, tunnelplan.Limits{MaxClients: 1000})
	dials := map[addr.NodeID]int{}
	total := 0
	const seconds = 20
	for range seconds * 10 {
		for i := range 200 {
			b.plan.HandleRendezvous(b.now, id(i), offered(tunnelplan.Rendezvous{}, "203.0.113.1:7326"))
		}
		for _, o := range of[tunnelplan.Open](b.events()) {
			dials[o.Peer.ID]++
			total++
			b.plan.HandleFailed(b.now, o.Peer.ID)
		}
		b.pass(100 * time.Millisecond)
	}
	if most := tunnelplan.MeetBurst + tunnelplan.MeetRate*seconds; total == 0 || total > most {
		t.Errorf("%d dials in %d s, want at most %d", total, seconds, most)
	}
	for id, n := range dials {
		if most := 1 + seconds/int(tunnelplan.MeetInterval/time.Second); n > most {
			t.Errorf("%d dials of %s, want at most %d", n, id, most)
		}
	}
}

func TestWhoAskedCountsTheLinkAsOpenedWhoeverDialled(t *testing.T) {
	b := dialing(t)
	b.pass(tunnelplan.MeetDelay)
	b.plan.HandleUp(b.now, id(2), tunnelplan.Accepted, known(2).Endpoints[0])
	b.plan.HandlePeers(b.now, tunnelplan.Registry, []tunnelplan.Peer{known(3)})
	b.plan.HandleRouting(b.now, tunnelplan.Routing{Reachable: []addr.NodeID{id(1), id(2), id(3)}})
	if err := b.plan.Admit(b.now, id(3)); err != nil {
		t.Errorf("the one place for accepted links is taken: %v", err)
	}
	if dials := of[tunnelplan.Open](b.pass(time.Second)); len(dials) > 0 {
		t.Errorf("both places for opened links are taken, and dialled is %+v", dials)
	}
}

// inVain has the dial to peer 2 fail though that dialled too.
func inVain(t *testing.T, b *bench) {
	t.Helper()
	asked := of[tunnelplan.Meet](b.pass(tunnelplan.MeetDelay))
	if len(asked) != 1 {
		t.Fatalf("asked %+v", asked)
	}
	b.plan.HandleRendezvous(b.now, id(2), tunnelplan.Rendezvous{Answer: true, Nonce: asked[0].Nonce, NAT: nat.PortRestricted})
	b.plan.HandleFailed(b.now, id(2))
}

func TestWhereBothEndsDialInVainTheNextDialsAreLate(t *testing.T) {
	b := dialing(t)
	least := tunnelplan.MetMin
	for range 10 {
		inVain(t, b)
		wait := b.plan.Outlook(id(2)).NextDial.Sub(b.now)
		if wait < least*3/4 || wait > tunnelplan.BackoffMax*5/4 {
			t.Fatalf("%d failures: the next dial in %v, want %v or so", b.plan.Outlook(id(2)).Failures, wait, least)
		}
		if dialled := of[tunnelplan.Open](b.pass(wait)); len(dialled) != 1 {
			t.Fatalf("then dialled %+v", dialled)
		}
		least = min(2*least, tunnelplan.BackoffMax)
	}
}

func TestAPeerThatAskedInVainIsDialledLateToo(t *testing.T) {
	b := newBench(t, tunnelplan.Limits{ClientCount: 2, MaxClients: 5})
	b.plan.HandlePeers(b.now, tunnelplan.Registry, []tunnelplan.Peer{known(1)})
	b.plan.HandleUp(b.now, id(1), tunnelplan.Opened, known(1).Endpoints[0])
	b.plan.HandleRendezvous(b.now, id(2), offered(tunnelplan.Rendezvous{NAT: nat.PortRestricted}, "203.0.113.1:7326"))
	b.plan.HandleRouting(b.now, tunnelplan.Routing{Reachable: []addr.NodeID{id(1), id(2)}})
	b.plan.HandleFailed(b.now, id(2))
	if wait := b.plan.Outlook(id(2)).NextDial.Sub(b.now); wait < tunnelplan.MetMin*3/4 {
		t.Errorf("the next dial in %v, want %v or so", wait, tunnelplan.MetMin)
	}
}

func TestWhatMayHaveChangedIsDialledSoon(t *testing.T) {
	soon := func(t *testing.T, b *bench) {
		t.Helper()
		if wait := b.plan.Outlook(id(2)).NextDial.Sub(b.now); wait > 2*tunnelplan.BackoffMin {
			t.Errorf("the next dial in %v, want %v or so", wait, tunnelplan.BackoffMin)
		}
		if dialled := of[tunnelplan.Open](b.pass(2 * tunnelplan.BackoffMin)); len(dialled) != 1 {
			t.Errorf("dialled %+v", dialled)
		}
	}
	for name, change := range map[string]func(*bench){
		"an address of this node": func(b *bench) { b.plan.HandleNetworkChange(b.now) },
		"the NAT before it":       func(b *bench) { b.plan.HandleNAT(b.now, nat.None) },
		"the routes to the peer": func(b *bench) {
			b.plan.HandleRouting(b.now, tunnelplan.Routing{Reachable: []addr.NodeID{id(1)}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := dialing(t)
			b.plan.HandleNAT(b.now, nat.PortRestricted)
			inVain(t, b)
			b.pass(time.Second)
			change(b)
			soon(t, b)
		})
	}
	t.Run("a link that was", func(t *testing.T) {
		b := dialing(t)
		b.plan.HandleUp(b.now, id(2), tunnelplan.Opened, known(2).Endpoints[0])
		b.plan.HandleDown(b.now, id(2), tunnelplan.Lost)
		if dialled := of[tunnelplan.Open](b.pass(b.plan.Outlook(id(2)).NextDial.Sub(b.now))); len(dialled) != 1 {
			t.Fatalf("dialled %+v", dialled)
		}
		inVain(t, b)
		soon(t, b)
	})
	t.Run("a peer that said nothing", func(t *testing.T) {
		b := dialing(t)
		b.pass(tunnelplan.MeetDelay)
		b.plan.HandleFailed(b.now, id(2))
		soon(t, b)
	})
}

// The peer heeds no second word within MeetInterval, however long the dial was on before the first.
func TestAPeerThatRoutesReachLateIsAskedTwiceToo(t *testing.T) {
	b := dialing(t)
	b.plan.HandleRouting(b.now, tunnelplan.Routing{Reachable: []addr.NodeID{id(1)}})
	b.pass(tunnelplan.MeetDelay + tunnelplan.MeetAgain/2)
	b.plan.HandleRouting(b.now, tunnelplan.Routing{Reachable: []addr.NodeID{id(1), id(2)}})
	if asked := of[tunnelplan.Meet](b.events()); len(asked) != 1 {
		t.Errorf("asked %+v, want once, at once", asked)
	}
	if early := of[tunnelplan.Meet](b.pass(tunnelplan.MeetInterval)); len(early) > 0 {
		t.Errorf("asked %+v before it would be heeded", early)
	}
	if again := of[tunnelplan.Meet](b.pass(tunnelplan.MeetAgain)); len(again) != 1 {
		t.Errorf("asked %+v, want once more", again)
	}
}
