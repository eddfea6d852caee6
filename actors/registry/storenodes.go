package registry

import (
	"context"
	"crypto"
	"crypto/x509"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/cert"
	"re6st/protocols/registry"
)

// DefaultPrefixLength is the bits of a node's prefix: a /64 in a /48 network.
const DefaultPrefixLength = 16

// Tokens live for DefaultTokenLife if nobody says otherwise, and are kept for
// tokenMemory longer, so that who comes late learns why.
const (
	DefaultTokenLife = 24 * time.Hour
	tokenMemory      = 7 * 24 * time.Hour
)

// grace is how long the prefix of an expired certificate is kept for its node.
const grace = 100 * 24 * time.Hour

// maxTokens is the most that one call makes.
const maxTokens = 10000

// Node is what the registry knows of a node.
type Node struct {
	Prefix    addr.Bits
	ID        addr.NodeID
	IPv4      netip.Prefix // its share, as its newest certificate has it; not valid: none
	Joined    time.Time
	Expires   time.Time // its certificate
	Seen      time.Time // its last bootstrap; zero: never
	Static    registry.StaticKey
	Endpoints []netip.AddrPort
	TLSPort   uint16    // 0: not known
	Revoked   time.Time // zero: it is not
	Reason    cert.Reason
}

// NewTokens makes n one-shot tokens for prefixes of length bits, valid until
// expires.
func (s *Store) NewTokens(ctx context.Context, rand io.Reader, n, length int, expires time.Time) ([]registry.Token, error) {
	if n < 1 || n > maxTokens {
		return nil, fmt.Errorf("%d tokens at once; 1 to %d", n, maxTokens)
	}
	if room := addr.MaxBits - s.issuer.Network.Bits(); length < 1 || length > room {
		return nil, fmt.Errorf("%w: %d bits in %s; 1 to %d", registry.ErrLength, length, s.issuer.Network, room)
	}
	tokens := make([]registry.Token, n)
	err := s.transact(ctx, func(tx *sql.Tx) error {
		for i := range tokens {
			t, err := registry.NewToken(rand)
			if err != nil {
				return err
			}
			hash := t.Hash()
			if _, err := tx.ExecContext(ctx, "INSERT INTO token (hash, prefix_length, expires) VALUES (?, ?, ?)", hash[:], length, expires.Unix()); err != nil {
				return unavailable(err)
			}
			tokens[i] = t
		}
		return nil
	})
	return tokens, err
}

// Join redeems a token: it allocates a prefix and an id, and issues the
// certificate of key, valid for lifetime. The same token and key get the same
// certificate again.
func (s *Store) Join(ctx context.Context, rand io.Reader, token registry.Token, key crypto.PublicKey, static registry.StaticKey, now time.Time, lifetime time.Duration) (der []byte, err error) {
	hash := token.Hash()
	keyHash, err := cert.KeyFingerprint(key)
	if err != nil {
		return nil, err
	}
	err = s.transact(ctx, func(tx *sql.Tx) error {
		if err := allowKeys(ctx, tx, keyHash, static); err != nil {
			return err
		}
		var length int
		if der, length, err = redeemed(ctx, tx, hash, keyHash, now); err != nil || der != nil {
			return err
		}
		prefix, err := registry.Allocate(rows{ctx, tx}, s.issuer.Network.Bits(), addr.Bits{}, length)
		if err != nil {
			return err
		}
		id, err := newNodeID(ctx, tx, rand)
		if err != nil {
			return err
		}
		share, err := s.allotIPv4(ctx, tx, prefix, sql.NullInt64{})
		if err != nil {
			return err
		}
		if der, err = s.issuer.IssueNodeIPv4(rand, key, prefix, id, share.prefix, now, lifetime); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO node (id, prefix, certificate, static, joined, expires, ipv4) VALUES (?, ?, ?, ?, ?, ?, ?)",
			id[:], prefix.String(), der, static[:], now.Unix(), now.Add(lifetime).Unix(), share.number); err != nil {
			return unavailable(err)
		}
		_, err = tx.ExecContext(ctx, "UPDATE token SET key_hash = ?, node = ? WHERE hash = ?", keyHash[:], id[:], hash[:])
		return unavailable(err)
	})
	if err != nil {
		return nil, err
	}
	return der, nil
}

// redeemed is the certificate that this key got for the token before, or the
// prefix length to allocate.
func redeemed(ctx context.Context, tx *sql.Tx, hash, keyHash [32]byte, now time.Time) (der []byte, length int, err error) {
	var expires int64
	var usedBy []byte
	err = tx.QueryRowContext(ctx,
		"SELECT token.prefix_length, token.expires, token.key_hash, node.certificate FROM token LEFT JOIN node ON node.id = token.node WHERE hash = ?", hash[:]).
		Scan(&length, &expires, &usedBy, &der)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, 0, registry.ErrTokenUnknown
	case err != nil:
		return nil, 0, unavailable(err)
	case now.Unix() > expires:
		return nil, 0, fmt.Errorf("%w: since %s", registry.ErrTokenExpired, time.Unix(expires, 0).UTC().Format(time.RFC3339))
	case usedBy == nil:
		return nil, length, nil
	case string(usedBy) != string(keyHash[:]) || der == nil:
		return nil, 0, fmt.Errorf("%w by another key", registry.ErrTokenUsed)
	}
	return der, length, nil
}

