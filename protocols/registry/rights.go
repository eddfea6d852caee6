package registry

import (
	"fmt"
	"net/netip"
	"slices"

	"re6st/protocols/addr"
)

// Origins is how nodes take routes whose origin no claim proves.
type Origins string

// The ways.
const (
	OriginsOff     Origins = "off"     // as any other
	OriginsPrefer  Origins = "prefer"  // where there is no proven one, and none contradicts it
	OriginsRequire Origins = "require" // not at all
)

// Check is ErrParams for what is none of the ways.
func (o Origins) Check() error {
	if o != OriginsOff && o != OriginsPrefer && o != OriginsRequire {
		return fmt.Errorf("%w: origins is %q; it must be %q, %q or %q", ErrParams, o, OriginsOff, OriginsPrefer, OriginsRequire)
	}
	return nil
}

// Right is what a node may announce beside its own prefixes.
type Right struct {
	Node    addr.NodeID    `json:"node"`
	Gateway bool           `json:"gateway,omitempty"` // the way out of the mesh: ::/0 and 0.0.0.0/0
	Import  []netip.Prefix `json:"import,omitempty"`  // prefixes that it has from elsewhere, and what lies in them
}

// Limits of rights: the parameters have MaxParams bytes.
const (
	MaxRights  = 64
	MaxImports = 16 // of one node
)

// IsZero tells whether a right gives nothing.
func (r Right) IsZero() bool { return !r.Gateway && len(r.Import) == 0 }

// RightOf is what a node is given; nothing where no right names it.
func (p Params) RightOf(id addr.NodeID) Right {
	for _, r := range p.Rights {
		if r.Node == id {
			return r
		}
	}
	return Right{Node: id}
}

// WithRight is p with what a node is given replaced, or taken away where that is
// nothing; not checked yet.
func (p Params) WithRight(right Right) Params {
	p.Rights = slices.DeleteFunc(slices.Clone(p.Rights), func(r Right) bool { return r.Node == right.Node })
	if !right.IsZero() {
		p.Rights = append(p.Rights, right)
	}
	slices.SortFunc(p.Rights, func(a, b Right) int { return a.Node.Compare(b.Node) })
	return p
}

func (p Params) checkRights() error {
	if err := p.Origins.Check(); err != nil {
		return err
	}
	if n := len(p.Rights); n > MaxRights {
		return fmt.Errorf("%w: rights of %d nodes; at most %d", ErrParams, n, MaxRights)
	}
	seen := map[addr.NodeID]bool{}
	for _, r := range p.Rights {
		switch {
		case r.Node.IsZero() || seen[r.Node]:
			return fmt.Errorf("%w: rights of node %s stand there twice, or it is none", ErrParams, r.Node)
		case r.IsZero():
			return fmt.Errorf("%w: the right of node %s gives nothing; leave it out", ErrParams, r.Node)
		case len(r.Import) > MaxImports:
			return fmt.Errorf("%w: node %s may import %d prefixes; at most %d", ErrParams, r.Node, len(r.Import), MaxImports)
		}
		seen[r.Node] = true
		for _, i := range r.Import {
			if !i.IsValid() || i != i.Masked() || i.Bits() == 0 || i.Addr().Is4In6() {
				return fmt.Errorf("%w: node %s may import %q, which is no prefix without host bits; the default route is what a gateway has", ErrParams, r.Node, i)
			}
		}
	}
	return nil
}
