package registry

import (
	"context"
	"crypto"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"time"

	"re6st/protocols/cert"
	"re6st/protocols/registry"
)

// maxFormer is how many certificates a node may have that have not ended: one that
// asks for more has to wait for their end.
const maxFormer = 16

// Renew issues another certificate to the node that showed the present one, for key.
// Prefix and id stay. Where the last one was issued for that key too and the node
// has not shown it yet, the answer got lost, and it gets that one.
func (s *Store) Renew(ctx context.Context, rand io.Reader, present *cert.Identity, key crypto.PublicKey, static registry.StaticKey, now time.Time, lifetime time.Duration) (der []byte, err error) {
	keyHash, err := cert.KeyFingerprint(key)
	if err != nil {
		return nil, err
	}
	err = s.transact(ctx, func(tx *sql.Tx) error {
		n, err := readNode(ctx, tx, present.ID)
		if errors.Is(err, ErrNoNode) || err == nil && n.prefix != present.Prefix.String() {
			return fmt.Errorf("%w: %s %s", registry.ErrNotMember, present.Prefix.CN(), present.ID)
		}
		if err != nil {
			return err
		}
		if err := allowKeys(ctx, tx, keyHash, static); err != nil {
			return err
		}
		newest, err := issuedAs(n.certificate)
		if err != nil {
			return err
		}
		share, err := s.allotIPv4(ctx, tx, present.Prefix, n.ipv4)
		if err != nil {
			return err
		}
		issued, err := cert.IPv4Share(n.certificate)
		if err != nil {
			return err
		}
		if newest.keyHash == keyHash && issued == share.prefix && n.certificate.SerialNumber.Cmp(present.Certificate.SerialNumber) != 0 && n.isYoung(now) {
			der = n.certificate.Raw
			return nil
		}
		if err := n.retire(ctx, tx, newest); err != nil {
			return err
		}
		if der, err = s.issuer.IssueNodeIPv4(rand, key, present.Prefix, present.ID, share.prefix, now, lifetime); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "UPDATE node SET certificate = ?, static = ?, expires = ?, ipv4 = ? WHERE id = ?",
			der, static[:], now.Add(lifetime).Unix(), share.number, present.ID[:])
		return unavailable(err)
	})
	return der, err
}

// isYoung tells whether half of the certificate's life is still to come.
func (n nodeRow) isYoung(now time.Time) bool {
	return n.certificate.NotAfter.Sub(now) > cert.Lifetime(n.certificate.NotBefore, n.certificate.NotAfter)/2
}

// retire makes the newest certificate a former one.
func (n nodeRow) retire(ctx context.Context, tx *sql.Tx, newest issued) error {
	var former int
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM former WHERE node = ?", n.id[:]).Scan(&former); err != nil {
		return unavailable(err)
	}
	if former >= maxFormer {
		return fmt.Errorf("%w: %d certificates of node %s have not ended yet", registry.ErrRateLimited, former+1, n.id)
	}
	_, err := tx.ExecContext(ctx, "INSERT OR IGNORE INTO former VALUES (?, ?, ?, ?)", newest.serial, n.id[:], newest.keyHash[:], newest.expires.Unix())
	return unavailable(err)
}

// Used notes that a node showed a certificate. If it is the newest, those of other
// keys are superseded: they go on the list, of which the next version is returned,
// else nil.
func (s *Store) Used(ctx context.Context, rand io.Reader, id *cert.Identity, now time.Time) (list *cert.RevocationList, err error) {
	c, err := issuedAs(id.Certificate)
	if err != nil {
		return nil, err
	}
	var n int
	if err := s.db.QueryRowContext(ctx,
		"SELECT count(*) FROM former WHERE node = ? AND key_hash <> ? AND serial NOT IN (SELECT serial FROM revocation)",
		id.ID[:], c.keyHash[:]).Scan(&n); err != nil || n == 0 {
		return nil, unavailable(err)
	}
	err = s.transact(ctx, func(tx *sql.Tx) error {
		node, err := readNode(ctx, tx, id.ID)
		if err != nil || node.certificate.SerialNumber.Cmp(id.Certificate.SerialNumber) != 0 {
			return err
		}
		all, err := node.certificates(ctx, tx)
		if err != nil {
			return err
		}
		for _, former := range all {
			if former.keyHash == c.keyHash {
				continue
			}
			if err := former.revoke(ctx, tx, id.ID, cert.Superseded, now); err != nil {
				return err
			}
			if err := forbidKey(ctx, tx, former.keyHash, former.expires); err != nil {
				return err
			}
		}
		list, err = s.signCRL(ctx, tx, rand, now)
		return err
	})
	return list, err
}
