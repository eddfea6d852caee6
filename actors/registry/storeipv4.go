package registry

import (
	"context"
	"database/sql"
	"net/netip"

	"re6st/protocols/addr"
	"re6st/protocols/registry"
)

// allotted is a node's share of the network's IPv4, and its number, which stays the node's
// while it is a member.
type allotted struct {
	prefix netip.Prefix // not valid: it has none
	number sql.NullInt64
}

// allotIPv4 is the share of a node that holds a number already, or not yet. It is, where
// that is free, the one of the value of the node's prefix: 10.42.5.0/24 for 5/16. A range
// that is full leaves a node without.
func (s *Store) allotIPv4(ctx context.Context, tx *sql.Tx, node addr.Bits, held sql.NullInt64) (allotted, error) {
	var signed []byte
	if err := tx.QueryRowContext(ctx, newestParams).Scan(&signed); err != nil {
		return allotted{}, unavailable(err)
	}
	p, err := registry.VerifyParams(s.Authority(), signed)
	if err != nil {
		return allotted{}, err
	}
	if !p.IPv4.IsValid() {
		return allotted{number: held}, nil
	}
	shares := int64(addr.Shares(p.IPv4, p.IPv4Share))
	if !held.Valid || held.Int64 >= shares {
		if held, err = freeNumber(ctx, tx, node, shares); err != nil {
			return allotted{}, err
		}
	}
	if !held.Valid {
		return allotted{}, nil
	}
	return allotted{addr.Share(p.IPv4, p.IPv4Share, uint32(held.Int64)), held}, nil
}

// freeNumber is one from 1 to shares-1 that no node has; not valid where all are taken.
func freeNumber(ctx context.Context, tx *sql.Tx, node addr.Bits, shares int64) (n sql.NullInt64, err error) {
	if v, ok := node.Number(); ok && v > 0 && int64(v) < shares {
		var taken bool
		if err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM node WHERE ipv4 = ?)", int64(v)).Scan(&taken); err != nil {
			return n, unavailable(err)
		}
		if !taken {
			return sql.NullInt64{Int64: int64(v), Valid: true}, nil
		}
	}
	// From the end, which is the last to be somebody's value.
	const highest = `SELECT max(n) FROM (SELECT ?1 - 1 AS n UNION SELECT ipv4 - 1 FROM node WHERE ipv4 IS NOT NULL)
		WHERE n > 0 AND n < ?1 AND NOT EXISTS (SELECT 1 FROM node WHERE ipv4 = n)`
	return n, unavailable(tx.QueryRowContext(ctx, highest, shares).Scan(&n))
}
