package registry

import (
	"fmt"

	"re6st/protocols/addr"
)

// RowState is what a row of the trie is.
type RowState string

// The states of a row. A reserved one is the address of the network or of a
// community itself and is never given to a node.
const (
	Free     RowState = "free"
	Used     RowState = "used"
	Reserved RowState = "reserved"
)

// Rows is the trie as its storage holds it: the rows partition the space, so
// that each address has exactly one row that is a prefix of it. At first there
// is one, the empty one, Free.
type Rows interface {
	// LongestFree is the longest Free row that starts with under and has at most
	// limit bits; of several the first in order.
	LongestFree(under addr.Bits, limit int) (row addr.Bits, ok bool, err error)
	// State of exactly this row; not ok where there is none.
	State(row addr.Bits) (state RowState, ok bool, err error)
	// Set adds the row or changes its state.
	Set(row addr.Bits, state RowState) error
	// Remove takes away a row that is there.
	Remove(row addr.Bits) error
}

// Allocate takes a prefix of length bits behind community (empty for a network
// without) out of the rows. network is the length of the network. It is ErrFull
// when nothing is left, ErrLength when the sum exceeds an address. What it did
// before an error has to be rolled back.
func Allocate(rows Rows, network int, community addr.Bits, length int) (addr.Bits, error) {
	want := community.Len() + length
	if length < 1 || network+want > addr.MaxBits {
		return addr.Bits{}, fmt.Errorf("%w: %d bits behind a community of %d in a /%d; use 1 to %d",
			ErrLength, length, community.Len(), network, addr.MaxBits-network-community.Len())
	}
	for {
		row, err := findFree(rows, community, want)
		if err != nil {
			return addr.Bits{}, err
		}
		node, err := split(rows, row, community, want)
		if err != nil {
			return addr.Bits{}, err
		}
		if network+want == addr.MaxBits && allZeroFrom(node, community.Len()) {
			if err := rows.Set(node, Reserved); err != nil {
				return addr.Bits{}, err
			}
			continue
		}
		return node, rows.Set(node, Used)
	}
}

// Release makes a used row free and merges siblings that are both free.
func Release(rows Rows, node addr.Bits) error {
	if state, ok, err := rows.State(node); err != nil {
		return err
	} else if !ok || state != Used {
		return fmt.Errorf("release %s: not a used row", node.CN())
	}
	for {
		sibling, merges, err := freeSibling(rows, node)
		if err != nil {
			return err
		}
		if !merges {
			return rows.Set(node, Free)
		}
		for _, half := range []addr.Bits{node, sibling} {
			if err := rows.Remove(half); err != nil {
				return err
			}
		}
		node = node.Prefix(node.Len() - 1)
		if err := rows.Set(node, Free); err != nil {
			return err
		}
	}
}

func freeSibling(rows Rows, node addr.Bits) (sibling addr.Bits, ok bool, err error) {
	if node.Len() == 0 {
		return sibling, false, nil
	}
	last := node.Len() - 1
	sibling = node.Prefix(last).Append(!node.Bit(last))
	state, ok, err := rows.State(sibling)
	return sibling, ok && state == Free, err
}

func findFree(rows Rows, community addr.Bits, want int) (addr.Bits, error) {
	row, ok, err := rows.LongestFree(community, want)
	if err != nil || ok {
		return row, err
	}
	for n := community.Len(); n >= 0; n-- {
		state, ok, err := rows.State(community.Prefix(n))
		switch {
		case err != nil:
			return row, err
		case ok && state == Free:
			return community.Prefix(n), nil
		case ok:
			return row, fmt.Errorf("%w: %s, which holds community %s, is %s", ErrFull, community.Prefix(n).CN(), community.CN(), state)
		}
	}
	return row, fmt.Errorf("%w: none of %d bits under %s", ErrFull, want, community.CN())
}

// split cuts row along the community's bits, then zeros, down to want bits. The
// other halves become free rows; the result is not a row yet.
func split(rows Rows, row, community addr.Bits, want int) (addr.Bits, error) {
	if err := rows.Remove(row); err != nil {
		return row, err
	}
	for row.Len() < want {
		one := row.Len() < community.Len() && community.Bit(row.Len())
		if err := rows.Set(row.Append(!one), Free); err != nil {
			return row, err
		}
		row = row.Append(one)
	}
	return row, nil
}

func allZeroFrom(b addr.Bits, i int) bool {
	for ; i < b.Len(); i++ {
		if b.Bit(i) {
			return false
		}
	}
	return true
}
