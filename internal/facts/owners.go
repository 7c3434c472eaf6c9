package facts

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// The built-in tables, written by the command in gen. Their source, date and licence stand in README.md.
var (
	//go:embed owners.tsv
	ownersTable []byte
	//go:embed keys.tsv.gz
	keysTable []byte
)

// How the owner of a key is known.
const (
	// BasisCCADB: the CCADB, where CAs disclose their certificates to the root programs, names the owner.
	BasisCCADB = "ccadb"
	// BasisOld: as before, in the last list before CCADB joined it with another owner.
	BasisOld = "ccadb-old"
	// BasisChain: verified signatures lead from the key to one of the above (checked when the table was made).
	BasisChain = "chain"
	// BasisAncestor: the table does not know the key; verified signatures of the chain at hand lead to one that it knows.
	BasisAncestor = "ancestor"
	// BasisSubject: known only from the name that the key's certificate gives itself. Never evidence.
	BasisSubject = "subject-o"
)

// Owners knows CA owners, their CAA names and their issuing keys. It never changes and is safe for concurrent use.
// A nil *Owners knows nothing.
type Owners struct {
	owners  []owner
	keys    map[[32]byte]keyRow
	domains map[string][]uint16
	names   map[string][]uint16
}

type owner struct {
	name, short string
	domains     []string
}

// keyRow holds numbers of owners; most keys have one, few have more.
type keyRow struct {
	first uint16
	basis uint8
	more  []uint16
}

var bases = [...]string{BasisCCADB, BasisOld, BasisChain, BasisSubject}

// LoadOwners returns the built-in table. It is read once, at the first call.
func LoadOwners() (*Owners, error) { return loadOwners() }

var loadOwners = sync.OnceValues(func() (*Owners, error) {
	o, err := readOwners(ownersTable, keysTable)
	if err != nil {
		return nil, fmt.Errorf("reading the built-in table of CA owners: %w", err)
	}
	return o, nil
})

func readOwners(owners, zippedKeys []byte) (*Owners, error) {
	o := &Owners{domains: map[string][]uint16{}, names: map[string][]uint16{}}
	for line := range rows(owners) {
		f := strings.Split(line, "\t")
		if len(f) != 3 || f[0] == "" {
			return nil, fmt.Errorf("owner row %q", line)
		}
		n := uint16(len(o.owners))
		row := owner{name: f[0], short: f[1]}
		if f[2] != "" {
			row.domains = strings.Split(f[2], ",")
		}
		o.owners = append(o.owners, row)
		for _, d := range row.domains {
			o.domains[fold(d)] = append(o.domains[fold(d)], n)
		}
		for _, name := range []string{row.name, row.short} {
			if k := fold(name); name != "" && !slices.Contains(o.names[k], n) {
				o.names[k] = append(o.names[k], n)
			}
		}
	}
	unzip, err := gzip.NewReader(bytes.NewReader(zippedKeys))
	if err != nil {
		return nil, err
	}
	keys, err := io.ReadAll(unzip)
	if err != nil {
		return nil, err
	}
	o.keys = make(map[[32]byte]keyRow, bytes.Count(keys, []byte("\n")))
	for line := range rows(keys) {
		spki, row, err := o.keyRow(line)
		if err != nil {
			return nil, fmt.Errorf("key row %q: %w", line, err)
		}
		o.keys[spki] = row
	}
	return o, nil
}

func (o *Owners) keyRow(line string) (spki [32]byte, row keyRow, err error) {
	hash, rest, _ := strings.Cut(line, "\t")
	basis, numbers, _ := strings.Cut(rest, "\t")
	if n, err := hex.Decode(spki[:], []byte(hash)); err != nil || n != len(spki) {
		return spki, row, errors.New("no SHA-256")
	}
	b := slices.Index(bases[:], basis)
	if b < 0 {
		return spki, row, errors.New("unknown basis")
	}
	row.basis = uint8(b)
	for i, s := range strings.Split(numbers, ",") {
		n, err := strconv.ParseUint(s, 10, 16)
		if err != nil || int(n) >= len(o.owners) {
			return spki, row, errors.New("no such owner")
		}
		if i == 0 {
			row.first = uint16(n)
		} else {
			row.more = append(row.more, uint16(n))
		}
	}
	return spki, row, nil
}

