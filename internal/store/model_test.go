package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// modelIssuance is what the ledger should say of one issuance.
type modelIssuance struct {
	Precert   bool
	Matches   []int
	Chain     []string
	Sightings int
	Decided   bool
	Verdicts  int
}

type model struct {
	issuances map[int]*modelIssuance
	revision  map[int]int
	entries   map[[2]int]int // log and index to issuance
	cursors   map[int]uint64
	top       map[[2]int]int // issuance and receiver to highest rank
	order     map[int][]message
}

// message is a row of the outbox; alarms are its receivers' in order.
type message struct {
	issuance, rank int
	state          string
	attempts       int
	later          bool
}

func TestLedgerAndOutboxAgreeWithAModel(t *testing.T) {
	kinds := []string{"filed", "alarm", "page"}
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "model")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		path := filepath.Join(dir, "state.db")
		s, err := Open(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { s.Close() }()
		ctx := t.Context()
		m := model{issuances: map[int]*modelIssuance{}, revision: map[int]int{}, entries: map[[2]int]int{}, cursors: map[int]uint64{}, top: map[[2]int]int{}, order: map[int][]message{}}
		small := rapid.IntRange(0, 3)
		receiver := func(r int) string { return fmt.Sprint("receiver ", r) }
		id := func(msg message, r int) string {
			return AlarmID(hash(100+msg.issuance), receiver(r), kinds[msg.rank-1])
		}
		// first is the index of the first pending message of a receiver that is due.
		first := func(r int) int {
			return slices.IndexFunc(m.order[r], func(x message) bool { return x.state == Pending && !x.later })
		}
		t.Repeat(map[string]func(*rapid.T){
			"commit": func(t *rapid.T) {
				log := small.Draw(t, "log")
				c := Commit{LogID: hash(log + 1), Cursor: []byte("{}"), Size: m.cursors[log]}
				for range rapid.IntRange(0, 3).Draw(t, "filings") {
					index := small.Draw(t, "index")
					n, known := m.entries[[2]int{log, index}]
					if !known {
						n = small.Draw(t, "issuance")
						m.entries[[2]int{log, index}] = n
					}
					is := Issuance{ID: hash(100 + n), Cert: []byte("c"), Precert: rapid.Bool().Draw(t, "precert")}
					match, chain := small.Draw(t, "match"), small.Draw(t, "chain")
					is.Matches = fmt.Appendf(nil, "[ %d ]", match)
					for i := range chain {
						is.Chain = append(is.Chain, fmt.Append(nil, "certificate ", i))
					}
					c.Filings = append(c.Filings, Filing{Issuance: is, Sighting: &Sighting{Index: uint64(index), Leaf: fmt.Append(nil, log, index)}})

					w := m.issuances[n]
					news := false
					if w == nil {
						w = &modelIssuance{Precert: is.Precert}
						m.issuances[n], news = w, true
					}
					if !known {
						w.Sightings++
					}
					if w.Precert && !is.Precert {
						w.Precert, news = false, true
					}
					if !slices.Contains(w.Matches, match) {
						w.Matches, news = append(w.Matches, match), true
					}
					for i := len(w.Chain); i < chain; i++ {
						w.Chain, news = append(w.Chain, fmt.Sprint("certificate ", i)), true
					}
					if news {
						w.Decided = false
						m.revision[n]++
					}
				}
				step := rapid.IntRange(-1, 3).Draw(t, "step")
				c.Size += uint64(step)
				err := s.Commit(ctx, c)
				if step < 0 && m.cursors[log] == 0 {
					if err == nil {
						t.Fatal("a size beyond 2^63 was taken")
					}
				} else if step < 0 {
					if !errors.Is(err, ErrCursorBack) {
						t.Fatalf("Commit = %v", err)
					}
				} else if err != nil {
					t.Fatal(err)
				}
				if step < 0 { // refused as a whole: again, at the right place
					c.Size = m.cursors[log]
					if err := s.Commit(ctx, c); err != nil {
						t.Fatal(err)
					}
				} else {
					m.cursors[log] = c.Size
				}
			},
			"decide": func(t *rapid.T) {
				n := small.Draw(t, "issuance")
				w := m.issuances[n]
				if w == nil {
					if _, err := s.Decide(ctx, Decision{ID: hash(100 + n)}); !errors.Is(err, ErrNotFound) {
						t.Fatalf("Decide = %v", err)
					}
					return
				}
				rank := rapid.IntRange(1, 3).Draw(t, "rank")
				d := Decision{ID: hash(100 + n), Level: kinds[rank-1]}
				stale := rapid.Bool().Draw(t, "stale")
				if stale {
					d.Revision = find2(t, s, n).Issuance.Revision - 1
					stale = d.Revision != 0
				}
				want := 0
				for r := range small.Draw(t, "receivers") {
					d.Outbox = append(d.Outbox, OutboxRow{Receiver: receiver(r), Kind: kinds[rank-1], Rank: rank})
					if m.top[[2]int{n, r}] < rank {
						m.top[[2]int{n, r}] = rank
						m.order[r] = append(m.order[r], message{issuance: n, rank: rank, state: Pending})
						want++
					}
				}
				queued, err := s.Decide(ctx, d)
				if err != nil || queued != want {
					t.Fatalf("Decide queued %d, %v; want %d", queued, err, want)
				}
				w.Verdicts++
				w.Decided = w.Decided || !stale
			},
			"deliver, fail or drop what is due": func(t *rapid.T) {
				r := small.Draw(t, "receiver")
				due, err := s.Due(ctx, receiver(r), time.Now(), 1)
				if err != nil {
					t.Fatal(err)
				}
				i := first(r)
				if (i < 0) != (len(due) == 0) || i >= 0 && due[0].ID != id(m.order[r][i], r) {
					t.Fatalf("due: %+v; want message %d", due, i)
				}
				if i < 0 {
					return
				}
				msg := &m.order[r][i]
				switch small.Draw(t, "what") {
				case 0, 1:
					msg.state = Delivered
					msg.attempts++
					err = errors.Join(s.Delivered(ctx, due[0].ID), s.Delivered(ctx, due[0].ID))
				case 2:
					msg.attempts++
					msg.later = true
					err = s.Failed(ctx, due[0].ID, errors.New("no"), time.Now().Add(time.Hour))
				case 3:
					msg.state = Dropped
					err = s.Drop(ctx, due[0].ID, "policy")
				}
				if err != nil {
					t.Fatal(err)
				}
			},
			"wake": func(t *rapid.T) {
				r := small.Draw(t, "receiver")
				if err := s.Wake(ctx, receiver(r), time.Now()); err != nil {
					t.Fatal(err)
				}
				for i := range m.order[r] {
					m.order[r][i].later = false
				}
			},
			"restart": func(t *rapid.T) {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				if s, err = Open(path, nil); err != nil {
					t.Fatal(err)
				}
			},
			"": func(t *rapid.T) {
				for n, w := range m.issuances {
					rec := find2(t, s, n)
					got := modelIssuance{Precert: rec.Issuance.Precert, Sightings: len(rec.Sightings), Decided: rec.Issuance.Decided, Verdicts: len(rec.Verdicts)}
					for _, c := range string(rec.Issuance.Matches) {
						if c >= '0' && c <= '9' {
							got.Matches = append(got.Matches, int(c-'0'))
						}
					}
					for _, c := range rec.Issuance.Chain {
						got.Chain = append(got.Chain, string(c))
					}
					if d := cmp.Diff(*w, got); d != "" {
						t.Fatalf("issuance %d: %s", n, d)
					}
					latest := 0
					for _, v := range rec.Verdicts {
						if v.Latest {
							latest++
						}
					}
					if latest != min(1, len(rec.Verdicts)) {
						t.Fatalf("issuance %d has %d latest verdicts", n, latest)
					}
				}
				for r, msgs := range m.order {
					rows, err := s.outbox(ctx, `SELECT `+outboxColumns+` FROM outbox WHERE receiver = ? ORDER BY seq`, receiver(r))
					if err != nil || len(rows) != len(msgs) {
						t.Fatalf("%d rows, %v; want %d", len(rows), err, len(msgs))
					}
					for i, msg := range msgs {
						if rows[i].ID != id(msg, r) || rows[i].State != msg.state || rows[i].Attempts != msg.attempts {
							t.Fatalf("row %d is %+v, want %+v", i, rows[i], msg)
						}
					}
				}
			},
		})
	})
}

func find2(t *rapid.T, s *Store, n int) *Record {
	rec, err := s.Record(t.Context(), hash(100+n))
	if err != nil {
		t.Fatal(err)
	}
	return rec
}
