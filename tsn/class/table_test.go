package class_test

import (
	"errors"
	"net/netip"
	"testing"

	"re6st/tsn/class"
)

var (
	general = class.Class{ID: class.General, Name: "general", Range: netip.MustParsePrefix("2001:db8:42::/48")}
	safety  = class.Class{ID: 3, Name: "safety", Range: netip.MustParsePrefix("2001:db8:45::/48"), DSCP: 46}
)

func TestTheRangeTellsTheClass(t *testing.T) {
	table, err := class.NewTable([]class.Class{general, safety})
	if err != nil {
		t.Fatal(err)
	}
	for a, want := range map[string]string{"2001:db8:42:5::1": "general", "2001:db8:45:5::1": "safety", "2001:db8:46::1": ""} {
		if c, ok := table.Classify(netip.MustParseAddr(a)); c.Name != want || ok != (want != "") {
			t.Errorf("%s: %q, want %q", a, c.Name, want)
		}
	}
}

func TestBadTablesAreRefused(t *testing.T) {
	with := func(change func(*class.Class)) []class.Class {
		c := safety
		change(&c)
		return []class.Class{general, c}
	}
	for name, classes := range map[string][]class.Class{
		"no general":  {safety},
		"same id":     with(func(c *class.Class) { c.ID = class.General }),
		"same name":   with(func(c *class.Class) { c.Name = "general" }),
		"overlap":     with(func(c *class.Class) { c.Range = netip.MustParsePrefix("2001:db8::/32") }),
		"host bits":   with(func(c *class.Class) { c.Range = netip.MustParsePrefix("2001:db8:45::1/48") }),
		"IPv4":        with(func(c *class.Class) { c.Range = netip.MustParsePrefix("10.0.0.0/8") }),
		"no range":    with(func(c *class.Class) { c.Range = netip.Prefix{} }),
		"no name":     with(func(c *class.Class) { c.Name = "" }),
		"DSCP of 64":  with(func(c *class.Class) { c.DSCP = 64 }),
		"too many":    make([]class.Class, class.MaxClasses+1),
		"none at all": nil,
	} {
		if _, err := class.NewTable(classes); !errors.Is(err, class.ErrTable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