// newNodeID draws ids until one is free; with 64 bits the first is.
func newNodeID(ctx context.Context, tx *sql.Tx, rand io.Reader) (id addr.NodeID, err error) {
	for {
		if _, err := io.ReadFull(rand, id[:]); err != nil {
			return id, err
		}
		var n int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM node WHERE id = ?", id[:]).Scan(&n); err != nil {
			return id, unavailable(err)
		}
		if n == 0 && !id.IsZero() {
			return id, nil
		}
	}
}

// Seen notes where a node can be reached. A node that is not in the database is
// ErrNotMember.
func (s *Store) Seen(ctx context.Context, p registry.Peer, boot registry.BootID, now time.Time) error {
	endpoints, err := json.Marshal(p.Endpoints)
	if err != nil {
		return err
	}
	r, err := s.db.ExecContext(ctx, "UPDATE node SET static = ?, endpoints = ?, tls_port = ?, boot_id = ?, seen = ? WHERE id = ? AND prefix = ?",
		p.Static[:], string(endpoints), p.TLSPort, boot[:], now.Unix(), p.ID[:], p.Prefix.String())
	if err != nil {
		return unavailable(err)
	}
	if n, err := r.RowsAffected(); err != nil || n == 0 {
		return errors.Join(registry.ErrNotMember, err)
	}
	return nil
}

// Nodes lists all nodes, in the order of their prefixes.
func (s *Store) Nodes(ctx context.Context) (nodes []Node, err error) {
	found, err := s.db.QueryContext(ctx, "SELECT prefix, id, joined, expires, seen, static, endpoints, tls_port, revoked, reason, certificate FROM node ORDER BY prefix")
	if err != nil {
		return nil, unavailable(err)
	}
	defer found.Close()
	for found.Next() {
		n, err := scanNode(found)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, n)
	}
	return nodes, unavailable(found.Err())
}

func scanNode(row *sql.Rows) (n Node, err error) {
	var prefix, endpoints string
	var id, static, certificate []byte
	var joined, expires int64
	var seen, revoked, reason sql.NullInt64
	if err := row.Scan(&prefix, &id, &joined, &expires, &seen, &static, &endpoints, &n.TLSPort, &revoked, &reason, &certificate); err != nil {
		return n, unavailable(err)
	}
	copy(n.ID[:], id)
	copy(n.Static[:], static)
	n.Joined, n.Expires = time.Unix(joined, 0).UTC(), time.Unix(expires, 0).UTC()
	if seen.Valid {
		n.Seen = time.Unix(seen.Int64, 0).UTC()
	}
	if revoked.Valid {
		n.Revoked, n.Reason = time.Unix(revoked.Int64, 0).UTC(), cert.Reason(reason.Int64)
	}
	if n.Prefix, err = addr.ParseBits(prefix); err != nil {
		return n, err
	}
	c, err := x509.ParseCertificate(certificate)
	if err != nil {
		return n, err
	}
	if n.IPv4, err = cert.IPv4Share(c); err != nil {
		return n, err
	}
	return n, json.Unmarshal([]byte(endpoints), &n.Endpoints)
}

// Expire forgets tokens that ended a week ago, nodes whose certificate ended 100 days
// ago, and revoked nodes whose last certificate has ended; their prefixes are free
// again. It returns these nodes.
func (s *Store) Expire(ctx context.Context, now time.Time) (gone []addr.NodeID, err error) {
	err = s.transact(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM token WHERE expires < ?", now.Add(-tokenMemory).Unix()); err != nil {
			return unavailable(err)
		}
		if err := expireRevocations(ctx, tx, now); err != nil {
			return err
		}
		old, err := expired(ctx, tx, now)
		if err != nil {
			return err
		}
		for id, prefix := range old {
			if err := registry.Release(rows{ctx, tx}, prefix); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, "DELETE FROM node WHERE id = ?", id[:]); err != nil {
				return unavailable(err)
			}
			gone = append(gone, id)
		}
		return nil
	})
	return gone, err
}

func expired(ctx context.Context, tx *sql.Tx, now time.Time) (map[addr.NodeID]addr.Bits, error) {
	found, err := tx.QueryContext(ctx, "SELECT id, prefix FROM node WHERE expires < ? OR revoked IS NOT NULL AND expires < ?",
		now.Add(-grace).Unix(), now.Unix())
	if err != nil {
		return nil, unavailable(err)
	}
	defer found.Close()
	old := map[addr.NodeID]addr.Bits{}
	for found.Next() {
		var id []byte
		var prefix string
		if err := found.Scan(&id, &prefix); err != nil {
			return nil, unavailable(err)
		}
		if old[addr.NodeID(id)], err = addr.ParseBits(prefix); err != nil {
			return nil, err
		}
	}
	return old, unavailable(found.Err())
}
