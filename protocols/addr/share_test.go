package addr_test

import (
	"errors"
	"net/netip"
	"testing"

	"re6st/protocols/addr"
)

func TestSharesAreNumbered(t *testing.T) {
	for _, c := range []struct {
		rng     string
		length  int
		n       uint32
		share   string
		address string
	}{
		{"10.42.0.0/16", 24, 5, "10.42.5.0/24", "10.42.5.1"},
		{"10.42.0.0/16", 24, 255, "10.42.255.0/24", "10.42.255.1"},
		{"10.0.0.0/8", 30, 1<<22 - 1, "10.255.255.252/30", "10.255.255.253"},
		{"10.42.0.0/16", 32, 257, "10.42.1.1/32", "10.42.1.1"},
		{"100.64.0.0/10", 31, 3, "100.64.0.6/31", "100.64.0.7"},
	} {
		rng := netip.MustParsePrefix(c.rng)
		if err := addr.CheckIPv4(rng, c.length); err != nil {
			t.Fatal(err)
		}
		if c.n >= addr.Shares(rng, c.length) {
			t.Errorf("%s has %d shares of %d bits", rng, addr.Shares(rng, c.length), c.length)
		}
		share := addr.Share(rng, c.length, c.n)
		if share.String() != c.share || addr.ShareAddress(share).String() != c.address || !addr.InShares(rng, c.length, share) {
			t.Errorf("%d of %s: %s, address %s", c.n, rng, share, addr.ShareAddress(share))
		}
	}
	rng := netip.MustParsePrefix("10.42.0.0/16")
	for _, p := range []netip.Prefix{{}, netip.MustParsePrefix("10.43.5.0/24"), netip.MustParsePrefix("10.42.5.0/25"), netip.MustParsePrefix("2001:db8::/24")} {
		if addr.InShares(rng, 24, p) {
			t.Errorf("%s is no share of %s", p, rng)
		}
	}
	if addr.InShares(netip.Prefix{}, 24, netip.MustParsePrefix("10.42.5.0/24")) {
		t.Error("a share of nothing")
	}
}

func TestPartsOfAShareAreNamed(t *testing.T) {
	share := netip.MustParsePrefix("10.42.5.0/24")
	half := addr.Part{Prefix: netip.MustParsePrefix("10.42.5.128/25")}
	if got, err := addr.Divide(share, addr.ShareAddress(share), []addr.Part{half}); err != nil || len(got) != 1 || got[0] != half.Prefix {
		t.Errorf("%v, %v", got, err)
	}
	for what, p := range map[string]addr.Part{
		"the node's own address": {Prefix: netip.MustParsePrefix("10.42.5.0/25")},
		"another share":          {Prefix: netip.MustParsePrefix("10.42.6.128/25")},
		"all of it":              {Prefix: share},
		"no room for a host":     {Prefix: netip.MustParsePrefix("10.42.5.128/31")},
		"IPv6":                   {Prefix: netip.MustParsePrefix("2001:db8:42:5:8000::/80")},
		"a length":               {Length: 25},
	} {
		if got, err := addr.Divide(share, addr.ShareAddress(share), []addr.Part{p}); !errors.Is(err, addr.ErrPart) {
			t.Errorf("%s: %v, %v", what, got, err)
		}
	}
	if _, err := addr.Divide(share, addr.ShareAddress(share), []addr.Part{half, half}); !errors.Is(err, addr.ErrPart) {
		t.Errorf("twice: %v", err)
	}
}

func TestBadRangesOfIPv4AreNamed(t *testing.T) {
	for _, c := range []struct {
		rng    string
		length int
	}{
		{"10.42.1.0/16", 24},
		{"2001:db8::/32", 64},
		{"0.0.0.0/0", 24},
		{"8.0.0.0/7", 24},
		{"10.42.0.1/32", 32},
		{"127.0.0.0/8", 24},
		{"224.0.0.0/8", 24},
		{"169.254.0.0/16", 24},
		{"0.0.0.0/8", 24},
		{"255.255.255.0/24", 32},
		{"10.42.0.0/16", 16},
		{"10.42.0.0/16", 33},
		{"10.42.0.0/16", -1},
	} {
		if err := addr.CheckIPv4(netip.MustParsePrefix(c.rng), c.length); !errors.Is(err, addr.ErrIPv4) {
			t.Errorf("%s in shares of %d: %v", c.rng, c.length, err)
		}
	}
	if err := addr.CheckIPv4(netip.Prefix{}, 24); !errors.Is(err, addr.ErrIPv4) {
		t.Errorf("no range: %v", err)
	}
}

func TestNumberIsTheValueOfTheBits(t *testing.T) {
	for _, c := range []struct {
		cn string
		n  uint32
		ok bool
	}{
		{"5/16", 5, true},
		{"0/0", 0, true},
		{"65535/16", 65535, true},
		{"4294967295/80", 1<<32 - 1, true},
		{"4294967296/80", 0, false},
		{"340282366920938463463374607431768211455/128", 0, false},
	} {
		b, err := addr.ParseCN(c.cn)
		if err != nil {
			t.Fatal(err)
		}
		if n, ok := b.Number(); ok != c.ok || ok && n != c.n {
			t.Errorf("%s: %d, %v", c.cn, n, ok)
		}
	}
}
