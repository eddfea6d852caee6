package main

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"re6st/actors/netcheck"
	"re6st/protocols/addr"
	"re6st/protocols/nat"
	protocol "re6st/protocols/netcheck"
)

// sampleExamination is of a machine with a bit of everything.
func sampleExamination() examination {
	one, two, clock := addr.NodeIDFromUint64(0xb2), addr.NodeIDFromUint64(0xc3), int64(-400)
	e := examinationOf(protocol.Facts{
		IPv4:     protocol.Family{Addresses: []netip.Addr{netip.MustParseAddr("192.168.1.2")}, Default: []string{"eth0"}},
		Name:     &protocol.Name{Host: "registry.example", Addresses: []netip.Addr{netip.MustParseAddr("198.51.100.1")}},
		Registry: &protocol.Contact{At: "registry.example:6326", Connect: 12345, Answer: 45678, Clock: &clock},
		Peers: []protocol.Peer{
			{Node: &one, Address: netip.MustParseAddrPort("192.0.2.6:326"), Linked: true, Answered: true, RTT: 12345, Seen: netip.MustParseAddrPort("203.0.113.1:7326"), Largest: 1300, TooBig: 1304, QUIC: true},
			{Node: &two, Address: netip.MustParseAddrPort("198.51.100.7:4000"), Refusal: "nobody listens there"},
			{Address: netip.MustParseAddrPort("198.51.100.8:4000"), Answered: true, RTT: 870, Seen: netip.MustParseAddrPort("203.0.113.1:40000"), TooBig: 1200},
		},
		NAT:     protocol.NAT{Kind: nat.Random, Seen: []netip.AddrPort{netip.MustParseAddrPort("203.0.113.1:7326"), netip.MustParseAddrPort("203.0.113.1:40000")}},
		Mapping: &protocol.Mapping{Gateway: netip.MustParseAddr("192.168.1.1"), Offers: []protocol.Offer{{Protocol: "NAT-PMP", External: netip.MustParseAddr("203.0.113.1")}, {Protocol: "UPnP IGD", Refusal: "not authorized"}}},
		Node:    &protocol.NodeFact{State: "running", NAT: "random", Links: 2},
	})
	e.Now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return e
}

// golden compares with a file; UPDATE_SCRIPTS=1 writes it anew.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if os.Getenv("UPDATE_SCRIPTS") != "" {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is otherwise (%v; UPDATE_SCRIPTS=1 accepts it):\n%s", path, err, got)
	}
}

func TestAnExaminationInJSON(t *testing.T) {
	var b bytes.Buffer
	if err := printJSON(&b, sampleExamination()); err != nil {
		t.Fatal(err)
	}
	golden(t, "netcheck.json", b.Bytes())
}

func TestAnExaminationForPeople(t *testing.T) {
	var b bytes.Buffer
	if err := showExamination(&b, sampleExamination()); err != nil {
		t.Fatal(err)
	}
	golden(t, "netcheck.txt", b.Bytes())
}

func TestTheExitCodeIsThatOfTheOutcome(t *testing.T) {
	for o, want := range map[netcheck.Outcome]int{netcheck.Well: exitOK, netcheck.Degraded: exitDegraded, netcheck.Failed: exitFailed} {
		if got := exitCode(verdict(o)); got != want {
			t.Errorf("%s: %d, want %d", o, got, want)
		}
	}
}
