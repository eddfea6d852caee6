package registry

import (
	"context"
	"database/sql"
	"errors"
	"io"

	"re6st/protocols/addr"
	"re6st/protocols/registry"
)

// Params is the newest version of the network parameters.
func (s *Store) Params(ctx context.Context) (*registry.SignedParams, error) {
	var signed []byte
	if err := s.db.QueryRowContext(ctx, newestParams).Scan(&signed); err != nil {
		return nil, unavailable(err)
	}
	return registry.VerifyParams(s.Authority(), signed)
}

// SetParams signs and stores the next version, with these changes.
func (s *Store) SetParams(ctx context.Context, rand io.Reader, changes []registry.Setting) (*registry.SignedParams, error) {
	return s.changeParams(ctx, rand, func(p registry.Params) (registry.Params, error) { return p.WithAll(changes) })
}

// SetRight signs and stores the next version, in which a node may announce this beside
// its own prefixes.
func (s *Store) SetRight(ctx context.Context, rand io.Reader, right registry.Right) (*registry.SignedParams, error) {
	return s.changeParams(ctx, rand, func(p registry.Params) (registry.Params, error) { return p.WithRight(right), nil })
}

func (s *Store) changeParams(ctx context.Context, rand io.Reader, change func(registry.Params) (registry.Params, error)) (next *registry.SignedParams, err error) {
	err = s.transact(ctx, func(tx *sql.Tx) error {
		var signed []byte
		if err := tx.QueryRowContext(ctx, newestParams).Scan(&signed); err != nil {
			return unavailable(err)
		}
		held, err := registry.VerifyParams(s.Authority(), signed)
		if err != nil {
			return err
		}
		p, err := change(held.Params)
		if err != nil {
			return err
		}
		p.Number++
		if next, err = registry.SignParams(rand, s.issuer, p); err != nil {
			return err
		}
		return insertParams(ctx, tx, next)
	})
	return next, err
}

const newestParams = "SELECT signed FROM params ORDER BY number DESC LIMIT 1"

func insertParams(ctx context.Context, tx *sql.Tx, p *registry.SignedParams) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO params VALUES (?, ?)", int64(p.Number), p.Bytes)
	return unavailable(err)
}

// rows is the trie of prefixes within a transaction: registry.Rows.
type rows struct {
	ctx context.Context
	tx  *sql.Tx
}

func (r rows) LongestFree(under addr.Bits, limit int) (addr.Bits, bool, error) {
	var bits string
	err := r.tx.QueryRowContext(r.ctx,
		"SELECT bits FROM prefix WHERE state = 'free' AND length(bits) <= ? AND substr(bits, 1, ?) = ? ORDER BY length(bits) DESC, bits LIMIT 1",
		limit, under.Len(), under.String()).Scan(&bits)
	if errors.Is(err, sql.ErrNoRows) {
		return addr.Bits{}, false, nil
	}
	if err != nil {
		return addr.Bits{}, false, unavailable(err)
	}
	row, err := addr.ParseBits(bits)
	return row, err == nil, err
}

func (r rows) State(row addr.Bits) (state registry.RowState, ok bool, err error) {
	err = r.tx.QueryRowContext(r.ctx, "SELECT state FROM prefix WHERE bits = ?", row.String()).Scan(&state)
	if errors.Is(err, sql.ErrNoRows) {
		return "", false, nil
	}
	return state, err == nil, unavailable(err)
}

func (r rows) Set(row addr.Bits, state registry.RowState) error {
	_, err := r.tx.ExecContext(r.ctx, "INSERT INTO prefix VALUES (?, ?) ON CONFLICT DO UPDATE SET state = excluded.state", row.String(), string(state))
	return unavailable(err)
}

func (r rows) Remove(row addr.Bits) error {
	_, err := r.tx.ExecContext(r.ctx, "DELETE FROM prefix WHERE bits = ?", row.String())
	return unavailable(err)
}
