package store

import (
	"context"
	"database/sql"
	"embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrations embed.FS

// applicationID marks our files in the header of SQLite (sqlite.org/fileformat.html section 1.3.17): "tocs".
const applicationID = 0x746f6373

// Open opens the state at path for writing, creates it when there is none (mode 0600; a missing folder with 0700) and
// brings its schema up to date. Errors: *[LockedError] when another process writes it, *[SchemaError] when it is newer
// than this program, *[ForeignError] and *[CorruptError] when it is not ours or damaged. In all these cases the file
// is left as it is.
func Open(path string, o *Options) (_ *Store, err error) {
	opts := o.withDefaults()
	if path, err = resolve(path); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("creating the folder of the state: %w", err)
	}
	s := &Store{path: path, opts: opts}
	if s.lock, err = takeLock(path, path+".lock"); err != nil {
		var locked *LockedError
		if errors.As(err, &locked) {
			return nil, err
		}
		return nil, s.wrap("opening the state", err)
	}
	defer func() {
		if err == nil {
			return
		}
		for _, db := range []*sql.DB{s.w, s.r} {
			if db != nil {
				db.Close()
			}
		}
		s.lock.Close()
	}()

	if err := prepareFile(path); err != nil {
		return nil, err
	}
	if err := mark(path); err != nil {
		return nil, wrap(path, "creating the state", err)
	}
	if s.file, err = os.Stat(path); err != nil {
		return nil, wrap(path, "opening the state", err)
	}
	s.w = writePool(path, opts, s.file)
	if err := checkFile(path, s.w, opts.CheckTime); err != nil {
		return nil, err
	}
	if err := migrate(path, s.w); err != nil {
		return nil, err
	}
	if s.setCursor, err = s.w.Prepare(setCursorSQL); err != nil {
		return nil, wrap(path, "opening the state", err)
	}
	s.r = readPool(path, opts, false, s.file)
	if err := s.warm(context.Background()); err != nil {
		return nil, wrap(path, "opening the state", err)
	}
	s.checked.Store(millis(time.Now()))
	return s, nil
}

// OpenReadOnly opens the state for reading, also while a daemon writes it. A missing file is an error that wraps
// [fs.ErrNotExist].
func OpenReadOnly(path string, o *Options) (_ *Store, err error) {
	opts := o.withDefaults()
	if path, err = resolve(path); err != nil {
		return nil, err
	}
	size, err := inspect(path)
	if err != nil {
		return nil, err
	}
	if size == 0 {
		return nil, &SchemaError{Path: path, Have: 0, Known: newestSchema()}
	}
	s := &Store{path: path, opts: opts}
	s.r = readPool(path, opts, false, nil)
	have, err := schemaOf(s.r)
	if code := primary(err); code == codeCantOpen || code == codeReadOnly {
		// A folder that we cannot write, and no daemon: SQLite wants to create the shared memory of the WAL. When there
		// is no WAL the file alone is the whole truth.
		if info, serr := os.Stat(path + "-wal"); serr != nil || info.Size() == 0 {
			s.r.Close()
			s.r = readPool(path, opts, true, nil)
			have, err = schemaOf(s.r)
		}
	}
	if err != nil {
		s.r.Close()
		return nil, wrap(path, "opening the state", err)
	}
	if known := newestSchema(); have != known {
		s.r.Close()
		return nil, &SchemaError{Path: path, Have: have, Known: known}
	}
	return s, nil
}

// resolve makes path absolute and follows links, so that two names of one file share one lock.
func resolve(path string) (string, error) {
	if path == "" {
		return "", errors.New("opening the state: no path given")
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("opening the state: %w", err)
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		return real, nil
	}
	if dir, err := filepath.EvalSymlinks(filepath.Dir(abs)); err == nil {
		return filepath.Join(dir, filepath.Base(abs)), nil
	}
	return abs, nil
}

// inspect looks at the file without SQLite, which would write beside or into it. It returns its size; 0 for a file
// that is still empty.
func inspect(path string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("opening the state: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, fmt.Errorf("opening the state: %w", err)
	}
	if !info.Mode().IsRegular() {
		return 0, &ForeignError{Path: path, Reason: "it is not a regular file"}
	}
	if info.Size() == 0 {
		return 0, nil
	}
	var header [100]byte
	if _, err := io.ReadFull(f, header[:]); err != nil || !strings.HasPrefix(string(header[:]), "SQLite format 3\x00") {
		return 0, &ForeignError{Path: path, Reason: "it is not an SQLite file"}
	}
	if binary.BigEndian.Uint32(header[68:]) != applicationID {
		return 0, &ForeignError{Path: path, Reason: "it is an SQLite file of another program"}
	}
	return info.Size(), nil
}

// prepareFile creates an empty file, or checks the one that is there, and makes sure of its mode. SQLite gives the
// files beside it (-wal, -shm, -journal) the same mode.
func prepareFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		return f.Close()
	}
	if !errors.Is(err, fs.ErrExist) {
		return wrap(path, "creating the state", err)
	}
	if _, err := inspect(path); err != nil {
		return err
	}
	for _, name := range []string{path, path + "-wal", path + "-shm", path + ".lock"} {
		info, err := os.Stat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			err = os.Chmod(name, 0o600)
		}
		if err != nil {
			return fmt.Errorf("keeping the state to its owner: %w", err)
		}
	}
	return nil
}

