package store

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The world of the crash tests: one log whose entry i is filed when i is even, under issuance i/6, and delivered by
// writing its id to a file.
func worldCommit(from uint64, n int) Commit {
	c := Commit{LogID: hash(1), LogName: "log", Size: from + uint64(n), Cursor: fmt.Appendf(nil, `{"size":%d}`, from+uint64(n)),
		Heads: []Head{{Size: from + uint64(n), Root: hash(int(from) + n)}}}
	for i := from; i < from+uint64(n); i++ {
		if i%2 == 0 {
			c.Filings = append(c.Filings, Filing{
				Issuance: Issuance{ID: hash(1000 + int(i/6)), Cert: []byte("cert"), Precert: i%6 == 0, Chain: [][]byte{[]byte("issuer")}},
				Sighting: &Sighting{Index: i, Leaf: fmt.Append(nil, "leaf ", i), Precert: i%6 == 0},
			})
		}
	}
	return c
}

// child is the process that is killed: it says each step on its standard output, until then.
func child(path string) {
	ctx := context.Background()
	die := func(err error) {
		if err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
	}
	s, err := Open(path, nil)
	die(err)
	sent, err := os.OpenFile(path+".sent", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	die(err)
	for {
		l, _, err := s.LoadLog(ctx, hash(1))
		die(err)
		die(s.Commit(ctx, worldCommit(l.Size, 1+rand.IntN(5))))
		fmt.Println("committed")
		todo, err := s.Undecided(ctx, 2)
		die(err)
		for _, is := range todo {
			_, err := s.Decide(ctx, Decision{ID: is.ID, Revision: is.Revision, Level: "alarm", Outbox: []OutboxRow{{Receiver: "r", Kind: "alarm", Rank: 2}}})
			die(err)
			fmt.Println("decided")
		}
		due, err := s.Due(ctx, "r", time.Now(), 2)
		die(err)
		for _, row := range due {
			_, err := fmt.Fprintln(sent, row.ID)
			die(err)
			fmt.Println("sent")
			die(s.Delivered(ctx, row.ID))
		}
	}
}

func TestKilledAtRandomInstantsNothingCommittedIsLost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	rounds := 30
	if testing.Short() {
		rounds = 8
	}
	var size uint64
	for range rounds {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "STORE_TEST_CHILD="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// Killed after some number of steps: the child has gone on by then, to whatever point.
		lines := bufio.NewScanner(out)
		for range 1 + rand.IntN(40) {
			if !lines.Scan() {
				break
			}
			if strings.HasPrefix(lines.Text(), "error") {
				t.Error(lines.Text())
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		cmd.Wait()
		if size = checkWorld(t, path, size); t.Failed() {
			return
		}
	}
	if size < uint64(rounds) {
		t.Errorf("only %d entries in %d rounds", size, rounds)
	}
}

func checkWorld(t *testing.T, path string, before uint64) uint64 {
	t.Helper()
	ctx := t.Context()
	s, err := Open(path, nil)
	if err != nil {
		t.Fatalf("after the kill: %v", err)
	}
	defer s.Close()
	if err := s.Check(ctx); err != nil {
		t.Fatal(err)
	}
	l, _, err := s.LoadLog(ctx, hash(1))
	if err != nil {
		t.Fatal(err)
	}
	if l.Size < before {
		t.Errorf("the cursor went from %d back to %d", before, l.Size)
	}
	filed := make(map[uint64]bool)
	list, err := s.Recent(ctx, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	undecided := make(map[[32]byte]bool)
	todo, err := s.Undecided(ctx, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, is := range todo {
		undecided[is.ID] = true
	}
	content, _ := os.ReadFile(path + ".sent")
	sent := make(map[string]int)
	for _, id := range strings.Fields(string(content)) {
		sent[id]++
	}
	for _, sum := range list {
		rec := find(t, s, sum.ID)
		for _, si := range rec.Sightings {
			if filed[si.Index] {
				t.Errorf("entry %d is filed twice", si.Index)
			}
			filed[si.Index] = true
			if string(si.Leaf) != fmt.Sprint("leaf ", si.Index) {
				t.Errorf("entry %d has leaf %q", si.Index, si.Leaf)
			}
		}
		if !undecided[sum.ID] && (len(rec.Verdicts) == 0 || len(rec.Outbox) != 1) {
			t.Errorf("issuance %x is decided with %d verdicts and %d messages", sum.ID[:8], len(rec.Verdicts), len(rec.Outbox))
		}
		for _, row := range rec.Outbox {
			if row.State == Delivered && sent[row.ID] == 0 {
				t.Errorf("message %s is marked as delivered and was not sent", row.ID)
			}
		}
	}
	for i := range l.Size + 10 {
		if want := i < l.Size && i%2 == 0; filed[i] != want {
			t.Errorf("cursor %d: entry %d filed: %v", l.Size, i, filed[i])
		}
	}
	return l.Size
}

func TestSecondProcessIsRefusedUntilTheFirstIsKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "STORE_TEST_CHILD="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	bufio.NewScanner(out).Scan()
	_, err = Open(path, nil)
	if want := fmt.Sprintf("(pid %d)", cmd.Process.Pid); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Open = %v, want %s", err, want)
	}
	ro, err := OpenReadOnly(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ro.Counts(t.Context()); err != nil {
		t.Error(err)
	}
	ro.Close()
	cmd.Process.Kill()
	cmd.Wait()
	s, err := Open(path, nil)
	if err != nil {
		t.Fatal("the kernel did not release the lock:", err)
	}
	s.Close()
}

func TestTwoProcessesWithoutALockStillMakeOneIssuance(t *testing.T) {
	// As where a network disk loses the lock: the transactions alone must hold.
	a := open(t)
	b := &Store{path: a.path, opts: a.opts, r: a.r}
	b.w = writePool(a.path, a.opts, a.file)
	defer b.w.Close()
	var err error
	if b.setCursor, err = b.w.Prepare(setCursorSQL); err != nil {
		t.Fatal(err)
	}
	defer b.setCursor.Close()
	errs := make(chan error, 2)
	for i, s := range []*Store{a, b} {
		go func() {
			for n := range 30 {
				if err := s.Commit(context.Background(), Commit{LogID: hash(i + 1), Cursor: []byte("{}"), Size: uint64(n), Filings: []Filing{{
					Issuance: Issuance{ID: hash(100 + n), Cert: []byte("c")}, Sighting: &Sighting{Index: uint64(n), Leaf: []byte("l")}}}}); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range 2 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if c, err := a.Counts(t.Context()); err != nil || c.Issuances != 30 || c.Sightings != 60 {
		t.Errorf("%+v, %v", c, err)
	}
}
