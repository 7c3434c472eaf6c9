package app

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/lab/disk"
)

func TestAFullDiskIsToldWithoutTheStateFile(t *testing.T) {
	for _, down := range []bool{false, true} {
		name := "to a receiver that listens"
		if down {
			name = "to one that is down, when both are back"
		}
		t.Run(name, func(t *testing.T) {
			dir := disk.Small(t, 3)
			synctest.Test(t, func(t *testing.T) {
				r := &taker{}
				a, end := tended(t, filepath.Join(dir, "state.db"), r)
				defer end()
				time.Sleep(5 * time.Minute)
				if told, _ := r.codes(t); told != nil {
					t.Fatalf("told while all was well: %q", told)
				}
				ballast := disk.Fill(t, dir)
				r.refuse(down)
				a.fault(ctlog.Fault{Kind: ctlog.FalseTime, LogName: "L0", Text: "seen while the disk was full", At: time.Now(), Evidence: json.RawMessage("{}")})
				time.Sleep(10 * time.Minute)
				told, _ := r.codes(t)
				switch {
				case down && len(told) > 0:
					t.Fatalf("told: %q", told)
				case !down && (len(told) != 1 || told[0] != "store-failing" || !strings.Contains(r.took[0].Text, "the disk is full: free some space")):
					t.Fatalf("told: %q %+v", told, r.took)
				}
				if _, open := a.keeper.now(); len(open) == 0 || !strings.Contains(open[0].Text(), "cannot be written") {
					t.Errorf("shown: %+v", open)
				}
				r.refuse(false)
				if err := os.Remove(ballast); err != nil {
					t.Fatal(err)
				}
				time.Sleep(20 * time.Minute)
				told, ids := r.codes(t)
				if len(told) != 2 || told[0] != "store-failing" || told[1] != "store-failing resolved" || len(ids) != 2 {
					t.Errorf("told: %q, with %d ids", told, len(ids))
				}
				faults, err := a.store.Faults(t.Context(), 10)
				if err != nil || len(faults) != 1 || faults[0].Text != "seen while the disk was full" {
					t.Errorf("the fault was lost: %+v %v", faults, err)
				}
				if err := a.store.Check(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