// mark writes our mark into an empty file. It does so before the file is in WAL mode, so that the mark stands in the
// file itself and [inspect] finds it. Whether it is empty SQLite says: one who died while he wrote the mark has left a
// file that looks marked, and beside it the journal that takes the mark back. A command that reads the state of a daemon
// that was killed may be recovering it at the same moment: then it waits.
func mark(path string) error {
	db, err := sql.Open("sqlite", dsn(path, "_pragma=busy_timeout(30000)", "_pragma=synchronous(FULL)"))
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	var have, tables int64
	if err := db.QueryRow("SELECT application_id, (SELECT count(*) FROM sqlite_schema) FROM pragma_application_id").Scan(&have, &tables); err != nil {
		return err
	}
	if have != 0 || tables > 0 { // what is not ours was refused by inspect
		return nil
	}
	_, err = db.Exec(fmt.Sprintf("PRAGMA application_id = %d", applicationID))
	return err
}

func pragmas(o Options, more ...string) string {
	list := append([]string{
		fmt.Sprintf("busy_timeout(%d)", o.BusyTimeout.Milliseconds()), // first: the others may have to wait
		"trusted_schema(0)",
		"cell_size_check(1)",
		"temp_store(MEMORY)", // no copies of the state in a temporary folder
	}, more...)
	for i, p := range list {
		list[i] = "_pragma=" + url.QueryEscape(p)
	}
	return strings.Join(list, "&")
}

// dsn is the URI of SQLite for a file of any name (sqlite.org/uri.html).
func dsn(path string, params ...string) string {
	p := filepath.ToSlash(path)
	if !strings.HasPrefix(p, "/") { // C:/…
		p = "/" + p
	}
	u := url.URL{Scheme: "file", Path: p, RawQuery: strings.Join(params, "&")}
	return u.String()
}

func writePool(path string, o Options, file os.FileInfo) *sql.DB {
	db := pool(path, dsn(path, "_txlock=immediate", pragmas(o,
		"journal_mode(WAL)",
		// FULL: each commit is on disk before it returns. With NORMAL a power cut could take back the last ones.
		// The file would stay consistent, but a delivered alarm would be sent again from a time before it was
		// decided, and a head that proves a log wrong, which the log may never show again, would be gone.
		// It costs one fsync per batch of a log.
		"synchronous(FULL)",
		"foreign_keys(1)",
		"journal_size_limit(67108864)",
	)), file)
	db.SetMaxOpenConns(1)
	return db
}

// readers is how many may read at once.
const readers = 4

func readPool(path string, o Options, immutable bool, file os.FileInfo) *sql.DB {
	params := []string{"mode=ro", pragmas(o, "query_only(1)")}
	if immutable {
		params = append(params, "immutable=1")
	}
	db := pool(path, dsn(path, params...), file)
	db.SetMaxOpenConns(readers)
	db.SetMaxIdleConns(readers)
	return db
}

// checkFile looks for damage, for a bounded time.
func checkFile(path string, db *sql.DB, limit time.Duration) error {
	ctx := context.Background()
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	query := "PRAGMA quick_check(1)"
	if limit < 0 {
		query = "SELECT 'ok' FROM sqlite_schema LIMIT 1"
	}
	var first string
	err := db.QueryRowContext(ctx, query).Scan(&first)
	switch {
	case ctx.Err() != nil, errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return wrap(path, "opening the state", err)
	case first != "ok":
		return &CorruptError{Path: path, Err: errors.New(first)}
	}
	return nil
}

// migrate brings the schema up to date. Migrations only go forward.
func migrate(path string, db *sql.DB) error {
	ctx := context.Background()
	p, err := provider(db)
	if err != nil {
		return wrap(path, "reading the migrations", err)
	}
	have, known, err := p.GetVersions(ctx)
	if err != nil {
		return wrap(path, "reading the schema", err)
	}
	if have > known {
		return &SchemaError{Path: path, Have: have, Known: known}
	}
	if _, err := p.Up(ctx); err != nil {
		return wrap(path, "bringing the schema up to date", err)
	}
	return nil
}

func provider(db *sql.DB) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithTableName("schema_versions"),
		goose.WithDisableGlobalRegistry(true))
}

// schemaOf reads the schema version without goose, which would write.
func schemaOf(db *sql.DB) (int64, error) {
	var tables int
	if err := db.QueryRow("SELECT count(*) FROM sqlite_schema WHERE name = 'schema_versions'").Scan(&tables); err != nil || tables == 0 {
		return 0, err
	}
	var v sql.NullInt64
	err := db.QueryRow("SELECT max(version_id) FROM schema_versions WHERE is_applied").Scan(&v)
	return v.Int64, err
}

// newestSchema is the highest number of a migration file.
func newestSchema() int64 {
	entries, _ := fs.ReadDir(migrations, "migrations")
	var newest int64
	for _, e := range entries {
		if v, err := goose.NumericComponent(e.Name()); err == nil && v > newest {
			newest = v
		}
	}
	return newest
}
