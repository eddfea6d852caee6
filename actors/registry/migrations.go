package registry

import (
	"context"
	"database/sql"
	"fmt"
)

// migrations bring a database from each version (PRAGMA user_version) to the
// next. One that was released is never edited: add another. Times are Unix
// seconds, bit strings are written with the digits 0 and 1.
var migrations = []string{
	// 1: the first.
	`CREATE TABLE config (
		name  TEXT PRIMARY KEY,
		value BLOB NOT NULL
	) STRICT;

	CREATE TABLE params (
		number INTEGER PRIMARY KEY,
		signed BLOB NOT NULL
	) STRICT;

	CREATE TABLE prefix (
		bits  TEXT PRIMARY KEY,
		state TEXT NOT NULL CHECK (state IN ('free', 'used', 'reserved'))
	) STRICT, WITHOUT ROWID;
	CREATE INDEX prefix_free ON prefix (length(bits), bits) WHERE state = 'free';
	INSERT INTO prefix VALUES ('', 'free');

	CREATE TABLE node (
		id          BLOB PRIMARY KEY CHECK (length(id) = 8),
		prefix      TEXT NOT NULL UNIQUE,
		certificate BLOB NOT NULL,
		static      BLOB NOT NULL CHECK (length(static) = 32),
		joined      INTEGER NOT NULL,
		expires     INTEGER NOT NULL,
		endpoints   TEXT NOT NULL DEFAULT '[]',
		boot_id     BLOB,
		seen        INTEGER
	) STRICT;
	CREATE INDEX node_expires ON node (expires);

	CREATE TABLE token (
		hash          BLOB PRIMARY KEY CHECK (length(hash) = 32),
		prefix_length INTEGER NOT NULL,
		expires       INTEGER NOT NULL,
		key_hash      BLOB,
		node          BLOB REFERENCES node (id) ON DELETE SET NULL
	) STRICT;
	CREATE INDEX token_expires ON token (expires);
	CREATE INDEX token_node ON token (node);`,

	// 2: renewal and revocation. former are a node's certificates before its present
	// one; revocation is what the next CRL will list; of crl there is one row at most.
	`ALTER TABLE node ADD COLUMN revoked INTEGER;
	ALTER TABLE node ADD COLUMN reason INTEGER;

	CREATE TABLE former (
		serial   BLOB PRIMARY KEY,
		node     BLOB NOT NULL REFERENCES node (id) ON DELETE CASCADE,
		key_hash BLOB NOT NULL CHECK (length(key_hash) = 32),
		expires  INTEGER NOT NULL
	) STRICT;
	CREATE INDEX former_node ON former (node);

	CREATE TABLE revocation (
		serial  BLOB PRIMARY KEY,
		node    BLOB NOT NULL CHECK (length(node) = 8),
		time    INTEGER NOT NULL,
		reason  INTEGER NOT NULL,
		expires INTEGER NOT NULL
	) STRICT;

	CREATE TABLE revoked_key (
		hash    BLOB PRIMARY KEY CHECK (length(hash) = 32),
		expires INTEGER NOT NULL
	) STRICT, WITHOUT ROWID;

	CREATE TABLE crl (
		number INTEGER PRIMARY KEY,
		signed BLOB NOT NULL
	) STRICT;`,

	// 3: the number of a node's share of the network's IPv4.
	`ALTER TABLE node ADD COLUMN ipv4 INTEGER;
	CREATE UNIQUE INDEX node_ipv4 ON node (ipv4);`,

	// 4: where a node serves TLS; 0: not known.
	`ALTER TABLE node ADD COLUMN tls_port INTEGER NOT NULL DEFAULT 0;`,
}

// migrate brings the database to the newest version, one transaction each.
func migrate(ctx context.Context, db *sql.DB) error {
	var version int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return unavailable(err)
	}
	if version > len(migrations) {
		return fmt.Errorf("%w: its database has version %d, this re6st knows %d", ErrNewer, version, len(migrations))
	}
	for ; version < len(migrations); version++ {
		if err := transact(ctx, db, func(tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, migrations[version]); err != nil {
				return unavailable(err)
			}
			_, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", version+1))
			return unavailable(err)
		}); err != nil {
			return fmt.Errorf("migrate the database to version %d: %w", version+1, err)
		}
	}
	return nil
}
