package notify

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

	"github.com/tocsin-ct/tocsin/internal/store"
)

// recorder writes each id to a file, so that it outlives the process.
type recorder struct{ f *os.File }

func (recorder) Name() string      { return "recorder" }
func (recorder) Wants(string) bool { return true }
func (recorder) Stream() bool      { return true }
func (r recorder) Send(_ context.Context, n Notice) error {
	_, err := fmt.Fprintln(r.f, n.ID)
	return err
}

// child delivers until it is done or killed: by itself at its third visit to the point, or by its parent, to whom it
// says where it is.
func child(path, point string) {
	s, err := store.Open(path, nil)
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	f, err := os.OpenFile(path+".sent", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	visits := 0
	err = Run(context.Background(), s, []Receiver{recorder{f}}, &Options{Once: true, Hook: func(at string) {
		fmt.Println(at)
		if at == point {
			if visits++; visits == 3 {
				self, _ := os.FindProcess(os.Getpid())
				self.Kill()
				select {}
			}
		}
	}})
	fmt.Println("done", err)
}

func TestKilledAnywhereEveryMessageIsDeliveredAndRepeatsKeepTheirId(t *testing.T) {
	for _, row := range []struct {
		name, point string
		repeats     bool
	}{
		{"before each send", "before-send", false},
		{"between send and commit", "sent-not-committed", true},
		{"at random instants", "", true},
	} {
		t.Run(row.name, func(t *testing.T) {
			const messages = 20
			path := filepath.Join(t.TempDir(), "state.db")
			s, err := store.Open(path, nil)
			if err != nil {
				t.Fatal(err)
			}
			for i := range messages {
				id := [32]byte{byte(i), 1}
				if err := s.Commit(t.Context(), store.Commit{Filings: []store.Filing{{Issuance: store.Issuance{ID: id, Cert: []byte{1}}}}}); err != nil {
					t.Fatal(err)
				}
				rows, err := Rows(Alarm{Level: "alarm"}, id, []Receiver{recorder{}})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := s.Decide(t.Context(), store.Decision{ID: id, Level: "alarm", Outbox: rows}); err != nil {
					t.Fatal(err)
				}
			}
			s.Close()
			kills, done := 0, false
			for !done && kills < 200 {
				cmd := exec.Command(os.Args[0])
				cmd.Env = append(os.Environ(), "NOTIFY_TEST_CHILD="+path, "NOTIFY_TEST_POINT="+row.point)
				out, err := cmd.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				steps := -1
				if row.point == "" {
					steps = 1 + rand.IntN(8)
				}
				lines := bufio.NewScanner(out)
				for steps != 0 && lines.Scan() {
					if lines.Text() == "done <nil>" {
						done = true
					} else if !strings.Contains(row.point+"before-send sent-not-committed", lines.Text()) {
						t.Fatal(lines.Text())
					}
					steps--
				}
				if row.point == "" && !done {
					cmd.Process.Kill()
				}
				cmd.Wait()
				kills++
			}
			content, err := os.ReadFile(path + ".sent")
			if err != nil {
				t.Fatal(err)
			}
			count := make(map[string]int)
			total := 0
			for _, id := range strings.Fields(string(content)) {
				count[id]++
				total++
			}
			for i := range messages {
				id := store.AlarmID([32]byte{byte(i), 1}, "recorder", "alarm")
				if count[id] == 0 {
					t.Errorf("message %d was not delivered", i)
				}
			}
			if len(count) != messages {
				t.Errorf("%d ids for %d messages", len(count), messages)
			}
			if !done || kills < 3 {
				t.Errorf("done: %v after %d kills", done, kills)
			}
			if repeats := total - messages; row.repeats && repeats > kills || !row.repeats && repeats != 0 || row.point == "sent-not-committed" && repeats == 0 {
				t.Errorf("%d repeats in %d kills", repeats, kills)
			}
			s, err = store.Open(path, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if due, err := s.Due(t.Context(), "recorder", time.Now(), 1); err != nil || len(due) != 0 {
				t.Errorf("left: %v, %v", due, err)
			}
		})
	}
}
