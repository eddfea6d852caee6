package names_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"re6st/protocols/addr"
	"re6st/protocols/names"
)

const sample = `# who is who
5/16   gateway
00000000000000b2	drone-7   # the new one

2001:db8:42:7::1 plc.north
`

func TestNodesAreNamedByPrefixIDAndAddress(t *testing.T) {
	table, err := names.Parse(sample)
	if err != nil || table.Len() != 3 {
		t.Fatalf("%d names, %v", table.Len(), err)
	}
	five, err := addr.ParseCN("5/16")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		id      uint64
		prefix  addr.Bits
		address string
		want    string
	}{
		{0xa1, five, "2001:db8:42:5::1", "gateway"},
		{0xb2, addr.Bits{}, "::2", "drone-7"},
		{0xb2, five, "::2", "drone-7"}, // the id first
		{0xc3, addr.Bits{}, "2001:db8:42:7::1", "plc.north"},
		{0xd4, addr.Bits{}, "::3", ""},
	} {
		if got, _ := table.Name(addr.NodeIDFromUint64(c.id), c.prefix, netip.MustParseAddr(c.address)); got != c.want {
			t.Errorf("%x %s %s is %q, want %q", c.id, c.prefix.CN(), c.address, got, c.want)
		}
	}
	for name, want := range map[string]string{"gateway": "5/16", "drone-7": "00000000000000b2", "plc.north": "2001:db8:42:7::1"} {
		if n, ok := table.Node(name); !ok || n.String() != want {
			t.Errorf("%s is %s, want %s", name, n, want)
		}
	}
	if _, ok := table.Node("nobody"); ok {
		t.Error("nobody is a node")
	}
}

func TestABadLineIsToldWithItsNumber(t *testing.T) {
	for text, want := range map[string]string{
		"5/16":                                "line 1: bad line: 1 words",
		"\n\n5/16 a b":                        "line 3: bad line: 3 words",
		"5/16 a\nfive b":                      `line 2: bad line: "five" is neither`,
		"10.0.0.1 a":                          "is neither",
		"fe80::1%eth0 a":                      "is neither",
		"0/0 a":                               "is neither",
		"0000000000000000 a":                  "is neither",
		"5/16 a\n5/16 b":                      "5/16 has the name a already",
		"5/16 a\n6/16 a":                      "a is the name of 5/16 already",
		"5/16 -a":                             "begins with",
		"5/16 a/b":                            "letters, digits",
		"5/16 é":                              "letters, digits",
		"5/16 00000000000000b2":               "could be taken for a node",
		"5/16 " + strings.Repeat("a", 64):     "64 characters, at most 63",
		"5/16 a # fine\n6/16 b # c\n7/16 # c": "line 3: bad line: 1 words",
	} {
		if _, err := names.Parse(text); !errors.Is(err, names.ErrLine) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestNoTableNamesNobody(t *testing.T) {
	var none *names.Table
	if _, ok := none.Name(addr.NodeIDFromUint64(1), addr.Bits{}, netip.Addr{}); ok || none.Len() != 0 {
		t.Error("it has names")
	}
	if _, ok := none.Node("a"); ok {
		t.Error("it has nodes")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sample)
	f.Add("5/16 a\n6/16 a")
	f.Fuzz(func(t *testing.T, text string) {
		table, err := names.Parse(text)
		if err != nil {
			return
		}
		table.IDs(func(id addr.NodeID, name string) {
			if n, ok := table.Node(name); !ok || n.ID != id {
				t.Errorf("%s is the name of %s, which has it not", name, id)
			}
		})
	})
}
