package registry

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math/big"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/cert"
	"re6st/protocols/registry"
)

// CRL is the newest revocation list; nil where nothing was ever revoked.
func (s *Store) CRL(ctx context.Context) (*cert.RevocationList, error) {
	var signed []byte
	err := s.db.QueryRowContext(ctx, newestCRL).Scan(&signed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, unavailable(err)
	}
	return s.Authority().ParseRevocations(signed)
}

const newestCRL = "SELECT signed FROM crl ORDER BY number DESC LIMIT 1"

// Held are the numbers of the newest documents.
func (s *Store) Held(ctx context.Context) (h registry.Held, err error) {
	err = s.db.QueryRowContext(ctx, "SELECT (SELECT ifnull(max(number), 0) FROM params), (SELECT ifnull(max(number), 0) FROM crl)").
		Scan(&h.Params, &h.CRL)
	return h, unavailable(err)
}

// Generation changes with each transaction of another process.
func (s *Store) Generation(ctx context.Context) (n int64, err error) {
	err = s.db.QueryRowContext(ctx, "PRAGMA data_version").Scan(&n)
	return n, unavailable(err)
}

// Revoke takes a node out of the network for good: all its certificates go on the
// list, and its keys get none any more. Its prefix is free again when the last of
// them has ended. ErrNoNode where there is none; one that is revoked already is
// registry.ErrRevoked.
func (s *Store) Revoke(ctx context.Context, rand io.Reader, id addr.NodeID, reason cert.Reason, now time.Time) (list *cert.RevocationList, err error) {
	if reason == cert.Superseded {
		return nil, fmt.Errorf("%w %q for a node: that is for one of its certificates", cert.ErrReason, reason)
	}
	err = s.transact(ctx, func(tx *sql.Tx) error {
		n, err := readNode(ctx, tx, id)
		if err != nil {
			return err
		}
		all, err := n.certificates(ctx, tx)
		if err != nil {
			return err
		}
		last := now
		for _, c := range all {
			if c.expires.After(last) {
				last = c.expires
			}
			if err := c.revoke(ctx, tx, id, reason, now); err != nil {
				return err
			}
			if err := forbidKey(ctx, tx, c.keyHash, c.expires); err != nil {
				return err
			}
		}
		if err := forbidKey(ctx, tx, staticHash(n.static), last); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE node SET revoked = ?, reason = ?, expires = ? WHERE id = ?", now.Unix(), int(reason), last.Unix(), id[:]); err != nil {
			return unavailable(err)
		}
		list, err = s.signCRL(ctx, tx, rand, now)
		return err
	})
	return list, err
}

// signCRL makes and stores the next version of the list.
func (s *Store) signCRL(ctx context.Context, tx *sql.Tx, rand io.Reader, now time.Time) (*cert.RevocationList, error) {
	var number uint64
	if err := tx.QueryRowContext(ctx, "SELECT ifnull(max(number), 0) + 1 FROM crl").Scan(&number); err != nil {
		return nil, unavailable(err)
	}
	entries, err := revocations(ctx, tx)
	if err != nil {
		return nil, err
	}
	list, err := s.issuer.SignRevocations(rand, number, entries, now)
	if err != nil {
		return nil, err
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM crl"); err != nil {
		return nil, unavailable(err)
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO crl VALUES (?, ?)", int64(list.Number), list.Bytes)
	return list, unavailable(err)
}

func revocations(ctx context.Context, tx *sql.Tx) (entries []cert.Revocation, err error) {
	found, err := tx.QueryContext(ctx, "SELECT serial, node, time, reason FROM revocation ORDER BY time, serial")
	if err != nil {
		return nil, unavailable(err)
	}
	defer found.Close()
	for found.Next() {
		var serial, node []byte
		var at int64
		var reason int
		if err := found.Scan(&serial, &node, &at, &reason); err != nil {
			return nil, unavailable(err)
		}
		entries = append(entries, cert.Revocation{
			Serial: new(big.Int).SetBytes(serial), Node: addr.NodeID(node), Time: time.Unix(at, 0).UTC(), Reason: cert.Reason(reason),
		})
	}
	return entries, unavailable(found.Err())
}

// expireRevocations forgets what concerns certificates that ended, a while ago so
// that a node whose clock is late has no use for them either.
func expireRevocations(ctx context.Context, tx *sql.Tx, now time.Time) error {
	for _, table := range []string{"former", "revocation", "revoked_key"} {
		if _, err := tx.ExecContext(ctx, "DELETE FROM "+table+" WHERE expires < ?", now.Add(-registry.MaxSkew).Unix()); err != nil {
			return unavailable(err)
		}
	}
	return nil
}

// nodeRow is what renewal and revocation need of a node.
type nodeRow struct {
	id          addr.NodeID
	prefix      string
	certificate *x509.Certificate
	static      registry.StaticKey
	ipv4        sql.NullInt64 // the number of its share
}

// readNode finds a node: ErrNoNode, or registry.ErrRevoked where it was revoked.
func readNode(ctx context.Context, tx *sql.Tx, id addr.NodeID) (n nodeRow, err error) {
	var der, static []byte
	var revoked sql.NullInt64
	err = tx.QueryRowContext(ctx, "SELECT prefix, certificate, static, revoked, ipv4 FROM node WHERE id = ?", id[:]).Scan(&n.prefix, &der, &static, &revoked, &n.ipv4)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return n, fmt.Errorf("%w %s", ErrNoNode, id)
	case err != nil:
		return n, unavailable(err)
	case revoked.Valid:
		return n, fmt.Errorf("%w: node %s, at %s", registry.ErrRevoked, id, time.Unix(revoked.Int64, 0).UTC().Format(time.RFC3339))
	}
	n.id = id
	copy(n.static[:], static)
	n.certificate, err = x509.ParseCertificate(der)
	return n, err
}

