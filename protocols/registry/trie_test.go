package registry_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"re6st/protocols/addr"
	"re6st/protocols/registry"
)

// memory is the Rows of a test.
type memory map[addr.Bits]registry.RowState

func emptyTrie() memory { return memory{addr.Bits{}: registry.Free} }

func (m memory) sorted() []addr.Bits {
	var all []addr.Bits
	for b := range m {
		all = append(all, b)
	}
	slices.SortFunc(all, addr.Bits.Compare)
	return all
}

func (m memory) LongestFree(under addr.Bits, limit int) (best addr.Bits, ok bool, err error) {
	for _, b := range m.sorted() {
		if m[b] == registry.Free && b.Len() <= limit && b.HasPrefix(under) && (!ok || b.Len() > best.Len()) {
			best, ok = b, true
		}
	}
	return best, ok, nil
}

func (m memory) State(b addr.Bits) (registry.RowState, bool, error) {
	s, ok := m[b]
	return s, ok, nil
}

func (m memory) Set(b addr.Bits, s registry.RowState) error { m[b] = s; return nil }

func (m memory) Remove(b addr.Bits) error {
	if _, ok := m[b]; !ok {
		return fmt.Errorf("no row %s", b.CN())
	}
	delete(m, b)
	return nil
}

func (m memory) rows(state registry.RowState) (all []string) {
	for _, b := range m.sorted() {
		if m[b] == state {
			all = append(all, b.String())
		}
	}
	return all
}

// check fails unless the rows partition the space and no two free ones are siblings.
func (m memory) check(t testing.TB, merged bool) {
	t.Helper()
	all := m.sorted()
	weight := 0.0
	for i, b := range all {
		if i > 0 && b.HasPrefix(all[i-1]) {
			t.Fatalf("%s lies in %s", b, all[i-1])
		}
		weight += 1 / float64(uint64(1)<<b.Len())
		if merged && b.Len() > 0 && m[b] == registry.Free && m[b.Prefix(b.Len()-1).Append(!b.Bit(b.Len()-1))] == registry.Free {
			t.Fatalf("%s and its sibling are both free", b)
		}
	}
	if weight != 1 {
		t.Fatalf("the rows cover %v of the space: %v", weight, all)
	}
}

