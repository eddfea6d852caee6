package addr_test

import (
	"crypto/sha256"
	"errors"
	"math/big"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"re6st/protocols/addr"
)

func bits(t *testing.T, s string) addr.Bits {
	t.Helper()
	b, err := addr.ParseBits(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCommonNameAndBitsAreOneThing(t *testing.T) {
	for _, c := range []struct{ bits, cn string }{
		{"", "0/0"},
		{"0", "0/1"},
		{"1", "1/1"},
		{"0000000000000101", "5/16"},
		{strings.Repeat("1", 16), "65535/16"},
		{strings.Repeat("1", 128), "340282366920938463463374607431768211455/128"},
		{strings.Repeat("0", 79) + "1", "1/80"},
	} {
		b := bits(t, c.bits)
		if b.CN() != c.cn || b.String() != c.bits || b.Len() != len(c.bits) {
			t.Errorf("%q: cn %s, digits %q, length %d", c.bits, b.CN(), b.String(), b.Len())
		}
		back, err := addr.ParseCN(c.cn)
		if err != nil || back != b {
			t.Errorf("ParseCN(%s) = %s, %v", c.cn, back, err)
		}
	}
}

func TestBadBitStringsAreNamed(t *testing.T) {
	for _, cn := range []string{"", "5", "5/", "/16", "65536/16", "-1/16", "1/129", "01/16", "1/016", "1/+8", "0x1/8", "1/1/1", "1/0"} {
		if b, err := addr.ParseCN(cn); !errors.Is(err, addr.ErrBits) {
			t.Errorf("ParseCN(%q) = %s, %v", cn, b, err)
		}
	}
	for _, s := range []string{"2", "01 ", strings.Repeat("0", 129)} {
		if b, err := addr.ParseBits(s); !errors.Is(err, addr.ErrBits) {
			t.Errorf("ParseBits(%q) = %s, %v", s, b, err)
		}
	}
}

func TestPrefixesSortBeforeWhatExtendsThem(t *testing.T) {
	sorted := []string{"", "0", "00", "001", "01", "1", "10", "11"}
	var got []addr.Bits
	for i := range sorted {
		got = append(got, bits(t, sorted[len(sorted)-1-i]))
	}
	slices.SortFunc(got, addr.Bits.Compare)
	for i, b := range got {
		if b.String() != sorted[i] {
			t.Errorf("at %d: %q, want %q", i, b, sorted[i])
		}
		for j, s := range sorted {
			if want := strings.HasPrefix(b.String(), s); b.HasPrefix(bits(t, s)) != want {
				t.Errorf("%q has prefix %q (%d): want %v", b, s, j, want)
			}
		}
	}
}

func TestNetworkIsTheSerialNumber(t *testing.T) {
	for _, c := range []struct{ serial, network string }{
		{"120010db80042", "2001:db8:42::/48"},
		{"1", "::/0"},
		{"3", "8000::/1"},
		{"1fd00000000000000000000000000000a", "fd00::a/128"},
	} {
		serial, _ := new(big.Int).SetString(c.serial, 16)
		n, err := addr.NetworkFromSerial(serial)
		if err != nil || n != netip.MustParsePrefix(c.network) {
			t.Errorf("%s: %s, %v, want %s", c.serial, n, err, c.network)
		}
		back, err := addr.Serial(n)
		if err != nil || back.Cmp(serial) != 0 {
			t.Errorf("%s: serial %x, %v, want %s", c.network, back, err, c.serial)
		}
	}
	for _, s := range []*big.Int{big.NewInt(0), big.NewInt(-5), new(big.Int).Lsh(big.NewInt(1), 129)} {
		if n, err := addr.NetworkFromSerial(s); !errors.Is(err, addr.ErrNetwork) {
			t.Errorf("serial %x: %s, %v", s, n, err)
		}
	}
	if _, err := addr.Serial(netip.MustParsePrefix("10.0.0.0/8")); !errors.Is(err, addr.ErrNetwork) {
		t.Errorf("an IPv4 network: %v", err)
	}
}

func TestSubnetAndAddress(t *testing.T) {
	for _, c := range []struct{ network, cn, subnet, address string }{
		{"2001:db8:42::/48", "5/16", "2001:db8:42:5::/64", "2001:db8:42:5::1"},
		{"2001:db8:42::/48", "77/80", "2001:db8:42::4d/128", "2001:db8:42::4d"},
		{"2001:db8:42::/48", "0/16", "2001:db8:42::/64", "2001:db8:42::1"},
		{"fd00::/8", "1/1", "fd80::/9", "fd80::1"},
		{"2001:db8:42:8000::/49", "1/15", "2001:db8:42:8001::/64", "2001:db8:42:8001::1"},
	} {
		network, node := netip.MustParsePrefix(c.network), addr.Bits{}
		if err := node.UnmarshalText([]byte(c.cn)); err != nil {
			t.Fatal(err)
		}
		p, err := addr.Subnet(network, node)
		if err != nil || p.String() != c.subnet {
			t.Errorf("%s %s: subnet %s, %v, want %s", c.network, c.cn, p, err, c.subnet)
		}
		a, err := addr.Address(network, node)
		if err != nil || a.String() != c.address {
			t.Errorf("%s %s: address %s, %v, want %s", c.network, c.cn, a, err, c.address)
		}
		if back, ok := addr.BitsIn(network, a, node.Len()); !ok || back != node {
			t.Errorf("%s in %s: bits %s, %v, want %s", a, c.network, back, ok, node)
		}
	}
	if _, err := addr.Subnet(netip.MustParsePrefix("2001:db8::/64"), bits(t, strings.Repeat("0", 65))); !errors.Is(err, addr.ErrTooLong) {
		t.Errorf("129 bits: %v", err)
	}
	if _, ok := addr.BitsIn(netip.MustParsePrefix("2001:db8::/32"), netip.MustParseAddr("2001:db9::"), 8); ok {
		t.Error("an address outside of the range has no node in it")
	}
}

func TestLocatorsAndLinkLocals(t *testing.T) {
	rng := addr.LocatorRange(sha256.Sum256([]byte("a CA")))
	if rng.Bits() != 64 || !netip.MustParsePrefix("fd00::/8").Contains(rng.Addr()) {
		t.Fatalf("locator range %s is not a unique local /64", rng)
	}
	if rng == addr.LocatorRange(sha256.Sum256([]byte("another"))) {
		t.Error("two CAs share a locator range")
	}
	id := addr.NodeIDFromUint64(0x0123456789abcdef)
	l := addr.Locator(rng, id)
	if back, ok := addr.NodeIDFromLocator(rng, l); !ok || back != id {
		t.Errorf("%s: id %s, %v", l, back, ok)
	}
	if back, ok := addr.NodeIDFromLinkLocal(id.LinkLocal()); !ok || back != id {
		t.Errorf("link-local address of %s", back)
	}
	if _, ok := addr.NodeIDFromLocator(rng, id.LinkLocal()); ok {
		t.Error("a link-local address is no locator")
	}
	if got := id.LinkLocal().String(); got != "fe80::123:4567:89ab:cdef" {
		t.Errorf("link-local %s", got)
	}
	if back, err := addr.ParseNodeID(id.String()); err != nil || back != id {
		t.Errorf("ParseNodeID(%s) = %s, %v", id, back, err)
	}
	for _, s := range []string{"", "0000000000000000", "12", "zz23456789abcdef"} {
		if _, err := addr.ParseNodeID(s); !errors.Is(err, addr.ErrNodeID) {
			t.Errorf("ParseNodeID(%q): %v", s, err)
		}
	}
}

func FuzzParseCN(f *testing.F) {
	for _, s := range []string{"5/16", "0/0", "1/128", "65536/16", "-1/3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if b, err := addr.ParseCN(s); err == nil && b.CN() != s {
			t.Fatalf("ParseCN(%q).CN() = %q", s, b.CN())
		}
	})
}

func FuzzParseBits(f *testing.F) {
	for _, s := range []string{"", "0", "0101", "2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if b, err := addr.ParseBits(s); err == nil && b.String() != s {
			t.Fatalf("ParseBits(%q).String() = %q", s, b)
		}
	})
}
