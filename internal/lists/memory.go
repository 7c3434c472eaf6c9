package lists

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/tocsin-ct/tocsin/loglist"
)

// Bounds of the memory.
const (
	maxMemory  = 256 << 20
	keepClosed = 90 * 24 * time.Hour // a log that is done with is still shown
	maxEvents  = 1000
)

// memory is what outlives the program, as one JSON file.
type memory struct {
	Sources map[string]*source `json:"sources"`
	// Logs are all logs that are or were followed, in the order in which they came.
	Logs []*remembered `json:"logs"`
	// Events are still to be told.
	Events []Event `json:"events"`
}

// source is the last good copy of one list, and what is wrong with the publisher since.
type source struct {
	List         []byte              `json:"list,omitempty"` // as published
	Signature    []byte              `json:"signature,omitempty"`
	ETag         string              `json:"etag,omitempty"`
	LastModified string              `json:"last_modified,omitempty"`
	Fetched      time.Time           `json:"fetched,omitzero"` // when the copy was taken over
	Checked      time.Time           `json:"checked,omitzero"` // when the publisher last had just that
	Troubles     map[string]*trouble `json:"troubles,omitempty"`
	// Offered is the update that is refused and can be accepted, Accepted what the operator said to it.
	Offered  *Refusal `json:"offered,omitempty"`
	Accepted *Refusal `json:"accepted,omitempty"`

	// New is set while the logs of the first copy ever are compared.
	New bool `json:"-"`
}

// trouble is something wrong that lasts.
type trouble struct {
	Since time.Time `json:"since"`
	Text  string    `json:"text"`
	Told  bool      `json:"told,omitempty"`
}

// remembered is a log that is or was followed.
type remembered struct {
	Log     loglist.Log     `json:"-"`
	JSON    json.RawMessage `json:"log"`               // a list with this log alone
	Sources []string        `json:"sources,omitempty"` // whose lists have had it; none for a log that was added by hand
	// Zero and Since are as in [Want].
	Zero  bool      `json:"zero,omitempty"`
	Since time.Time `json:"since,omitzero"`
	// Leaving is when it left the lists, and Why; zero while it is listed. Closed is when it was done with.
	Leaving time.Time `json:"leaving,omitzero"`
	Why     string    `json:"why,omitempty"`
	Closed  time.Time `json:"closed,omitzero"`
	Word    string    `json:"word,omitempty"`
	// Final is set once people were told that the final head was reached.
	Final    bool      `json:"final,omitempty"`
	Position uint64    `json:"position,omitempty"`
	Moved    time.Time `json:"moved,omitzero"` // when Position last changed
	// Unusable is why it cannot be followed at all, once people were told.
	Unusable string `json:"unusable,omitempty"`
	skip     bool
}

// remember reads the memory, or begins a new one. A file that is none of ours is set aside when asked for.
func remember(path string, aside bool) (*memory, error) {
	fresh := &memory{Sources: map[string]*source{}}
	if path == "" {
		return fresh, nil
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fresh, nil
	}
	if err != nil {
		return fresh, fmt.Errorf("reading the kept log lists: %w", err)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxMemory))
	f.Close()
	m := &memory{Sources: map[string]*source{}}
	if err == nil {
		err = m.decode(b)
	}
	if err != nil {
		err = fmt.Errorf("reading the kept log lists: %s: %w", path, err)
		if aside {
			err = errors.Join(err, os.Rename(path, path+".bad"))
		}
		return fresh, err
	}
	return m, nil
}

func (m *memory) decode(b []byte) error {
	if err := json.Unmarshal(b, m); err != nil {
		return err
	}
	for name, s := range m.Sources {
		if s == nil {
			delete(m.Sources, name)
		}
	}
	for _, l := range m.Logs {
		if l == nil {
			return errors.New("a log without anything")
		}
		one, err := loglist.Parse(l.JSON)
		if err != nil {
			return err
		}
		if len(one.Logs) != 1 {
			return fmt.Errorf("%d logs in the place of one", len(one.Logs))
		}
		l.Log = one.Logs[0]
	}
	return nil
}

// save writes the memory: whole or not at all, for the owner only.
func (s *Set) save() error {
	if s.opts.Memory == "" || !s.owned {
		return nil
	}
	err := s.mem.write(s.opts.Memory)
	if err != nil {
		err = fmt.Errorf("keeping the log lists: %w", err)
		s.log.Error("the log lists could not be kept", "err", err)
	}
	return err
}

func (m *memory) write(path string) error {
	for _, l := range m.Logs {
		b, err := loglist.Marshal(&loglist.List{Logs: []loglist.Log{l.Log}})
		if err != nil {
			return err
		}
		l.JSON = b
	}
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

func (m *memory) source(name string) *source {
	s := m.Sources[name]
	if s == nil {
		s = &source{}
		m.Sources[name] = s
	}
	if s.Troubles == nil {
		s.Troubles = map[string]*trouble{}
	}
	return s
}

// forget drops lists that are not configured any more, and logs that only such lists had, whose names it returns: the
// operator has chosen.
func (m *memory) forget(sources []Source) (dropped []string) {
	configured := func(name string) bool {
		return slices.ContainsFunc(sources, func(s Source) bool { return s.Name == name })
	}
	for name := range m.Sources {
		if !configured(name) {
			delete(m.Sources, name)
		}
	}
	m.Logs = slices.DeleteFunc(m.Logs, func(l *remembered) bool {
		drop := len(l.Sources) > 0 && !slices.ContainsFunc(l.Sources, configured)
		if drop && l.Closed.IsZero() {
			dropped = append(dropped, l.Log.Name())
		}
		return drop
	})
	return dropped
}

// find returns the log with that id, or nil.
func (m *memory) find(id [32]byte) *remembered {
	for _, l := range m.Logs {
		if l.Log.ID == id {
			return l
		}
	}
	return nil
}