// rows yields the lines of a table after its header.
func rows(table []byte) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		header := true
		for line := range bytes.Lines(table) {
			if !header && !yield(string(bytes.TrimSuffix(line, []byte("\n")))) {
				return
			}
			header = false
		}
	}
}

// fold makes the key under which a name or CAA name is found: case, outer space and a trailing dot do not count.
func fold(s string) string { return strings.TrimSuffix(strings.ToLower(strings.TrimSpace(s)), ".") }

// Holder says who answers for a key.
type Holder struct {
	// Owners answer for the key: whoever holds it, and whoever answers for it to the root programs.
	Owners []string
	Basis  string
	// Evidence is false when the owner is known only from the subject of the key's own certificate.
	Evidence bool
}

// Lookup returns who answers for the key with that SHA-256 of the SubjectPublicKeyInfo. ok is false when the table
// does not hold the key, which means unknown, not rogue.
func (o *Owners) Lookup(spki [32]byte) (h Holder, ok bool) {
	if o == nil {
		return h, false
	}
	row, ok := o.keys[spki]
	if !ok {
		return h, false
	}
	h.Basis = bases[row.basis]
	h.Evidence = h.Basis != BasisSubject
	h.Owners = append(h.Owners, o.owners[row.first].name)
	for _, n := range row.more {
		h.Owners = append(h.Owners, o.owners[n].name)
	}
	return h, true
}

// CAA returns all owners that recognise the CAA name; several owners may share one. Nil when none is known to.
func (o *Owners) CAA(domain string) []string {
	if o == nil {
		return nil
	}
	return o.named(o.domains[fold(domain)])
}

// Owner returns the owner with that name or short name, whatever its case. Two records may answer to one name; the
// one whose full name it is comes first, and [Owners.Resolve] returns both.
func (o *Owners) Owner(name string) (canonical string, ok bool) {
	if o == nil {
		return "", false
	}
	found := o.names[fold(name)]
	if len(found) == 0 {
		return "", false
	}
	for _, n := range found {
		if fold(o.owners[n].name) == fold(name) {
			return o.owners[n].name, true
		}
	}
	return o.owners[found[0]].name, true
}

// Resolve returns all owners that text may mean: by CAA name, by name or by short name. Nil when none is known.
func (o *Owners) Resolve(text string) []string {
	if o == nil {
		return nil
	}
	found := slices.Concat(o.domains[fold(text)], o.names[fold(text)])
	slices.Sort(found)
	return o.named(slices.Compact(found))
}

// Domains returns the CAA names that the owners recognise, sorted, each once.
func (o *Owners) Domains(owners []string) []string {
	if o == nil {
		return nil
	}
	var domains []string
	for _, name := range owners {
		for _, n := range o.names[fold(name)] {
			if o.owners[n].name == name {
				domains = append(domains, o.owners[n].domains...)
			}
		}
	}
	slices.Sort(domains)
	return slices.Compact(domains)
}

func (o *Owners) named(numbers []uint16) []string {
	var names []string
	for _, n := range numbers {
		names = append(names, o.owners[n].name)
	}
	return names
}

// Nearest returns up to n CAA names and owner names that look like text, the nearest first: for a hint.
func (o *Owners) Nearest(text string, n int) []string {
	if o == nil {
		return nil
	}
	type near struct {
		name string
		far  int
	}
	want := fold(text)
	var all []near
	add := func(name string) {
		have := fold(name)
		far := distance(want, have)
		// Part of a name ("digicert", "globalsign") is nearer than any misspelling.
		if len(want) >= 3 && strings.Contains(have, want) {
			far = 1
		}
		if far <= 1+len(want)/3 {
			all = append(all, near{name, far})
		}
	}
	for d := range o.domains {
		add(d)
	}
	for _, w := range o.owners {
		add(w.name)
		if w.short != "" {
			add(w.short)
		}
	}
	slices.SortFunc(all, func(a, b near) int {
		if a.far != b.far {
			return a.far - b.far
		}
		return strings.Compare(a.name, b.name)
	})
	var names []string
	for _, a := range all {
		if len(names) < n && !slices.Contains(names, a.name) {
			names = append(names, a.name)
		}
	}
	return names
}

// distance is the Levenshtein distance in bytes, bounded by the length of what people write in a configuration.
func distance(a, b string) int {
	if len(a) > 128 || len(b) > 256 {
		return max(len(a), len(b))
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
