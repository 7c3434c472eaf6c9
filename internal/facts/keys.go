package facts

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of what is read as own keys.
const (
	maxFile  = 4 << 20 // bytes of one file
	maxFiles = 100_000 // files below one directory
	maxDepth = 16      // directories below one another
)

// Keys are our own keys, from files that certificates, requests and keys are kept in, and from hashes written down.
// Only the SHA-256 of each public key is kept. The half of a private key that is secret is dropped as soon as the
// public half is derived; nothing of it is stored or logged. Safe for concurrent use. A nil *Keys owns nothing.
type Keys struct {
	entries []entry
	found   func(path string, c Contents) // is told what was read; may be nil
	reload  sync.Mutex                    // one Reload at a time; guards files
	files   map[fileID]file
	now     atomic.Pointer[snapshot]
}

// Holding is one place that holds an own key.
type Holding struct {
	// Entry is the source as the configuration has it, in the normal form of [Entry].
	Entry string
	// File is the file below it, or Entry where that is a hash.
	File string
}

// Problem is something in the sources that people should know: its keys are missing, or older than the file.
type Problem struct {
	Entry, File, Text string
}

func (p Problem) String() string { return p.File + ": " + p.Text }

type entry struct {
	text string   // normal form
	path string   // "" for a hash
	spki [32]byte // when path is ""
	skip func() Skip
}

// Skip tells which files and directories below a source are left out, by their path from it with slashes between.
type Skip func(rel string, dir bool) bool

// Directory is a source of keys with something in it that is not ours to count.
type Directory struct {
	Path string
	// Skip is asked once at each reading.
	Skip func() Skip
}

// fileID names a file within an entry: two entries may reach the same file.
type fileID struct{ entry, file string }

type file struct {
	size int64
	mod  time.Time
	keys [][32]byte
	// stale says why keys are not what the file holds now; "" when they are.
	stale string
	note  string // why the file, readable, holds no key for us; shown for files that the configuration names
}

type snapshot struct {
	holdings map[[32]byte][]Holding
	problems []Problem
}

// Entry checks a source of own keys and returns its normal form: "spki:" and 64 lower-case hex digits of the SHA-256
// of a SubjectPublicKeyInfo, or "file:" and the path of a file or directory (a bare path is read as such).
func Entry(text string) (normal string, err error) {
	e, err := parseEntry(text)
	return e.text, err
}

func parseEntry(text string) (entry, error) {
	text = strings.TrimSpace(text)
	if hash, ok := strings.CutPrefix(text, "spki:"); ok {
		spki, err := ParseSPKI(hash)
		return entry{text: "spki:" + hex.EncodeToString(spki[:]), spki: spki}, err
	}
	path, marked := strings.CutPrefix(text, "file:")
	switch {
	case path == "":
		return entry{}, fmt.Errorf("%q names no key: write spki:<64 hex digits> or file:/path", text)
	case !marked && strings.Contains(path, ":") && !filepath.IsAbs(path):
		return entry{}, fmt.Errorf("%q is no source of keys: write spki:<64 hex digits> or file:/path", text)
	case strings.HasPrefix(path, "//"):
		path = "/" + strings.TrimLeft(path, "/") // file:///path
	}
	path = filepath.Clean(path)
	return entry{text: "file:" + path, path: path}, nil
}

// ParseSPKI reads the SHA-256 of a SubjectPublicKeyInfo: 64 hex digits of any case.
func ParseSPKI(text string) (spki [32]byte, err error) {
	text = strings.TrimSpace(text)
	if len(text) != 2*len(spki) {
		return spki, fmt.Errorf("a key hash has 64 hex digits, %q has %d characters", clip(text), len(text))
	}
	if _, err := hex.Decode(spki[:], []byte(text)); err != nil {
		return [32]byte{}, fmt.Errorf("a key hash has 64 hex digits, %q holds something else", text)
	}
	return spki, nil
}

func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}

