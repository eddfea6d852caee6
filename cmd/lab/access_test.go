package lab

import (
	"net/netip"
	"strings"
	"testing"
)

func TestAccessIsReadFromFlagsAndScenarios(t *testing.T) {
	var f Families
	if err := f.Set("v6,n1=v4,n2=both"); err != nil || f.String() != "v6,n1=v4,n2=both" && f.String() != "n1=v4,n2=both,v6" {
		t.Errorf("%q, %v", f.String(), err)
	}
	for name, want := range map[string]int{"n1": 1, "n2": 2, "n3": 1, registryName: 2} {
		if got := f.limit(name, placeOf(Full, 1)).addresses(); len(got) != want || name == "n1" && !got[0].Is4() || name == "n3" && got[0].Is4() {
			t.Errorf("%s has %v", name, got)
		}
	}
	for _, bad := range []string{"v5", "n0=v4", "registry=v4", "n1="} {
		if err := (&Families{}).Set(bad); err == nil || !strings.Contains(err.Error(), familyUsage) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	s, err := ParseScenario("x", strings.NewReader("network full 3\nunderlay v4 n1\nuplinks n2\nuplink n2 1 silent"), 0)
	if err != nil || s.Access.Families["n1"] != IPv4 || s.Access.Uplinks[0] != "n2" || s.Steps[0].String() != "uplink n2 1 silent" {
		t.Errorf("%+v, %v", s, err)
	}
	for _, bad := range []string{"underlay", "underlay v5 n1", "uplinks", "uplink n1", "uplink n1 3 up", "uplink n1 1 off", "kill n1\nuplinks n1"} {
		if _, err := ParseScenario("x", strings.NewReader(bad), 0); err == nil {
			t.Errorf("%q is a scenario", bad)
		}
	}
	for want, a := range map[string]Access{
		"n9":         {Uplinks: []string{"n9"}},
		"of n9":      {Families: Families{"n9": IPv4}},
		"needs IPv4": {Families: Families{everyName: IPv6}, NATs: NATs{"n1": RandomPorts}},
		"one uplink": {Uplinks: []string{"n1"}, NATs: NATs{"n1": RandomPorts}},
	} {
		if err := a.check(Full, 4); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v; want it to tell %q", a, err, want)
		}
	}
}

func TestASecondUplinkIsLikeTheFirst(t *testing.T) {
	f := newFirewall(Line, mustEdges(t, Line, 2, 0), nodeNames(2))
	f.seconds["n1"], f.quiet["n1-2"] = true, true
	rules := f.rules()
	for _, want := range []string{`"n1" . "n2", "n1-2" . "n2", "n2" . "n1", "n2" . "n1-2"`, `iifname "n1-2" drop`, `oifname "n1-2" drop`} {
		if !strings.Contains(rules, want) {
			t.Errorf("rules\n%s\nlack %s", rules, want)
		}
	}
	a, b := placeOf(Full, 1), placeOf(Full, secondIndex+1)
	for _, p := range []netip.Prefix{b.addr4, b.addr6} {
		if p.Overlaps(a.addr4) || p.Overlaps(a.addr6) {
			t.Errorf("%v is taken", p)
		}
	}
}
