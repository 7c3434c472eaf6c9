package store

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The world of this crash test: each issuance is decided together with the incident that it belongs to, which counts its
// certificates in Body and rings once for each; ticks ring as well. What rang is counted in Body, too, so that after a
// kill the incident itself says how many messages and members there must be.
type crashBody struct {
	Members, Rung int
}

func init() {
	if path := os.Getenv("STORE_TEST_INCIDENTS_CHILD"); path != "" {
		incidentsChild(path)
	}
}

func incidentsChild(path string) {
	ctx := context.Background()
	die := func(err error) {
		if err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
	}
	s, err := Open(path, nil)
	die(err)
	next := func(key string, members int) IncidentRow {
		i, ok, err := s.OpenIncident(ctx, key)
		die(err)
		var b crashBody
		if !ok {
			i = Incident{ID: fmt.Sprint(key, "-", rand.Uint32()), Key: key, Level: "alarm", Rank: 3, Opened: time.Now()}
		} else {
			die(json.Unmarshal(i.Body, &b))
		}
		b.Members += members
		b.Rung++
		i.Status, i.Updated, i.NextDue, i.Certificates = "notified", time.Now(), time.UnixMilli(1), b.Members
		i.Body, err = json.Marshal(b)
		die(err)
		row := IncidentRow{Incident: i, Outbox: []OutboxRow{{ID: fmt.Sprintf("%s #%d", i.ID, b.Rung), Receiver: "r", Kind: "incident"}},
			Suppressed: []Suppression{{Why: "test"}}, Trail: []TrailEntry{{Kind: "test", Subject: i.ID}}}
		if b.Rung%9 == 0 {
			row.Closed = true
		}
		return row
	}
	for {
		l, _, err := s.LoadLog(ctx, hash(1))
		die(err)
		die(s.Commit(ctx, worldCommit(l.Size, 12)))
		todo, err := s.Undecided(ctx, 2)
		die(err)
		for _, is := range todo {
			row := next(fmt.Sprint("k", is.ID[7]%3), 0)
			if _, ok, err := s.IncidentMember(ctx, row.ID, is.ID); err != nil || !ok {
				die(err)
				of, err := s.IncidentsOf(ctx, is.ID)
				die(err)
				if len(of) == 0 {
					row = next(row.Key, 1)
					row.Members = []IncidentMember{{Issuance: is.ID, Fingerprint: "f", At: time.Now()}}
				}
			}
			_, err := s.Decide(ctx, Decision{ID: is.ID, Revision: is.Revision, Level: "alarm", Incidents: []IncidentRow{row}})
			die(err)
			fmt.Println("decided")
		}
		due, err := s.IncidentsDue(ctx, time.Now(), 1)
		die(err)
		for _, i := range due {
			row := next(i.Key, 0)
			_, err := s.ChangeIncidents(ctx, row)
			if errors.Is(err, ErrIncidentChanged) {
				continue // closed meanwhile; a new one is opened by the next certificate
			}
			die(err)
			fmt.Println("ticked")
		}
	}
}

func TestKilledAtRandomInstantsIncidentsVerdictsAndMessagesAgree(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	rounds := 20
	if testing.Short() {
		rounds = 6
	}
	for range rounds {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "STORE_TEST_INCIDENTS_CHILD="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for range 1 + rand.IntN(30) {
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
		checkIncidents(t, path)
		if t.Failed() {
			return
		}
	}
}

func checkIncidents(t *testing.T, path string) {
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
	messages, suppressed, verdicts := 0, 0, 0
	open := map[string]int{}
	for _, closed := range []bool{false, true} {
		list, err := s.Incidents(ctx, IncidentFilter{Closed: closed})
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range list {
			full, err := s.Incident(ctx, i.ID)
			if err != nil {
				t.Fatal(err)
			}
			var b crashBody
			if err := json.Unmarshal(full.Body, &b); err != nil {
				t.Fatal(err)
			}
			members, err := s.IncidentMembers(ctx, i.ID, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			if len(members) != b.Members || i.Certificates != b.Members || int(full.Revision) != b.Rung {
				t.Errorf("incident %s has %d certificates and revision %d, and says %d, %+v", i.ID, len(members), full.Revision, i.Certificates, b)
			}
			for _, m := range members {
				if rec := find(t, s, m.Issuance); len(rec.Verdicts) == 0 {
					t.Errorf("issuance %x is in incident %s without a verdict", m.Issuance[:8], i.ID)
				}
			}
			for n := 1; n <= b.Rung; n++ {
				messages++
				var there int
				if err := s.r.QueryRow(`SELECT count(*) FROM outbox WHERE id = ?`, fmt.Sprintf("%s #%d", i.ID, n)).Scan(&there); err != nil || there != 1 {
					t.Errorf("message %d of incident %s is there %d times, %v", n, i.ID, there, err)
				}
			}
			trail, err := s.TrailOf(ctx, i.ID)
			if err != nil || len(trail) != b.Rung {
				t.Errorf("incident %s has %d entries on the trail, %v", i.ID, len(trail), err)
			}
			if !closed {
				open[full.Key]++
			}
		}
	}
	for key, n := range open {
		if n > 1 {
			t.Errorf("%d open incidents of %s", n, key)
		}
	}
	if err := s.r.QueryRow(`SELECT (SELECT count(*) FROM outbox), (SELECT coalesce(sum(count), 0) FROM suppressed), (SELECT count(*) FROM verdicts)`).Scan(new(int), &suppressed, &verdicts); err != nil {
		t.Fatal(err)
	}
	if suppressed != messages {
		t.Errorf("%d counted, %d messages", suppressed, messages)
	}
	if messages == 0 || verdicts == 0 {
		t.Errorf("%d messages of %d verdicts", messages, verdicts)
	}
}