// OpenKeys reads the sources, each in the form of [Entry]. It fails only for a source that is not written as one; a
// file that is missing or cannot be read is one of [Keys.Problems], and is tried again at each [Keys.Reload].
//
// Directories are walked with all below them. Hidden files and directories are left out, as are links to directories
// (not the named directory itself); links to files are followed, since that is how ACME clients and orchestrators lay
// out theirs. Of a file only end-entity keys count: the CA certificates in a bundle are not ours.
func OpenKeys(sources []string) (*Keys, error) {
	k := &Keys{files: map[fileID]file{}}
	var errs []error
	for _, s := range sources {
		e, err := parseEntry(s)
		if err != nil {
			errs = append(errs, err)
		} else if !slices.ContainsFunc(k.entries, func(have entry) bool { return have.text == e.text }) {
			k.entries = append(k.entries, e)
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	k.Reload()
	return k, nil
}

// OpenDirectories reads directories as [OpenKeys] does, without what their Skip leaves out. found is told, from within
// this call and each [Keys.Reload], what was read of each file that is new or has changed.
func OpenDirectories(dirs []Directory, found func(path string, c Contents)) *Keys {
	k := &Keys{files: map[fileID]file{}, found: found}
	for _, d := range dirs {
		path := filepath.Clean(d.Path)
		k.entries = append(k.entries, entry{text: "file:" + path, path: path, skip: d.Skip})
	}
	k.Reload()
	return k
}

// All returns every key with the places that hold it, in the order of the hashes.
func (k *Keys) All() (spkis [][32]byte, places map[[32]byte][]Holding) {
	if k == nil {
		return nil, nil
	}
	places = k.now.Load().holdings
	return slices.SortedFunc(maps.Keys(places), func(a, b [32]byte) int { return bytes.Compare(a[:], b[:]) }), places
}

// Owned says whether a source holds the key with that hash, and which file (or "spki:" entry) it is.
func (k *Keys) Owned(spki [32]byte) (source string, ok bool) {
	if h := k.Holdings(spki); len(h) > 0 {
		return h[0].File, true
	}
	return "", false
}

// Holdings returns all places that hold the key with that hash. The caller must not change the result.
func (k *Keys) Holdings(spki [32]byte) []Holding {
	if k == nil || spki == [32]byte{} {
		return nil
	}
	return k.now.Load().holdings[spki]
}

// Len returns how many keys are owned.
func (k *Keys) Len() int {
	if k == nil {
		return 0
	}
	return len(k.now.Load().holdings)
}

// Problems returns what was wrong at the last reading, in the order of the sources.
func (k *Keys) Problems() []Problem {
	if k == nil {
		return nil
	}
	return slices.Clone(k.now.Load().problems)
}

// Reload reads the files that have changed (size or time of change) since the last reading, and those that were not
// readable then. changed says whether the owned keys differ. err joins the [Keys.Problems]; all other sources count.
//
// A file that was read before and cannot be read now, or holds no key any more (it may be half written), keeps the
// keys that it held. A file that is gone from a readable directory takes its keys with it; a source that is gone as a
// whole does not.
func (k *Keys) Reload() (changed bool, err error) {
	if k == nil {
		return false, nil
	}
	k.reload.Lock()
	defer k.reload.Unlock()
	next := &snapshot{holdings: map[[32]byte][]Holding{}}
	files := make(map[fileID]file, len(k.files))
	for _, e := range k.entries {
		if e.path == "" {
			next.hold(e.spki, Holding{Entry: e.text, File: e.text})
			continue
		}
		k.read(e, files, next)
	}
	last := k.now.Swap(next)
	k.files = files
	var errs []error
	for _, p := range next.problems {
		errs = append(errs, errors.New(p.String()))
	}
	return last == nil || !sameHoldings(last.holdings, next.holdings), errors.Join(errs...)
}

func sameHoldings(a, b map[[32]byte][]Holding) bool {
	if len(a) != len(b) {
		return false
	}
	for spki, h := range a {
		if !slices.Equal(h, b[spki]) {
			return false
		}
	}
	return true
}

func (s *snapshot) hold(spki [32]byte, h Holding) {
	if !slices.Contains(s.holdings[spki], h) {
		s.holdings[spki] = append(s.holdings[spki], h)
	}
}

// read brings all files of a source into files and next.
func (k *Keys) read(e entry, files map[fileID]file, next *snapshot) {
	var skip Skip
	if e.skip != nil {
		skip = e.skip()
	}
	found, problems := list(e.path, skip)
	for path, text := range problems {
		next.problems = append(next.problems, Problem{Entry: e.text, File: path, Text: text})
		// What lies below a path that cannot be listed now keeps its keys.
		for id, f := range k.files {
			if id.entry == e.text && (id.file == path || strings.HasPrefix(id.file, path+string(filepath.Separator))) {
				f.stale = text
				files[id] = f
			}
		}
	}
	known := map[string]bool{} // directories with a key of ours
	for _, path := range found {
		id := fileID{e.text, path}
		f, fresh := load(path, k.files[id])
		files[id] = f
		if fresh != nil && k.found != nil {
			k.found(path, *fresh)
		}
		if len(files[id].keys) > 0 {
			known[filepath.Dir(path)] = true
		}
	}
	for _, path := range found {
		switch f := files[fileID{e.text, path}]; {
		case f.stale != "":
			next.problems = append(next.problems, Problem{e.text, path, f.stale})
		case f.note != "" && path == e.path, f.note == noteEncrypted && !known[filepath.Dir(path)]:
			next.problems = append(next.problems, Problem{e.text, path, f.note})
		}
	}
	total := 0
	for _, id := range sorted(files, e.text) {
		total += len(files[id].keys)
		for _, spki := range files[id].keys {
			next.hold(spki, Holding{Entry: e.text, File: id.file})
		}
	}
	if total == 0 && !slices.ContainsFunc(next.problems, func(p Problem) bool { return p.Entry == e.text }) {
		next.problems = append(next.problems, Problem{e.text, e.path, "holds no certificate, request or key of ours"})
	}
	slices.SortStableFunc(next.problems, func(a, b Problem) int {
		if a.Entry != b.Entry {
			return 0
		}
		return strings.Compare(a.File, b.File)
	})
}

func sorted(files map[fileID]file, entry string) []fileID {
	var ids []fileID
	for id := range files {
		if id.entry == entry {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b fileID) int { return strings.Compare(a.file, b.file) })
	return ids
}

// list returns the regular files of a source, and what could not be listed with the reason.
func list(root string, skip Skip) (found []string, problems map[string]string) {
	problems = map[string]string{}
	info, err := os.Stat(root)
	switch {
	case err != nil:
		problems[root] = reason(err)
		return nil, problems
	case info.Mode().IsRegular():
		return []string{root}, problems
	case !info.IsDir():
		problems[root] = "is neither a file nor a directory"
		return nil, problems
	}
	// The named directory may be a link; what is a link below it is not walked into, which also ends loops.
	start, err := filepath.EvalSymlinks(root)
	if err != nil {
		problems[root] = reason(err)
		return nil, problems
	}
	filepath.WalkDir(start, func(path string, d fs.DirEntry, err error) error {
		shown := root + strings.TrimPrefix(path, start)
		if err != nil {
			problems[shown] = reason(err)
			return nil
		}
		if path != start && strings.HasPrefix(d.Name(), ".") {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if rel := strings.TrimPrefix(path, start); skip != nil && rel != "" && skip(strings.TrimPrefix(filepath.ToSlash(rel), "/"), d.IsDir()) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			if strings.Count(strings.TrimPrefix(path, start), string(filepath.Separator)) > maxDepth {
				problems[shown] = fmt.Sprintf("lies more than %d directories deep and is left out", maxDepth)
				return fs.SkipDir
			}
			return nil
		}
		if d.Type()&fs.ModeSymlink != 0 {
			to, err := os.Stat(path)
			if err != nil {
				problems[shown] = reason(err)
				return nil
			}
			if !to.Mode().IsRegular() {
				return nil
			}
		} else if !d.Type().IsRegular() {
			return nil
		}
		if len(found) == maxFiles {
			problems[root] = fmt.Sprintf("holds more than %d files; the rest is left out", maxFiles)
			return fs.SkipAll
		}
		found = append(found, shown)
		return nil
	})
	return found, problems
}

// reason is an error without the path, which is shown beside it.
func reason(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return "cannot be read: " + err.Error()
}
