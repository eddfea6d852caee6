package lab

import (
	"slices"
	"testing"
	"time"
)

func TestAPlanFollowsFromItsSeed(t *testing.T) {
	a, b := planStrikes(1, 10, 10*time.Minute), planStrikes(1, 10, 10*time.Minute)
	if !slices.Equal(a, b) {
		t.Error("one seed made two plans")
	}
	if slices.Equal(a, planStrikes(2, 10, 10*time.Minute)) {
		t.Error("two seeds made one plan")
	}
}

func TestAPlanHasStrikesOfAllKindsInTheirOrder(t *testing.T) {
	seen := map[strikeKind]int{}
	plan := planStrikes(3, 10, 10*time.Minute)
	for i, s := range plan {
		seen[s.kind]++
		if s.at >= 10*time.Minute || i > 0 && s.at < plan[i-1].at || s.node < 0 || s.node >= 10 {
			t.Fatalf("strike %d: %+v", i, s)
		}
		for _, m := range menu {
			if m.kind == s.kind && (s.span < m.least || s.span > m.most) {
				t.Errorf("%+v lasts from %v to %v", s, m.least, m.most)
			}
		}
	}
	for _, m := range menu {
		if seen[m.kind] == 0 {
			t.Errorf("none of the %d strikes is of kind %s", len(plan), m.kind)
		}
	}
}