func allocate(t testing.TB, m memory, network int, community string, length int) addr.Bits {
	t.Helper()
	b, err := registry.Allocate(m, network, bits(t, community), length)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func bits(t testing.TB, s string) addr.Bits {
	t.Helper()
	b, err := addr.ParseBits(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The vector that was computed with the original.
func TestSevenNodesOfSixteenBits(t *testing.T) {
	m := emptyTrie()
	for i := range 7 {
		if got, want := allocate(t, m, 48, "", 16).CN(), fmt.Sprintf("%d/16", i); got != want {
			t.Errorf("node %d: %s, want %s", i, got, want)
		}
	}
	want := []string{"0000000000000111"}
	for n := 13; n >= 1; n-- {
		want = append(want, strings.Repeat("0", n-1)+"1")
	}
	got := m.rows(registry.Free)
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("free rows %v, want %v", got, want)
	}
	m.check(t, true)
}

func TestTheAllZeroHostIsReserved(t *testing.T) {
	m := emptyTrie()
	if got := allocate(t, m, 120, "", 8).CN(); got != "1/8" {
		t.Errorf("the first of /120 is %s, want 1/8", got)
	}
	if got := m.rows(registry.Reserved); !slices.Equal(got, []string{"00000000"}) {
		t.Errorf("reserved: %v", got)
	}
	if got := allocate(t, m, 120, "101", 5).String(); got != "10100001" {
		t.Errorf("the first of community 101 is %s", got)
	}
	if got := allocate(t, m, 119, "", 8).CN(); got != "2/8" {
		t.Errorf("a prefix that leaves host bits is %s, want 2/8 without a reservation", got)
	}
	m.check(t, true)
}

func TestLongestFreeRowIsTakenFirst(t *testing.T) {
	m := emptyTrie()
	allocate(t, m, 48, "", 4) // leaves 0001, 001, 01, 1
	if got := allocate(t, m, 48, "", 2).String(); got != "01" {
		t.Errorf("2 bits: %s, want 01: 001 and 0001 are too long", got)
	}
	if got := allocate(t, m, 48, "", 6).String(); got != "000100" {
		t.Errorf("6 bits: %s, want them out of 0001", got)
	}
	m.check(t, true)
}

func TestCommunityBitsStandInFront(t *testing.T) {
	m := emptyTrie()
	for _, want := range []string{"01000", "01001", "01010", "01011"} {
		if got := allocate(t, m, 48, "010", 2).String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if _, err := registry.Allocate(m, 48, bits(t, "010"), 2); !errors.Is(err, registry.ErrFull) {
		t.Errorf("a fifth in community 010: %v", err)
	}
	if got := allocate(t, m, 48, "011", 2).String(); got != "01100" {
		t.Errorf("the neighbor community: %s", got)
	}
	m.check(t, true)
}

func TestCommunityInsideAUsedRowIsFull(t *testing.T) {
	m := emptyTrie()
	allocate(t, m, 48, "", 1)
	if _, err := registry.Allocate(m, 48, bits(t, "01"), 4); !errors.Is(err, registry.ErrFull) {
		t.Errorf("a community in a used row: %v", err)
	}
}

func TestFullSpaceIsSaid(t *testing.T) {
	m := emptyTrie()
	for range 4 {
		allocate(t, m, 48, "", 2)
	}
	if _, err := registry.Allocate(m, 48, addr.Bits{}, 2); !errors.Is(err, registry.ErrFull) {
		t.Errorf("a fifth of 2 bits: %v", err)
	}
}

func TestLengthsThatDoNotFit(t *testing.T) {
	for _, n := range []int{-1, 0, 81} {
		if _, err := registry.Allocate(emptyTrie(), 48, addr.Bits{}, n); !errors.Is(err, registry.ErrLength) {
			t.Errorf("%d bits in a /48: %v", n, err)
		}
	}
	if _, err := registry.Allocate(emptyTrie(), 48, bits(t, "1"), 80); !errors.Is(err, registry.ErrLength) {
		t.Error("community and 80 bits in a /48 were accepted")
	}
}

func TestReleaseMergesAllTheWayUp(t *testing.T) {
	m := emptyTrie()
	a, b := allocate(t, m, 48, "", 16), allocate(t, m, 48, "", 16)
	for _, n := range []addr.Bits{a, b} {
		if err := registry.Release(m, n); err != nil {
			t.Fatal(err)
		}
		m.check(t, true)
	}
	if got := m.rows(registry.Free); !slices.Equal(got, []string{""}) {
		t.Errorf("rows after all is free: %v", got)
	}
	if err := registry.Release(m, a); err == nil {
		t.Error("a row was released twice")
	}
}

func TestRowsStayAPartition(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	m := emptyTrie()
	var live []addr.Bits
	for range 2000 {
		if len(live) > 0 && rng.IntN(2) == 0 {
			i := rng.IntN(len(live))
			if err := registry.Release(m, live[i]); err != nil {
				t.Fatal(err)
			}
			live = slices.Delete(live, i, i+1)
		} else if b, err := registry.Allocate(m, 118, bits(t, []string{"", "0", "10", "111"}[rng.IntN(4)]), 1+rng.IntN(7)); err == nil {
			live = append(live, b)
		} else if !errors.Is(err, registry.ErrFull) {
			t.Fatal(err)
		}
		m.check(t, false)
	}
	for _, b := range live {
		if err := registry.Release(m, b); err != nil {
			t.Fatal(err)
		}
	}
	if len(m) != 1+len(m.rows(registry.Reserved)) && len(m.rows(registry.Used)) != 0 {
		t.Errorf("rows left: %v", m.sorted())
	}
}
