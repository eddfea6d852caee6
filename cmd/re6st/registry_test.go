package main

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestNodesTableShowsEndpointsWhole(t *testing.T) {
	var out strings.Builder
	at := []netip.AddrPort{netip.MustParseAddrPort("[2001:db8::1]:7326"), netip.MustParseAddrPort("192.0.2.1:7326")}
	err := printNodes(&out, []nodeRow{{Address: netip.MustParseAddr("2001:db8:42::1"), Seen: time.Unix(0, 0).UTC(), Endpoints: at}})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(out.String(), "1970-01-01T00:00:00Z  [2001:db8::1]:7326 192.0.2.1:7326\n") {
		t.Errorf("got %s", out.String())
	}
}
