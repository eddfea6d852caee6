package babel_test

import (
	"testing"

	"re6st/protocols/babel"
)

func Test9467_3_1_UnicastAndMulticastAreCountedApart(t *testing.T) {
	p := newMACPair(t)
	p.prove()
	var multicast [][]byte
	for range 3 * babel.PCWindow { // more than a window takes
		multicast = append(multicast, p.hello())
		p.says(p.peer.Seal(plain, selfLL), selfLL, babel.MACValid)
	}
	// What the network held back while it let unicast pass is taken yet.
	for _, packet := range multicast {
		p.says(packet, babel.Group, babel.MACValid)
	}
	p.says(multicast[0], babel.Group, babel.MACOld)
	p.says(p.peer.Seal(plain, selfLL), selfLL, babel.MACValid)
}

func Test9467_3_1_AChallengeSetsBothCounters(t *testing.T) {
	p := newMACPair(t)
	for range 2 * babel.PCWindow {
		p.peer.Seal(plain, selfLL)
	}
	multicast, unicast := p.hello(), p.peer.Seal(plain, selfLL)
	for range 2 * babel.PCWindow {
		p.peer.Seal(plain, selfLL)
	}
	p.prove()
	p.says(multicast, babel.Group, babel.MACOld)
	p.says(unicast, selfLL, babel.MACOld)
}

func Test9467_3_2_TheWindow(t *testing.T) {
	p := newMACPair(t)
	p.prove()
	var packets [][]byte
	for range 3 * babel.PCWindow {
		packets = append(packets, p.hello())
	}
	last := len(packets) - 1
	p.says(packets[last], babel.Group, babel.MACValid)
	p.says(packets[last-babel.PCWindow], babel.Group, babel.MACOld) // index -1
	for _, behind := range []int{babel.PCWindow - 1, 1, 64, 63, 65, 2} {
		p.says(packets[last-behind], babel.Group, babel.MACValid)
		p.says(packets[last-behind], babel.Group, babel.MACOld)
	}
	p.says(packets[last], babel.Group, babel.MACOld)
	// The window moves by more, and by less, than its length.
	for _, ahead := range []int{1, 63, 64, 65, babel.PCWindow, 1000} {
		var next []byte
		for range ahead {
			next = p.hello()
		}
		p.says(next, babel.Group, babel.MACValid)
		p.says(next, babel.Group, babel.MACOld)
	}
}

func Test9467_3_2_WhatWasReceivedStaysSoWhereTheWindowMoves(t *testing.T) {
	p := newMACPair(t)
	p.prove()
	var odd, even [][]byte
	for range babel.PCWindow / 2 {
		odd = append(odd, p.hello())
		even = append(even, p.hello())
	}
	for _, packet := range odd {
		p.says(packet, babel.Group, babel.MACValid)
	}
	for _, packet := range even[1:] {
		p.says(packet, babel.Group, babel.MACValid)
	}
	for _, packet := range append(odd[1:], even[1:]...) {
		p.says(packet, babel.Group, babel.MACOld)
	}
}