// issued is a certificate that was issued to a node.
type issued struct {
	serial  []byte
	keyHash [sha256.Size]byte
	expires time.Time
}

func issuedAs(c *x509.Certificate) (issued, error) {
	hash, err := cert.KeyFingerprint(c.PublicKey)
	return issued{c.SerialNumber.Bytes(), hash, c.NotAfter}, err
}

// certificates are all that a node has had and that may count yet.
func (n nodeRow) certificates(ctx context.Context, tx *sql.Tx) ([]issued, error) {
	present, err := issuedAs(n.certificate)
	if err != nil {
		return nil, err
	}
	all := []issued{present}
	found, err := tx.QueryContext(ctx, "SELECT serial, key_hash, expires FROM former WHERE node = ? ORDER BY serial", n.id[:])
	if err != nil {
		return nil, unavailable(err)
	}
	defer found.Close()
	for found.Next() {
		var c issued
		var hash []byte
		var expires int64
		if err := found.Scan(&c.serial, &hash, &expires); err != nil {
			return nil, unavailable(err)
		}
		copy(c.keyHash[:], hash)
		c.expires = time.Unix(expires, 0)
		all = append(all, c)
	}
	return all, unavailable(found.Err())
}

// revoke puts a certificate on the next list, with another reason where it is on it.
func (c issued) revoke(ctx context.Context, tx *sql.Tx, id addr.NodeID, reason cert.Reason, now time.Time) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO revocation VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET time = excluded.time, reason = excluded.reason",
		c.serial, id[:], now.Unix(), int(reason), c.expires.Unix())
	return unavailable(err)
}

func staticHash(k registry.StaticKey) [sha256.Size]byte { return sha256.Sum256(k[:]) }

// forbidKey has no certificate issued to a key any more.
func forbidKey(ctx context.Context, tx *sql.Tx, hash [sha256.Size]byte, until time.Time) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO revoked_key VALUES (?, ?) ON CONFLICT DO UPDATE SET expires = max(expires, excluded.expires)", hash[:], until.Unix())
	return unavailable(err)
}

// allowKeys refuses the keys of a revoked node with registry.ErrRevoked.
func allowKeys(ctx context.Context, tx *sql.Tx, key [sha256.Size]byte, static registry.StaticKey) error {
	var n int
	hash := staticHash(static)
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM revoked_key WHERE hash IN (?, ?)", key[:], hash[:]).Scan(&n); err != nil {
		return unavailable(err)
	}
	if n > 0 {
		return fmt.Errorf("%w: that was the key of a revoked node; make new keys", registry.ErrRevoked)
	}
	return nil
}
