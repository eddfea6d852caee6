package registry

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"re6st/protocols/cert"
	"re6st/protocols/registry"
)

// databaseName is the file in the registry's folder. It holds the CA's key.
const databaseName = "registry.db"

// caName is a copy of the CA certificate for people and other programs.
const caName = "ca.crt"

// busyTimeout is how long one process waits for another's transaction.
const busyTimeout = 5 * time.Second

// Names in the table config.
const (
	configCA        = "ca.crt"
	configKey       = "ca.key"
	configAdvertise = "advertise"
)

// Store is the registry's database. It is safe for concurrent use, also by
// several processes: the service and the commands beside it. What a method has
// done when it returns survives kill -9 and a power cut.
type Store struct {
	db     *sql.DB
	issuer *cert.Issuer
}

// Creation says what network to create.
type Creation struct {
	Network   netip.Prefix
	KeyType   cert.KeyType       // of the CA
	Advertise *registry.HostPort // nil: given later
	Params    []registry.Setting // changes to the default parameters
	Now       time.Time
	Rand      io.Reader
}

// Create makes a network: CA, parameters and an empty prefix space, in one
// transaction. A folder that has one is ErrExists.
func Create(ctx context.Context, dir string, c Creation) (_ *Store, err error) {
	key, err := cert.GenerateKey(c.Rand, c.KeyType)
	if err != nil {
		return nil, err
	}
	issuer, err := cert.NewAuthority(c.Rand, key, c.Network, c.Now)
	if err != nil {
		return nil, err
	}
	pem, err := cert.EncodeKey(key)
	if err != nil {
		return nil, err
	}
	p, err := registry.DefaultParams(issuer.Authority).WithAll(c.Params)
	if err != nil {
		return nil, err
	}
	signed, err := registry.SignParams(c.Rand, issuer, p)
	if err != nil {
		return nil, err
	}
	db, err := createDatabase(ctx, dir)
	if err != nil {
		return nil, err
	}
	s := &Store{db, issuer}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	config := map[string][]byte{configCA: issuer.Certificate.Raw, configKey: pem}
	if c.Advertise != nil {
		config[configAdvertise] = []byte(c.Advertise.String())
	}
	if err := s.insert(ctx, config, signed); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return s, os.WriteFile(filepath.Join(dir, caName), cert.EncodeCertificate(issuer.Certificate.Raw), 0o644)
}

func (s *Store) insert(ctx context.Context, config map[string][]byte, p *registry.SignedParams) error {
	return s.transact(ctx, func(tx *sql.Tx) error {
		var n int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM config").Scan(&n); err != nil {
			return unavailable(err)
		}
		if n > 0 {
			return fmt.Errorf("network: %w", ErrExists)
		}
		for name, value := range config {
			if _, err := tx.ExecContext(ctx, "INSERT INTO config VALUES (?, ?)", name, value); err != nil {
				return unavailable(err)
			}
		}
		return insertParams(ctx, tx, p)
	})
}

// Open opens the database that Create made. No network there is ErrNoRegistry.
func Open(ctx context.Context, dir string) (_ *Store, err error) {
	path := filepath.Join(dir, databaseName)
	switch err := unix.Access(path, unix.R_OK|unix.W_OK); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: no %s; `re6st registry init -d %s` makes one", ErrNoRegistry, path, dir)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	db, err := openDatabase(ctx, path)
	if err != nil {
		return nil, err
	}
	s := &Store{db: db}
	if s.issuer, err = loadIssuer(ctx, db); err != nil {
		s.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// Close closes the database.
func (s *Store) Close() error { return s.db.Close() }

// Authority is the network's CA.
func (s *Store) Authority() *cert.Authority { return s.issuer.Authority }

// Advertise is where nodes are told to reach the registry; ErrNoAdvertise where
// nobody has said it yet.
func (s *Store) Advertise(ctx context.Context) (registry.HostPort, error) {
	text, err := getConfig(ctx, s.db, configAdvertise)
	if errors.Is(err, sql.ErrNoRows) {
		return registry.HostPort{}, fmt.Errorf("%w: say --advertise HOST:PORT", ErrNoAdvertise)
	}
	if err != nil {
		return registry.HostPort{}, unavailable(err)
	}
	return registry.ParseHostPort(string(text))
}

// SetAdvertise keeps the address for later tokens.
func (s *Store) SetAdvertise(ctx context.Context, h registry.HostPort) error {
	_, err := s.db.ExecContext(ctx, "INSERT INTO config VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value WHERE value <> excluded.value",
		configAdvertise, []byte(h.String()))
	return unavailable(err)
}

func loadIssuer(ctx context.Context, db *sql.DB) (*cert.Issuer, error) {
	der, err := getConfig(ctx, db, configCA)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("%w: its creation was interrupted; run `re6st registry init` again", ErrNoRegistry)
	}
	if err != nil {
		return nil, unavailable(err)
	}
	a, err := cert.ParseAuthority(der)
	if err != nil {
		return nil, err
	}
	pem, err := getConfig(ctx, db, configKey)
	if err != nil {
		return nil, unavailable(err)
	}
	key, err := cert.ParseKey(pem)
	if err != nil {
		return nil, err
	}
	return cert.NewIssuer(a, key)
}

func getConfig(ctx context.Context, db *sql.DB, name string) (value []byte, err error) {
	err = db.QueryRowContext(ctx, "SELECT value FROM config WHERE name = ?", name).Scan(&value)
	return value, err
}

// createDatabase makes the file first, so that nobody else can ever read it.
func createDatabase(ctx context.Context, dir string) (*sql.DB, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, databaseName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	return openDatabase(ctx, path)
}

func openDatabase(ctx context.Context, path string) (*sql.DB, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	source := url.URL{Scheme: "file", Path: path, RawQuery: url.Values{
		"mode":    {"rw"},
		"_txlock": {"immediate"},
		// FULL: an acknowledged commit survives a power cut, not only kill -9.
		"_pragma": {
			fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()), "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)",
		},
	}.Encode()}
	db, err := sql.Open("sqlite", source.String())
	if err != nil {
		return nil, unavailable(err)
	}
	db.SetMaxOpenConns(1) // SQLite has one writer: queue here rather than fail there
	if err := migrate(ctx, db); err != nil {
		db.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return db, nil
}

func (s *Store) transact(ctx context.Context, f func(*sql.Tx) error) error {
	return transact(ctx, s.db, f)
}

// transact commits what f did, or nothing of it where f fails.
func transact(ctx context.Context, db *sql.DB, f func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return unavailable(err)
	}
	defer tx.Rollback() // without effect after a commit
	if err := f(tx); err != nil {
		return err
	}
	return unavailable(tx.Commit())
}

// unavailable marks an error of the database, nil for none.
func unavailable(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", registry.ErrUnavailable, err)
}
