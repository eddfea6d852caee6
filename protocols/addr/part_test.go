package addr_test

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"re6st/protocols/addr"
)

func named(s string) addr.Part { return addr.Part{Prefix: netip.MustParsePrefix(s)} }

func TestANodesPrefixIsDivided(t *testing.T) {
	own, self := netip.MustParsePrefix("2001:db8:42:5::/64"), netip.MustParseAddr("2001:db8:42:5::1")
	for name, c := range map[string]struct {
		wants []addr.Part
		want  []string // or the error's words
		err   string
	}{
		"nothing":                       {nil, nil, ""},
		"the first that has no address": {[]addr.Part{{Length: 80}, {Length: 80}}, []string{"2001:db8:42:5:1::/80", "2001:db8:42:5:2::/80"}, ""},
		"of several lengths": {
			[]addr.Part{{Length: 112}, {Length: 80}, {Length: 112}},
			[]string{"2001:db8:42:5::1:0/112", "2001:db8:42:5:1::/80", "2001:db8:42:5::2:0/112"},
			"",
		},
		"around one that is named": {
			[]addr.Part{{Length: 80}, named("2001:db8:42:5:1::/80")},
			[]string{"2001:db8:42:5:2::/80", "2001:db8:42:5:1::/80"},
			"",
		},
		"the other half":    {[]addr.Part{{Length: 65}}, []string{"2001:db8:42:5:8000::/65"}, ""},
		"host bits are cut": {[]addr.Part{named("2001:db8:42:5:7::9/80")}, []string{"2001:db8:42:5:7::/80"}, ""},
		"two halves":        {[]addr.Part{{Length: 65}, {Length: 65}}, nil, "no room for another of 65 bits"},
		"all of it":         {[]addr.Part{named("2001:db8:42:5::/64")}, nil, "no part of"},
		"another node's":    {[]addr.Part{named("2001:db8:42:6:1::/80")}, nil, "no part of"},
		"one address":       {[]addr.Part{named("2001:db8:42:5:1::1/128")}, nil, "no part of"},
		"the node's own":    {[]addr.Part{named("2001:db8:42:5::/80")}, nil, "the node's own address"},
		"twice":             {[]addr.Part{named("2001:db8:42:5:1::/80"), named("2001:db8:42:5:1:1::/96")}, nil, "overlaps"},
		"too short":         {[]addr.Part{{Length: 64}}, nil, "it must be 65 to 127"},
		"too long":          {[]addr.Part{{Length: 128}}, nil, "it must be 65 to 127"},
	} {
		parts, err := addr.Divide(own, self, c.wants)
		if c.err != "" {
			if !errors.Is(err, addr.ErrPart) || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v, %v; want an error that tells %q", name, parts, err, c.err)
			}
			continue
		}
		var got []string
		for _, p := range parts {
			got = append(got, p.String())
		}
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v; want %v", name, got, err, c.want)
		}
	}
}

// TestNoTwoPartsMeet: whatever was asked for before, what is given is in the prefix,
// overlaps nothing, and leaves the node its address.
func TestNoTwoPartsMeet(t *testing.T) {
	own, self := netip.MustParsePrefix("2001:db8:42:5::/64"), netip.MustParseAddr("2001:db8:42:5::1")
	var wants []addr.Part
	for i := range 60 {
		wants = append(wants, addr.Part{Length: 68 + (i*37)%60})
	}
	parts, err := addr.Divide(own, self, wants)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range parts {
		if p.Bits() != wants[i].Length || p != p.Masked() || !own.Contains(p.Addr()) || p.Contains(self) {
			t.Errorf("%d: %s", i, p)
		}
		for _, q := range parts[:i] {
			if p.Overlaps(q) {
				t.Errorf("%s and %s", p, q)
			}
		}
	}
}
