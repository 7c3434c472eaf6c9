package siege

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin-ct/tocsin/internal/lab/fault"
)

// schedulesEnv is how many random schedules are run. 500 is the full number; by default it is 30, and few with -short or
// the race detector. seedEnv runs the one of that seed alone.
const (
	schedulesEnv = "TOCSIN_SCHEDULES"
	seedEnv      = "TOCSIN_SEED"
)

func schedules(t *testing.T) int {
	if text := os.Getenv(schedulesEnv); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("%s is %q, want a number", schedulesEnv, text)
		}
		return n
	}
	switch {
	case testing.Short():
		return 3
	case raceDetector:
		return 4
	}
	return 30
}

func TestNothingIsLostAndNobodyFalselyAccusedUnderRandomSchedules(t *testing.T) {
	stock, err := NewStock(12, 20)
	if err != nil {
		t.Fatal(err)
	}
	from, to := 0, schedules(t)
	if text := os.Getenv(seedEnv); text != "" {
		if n, err := strconv.Atoi(text); err == nil {
			from, to = n, n+1
		}
	}
	for seed := from; seed < to; seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			besiege(t, Options{Seed: uint64(seed), Stock: stock})
		})
	}
}

// Answers that break off for hours are weather, and so is a front end that lags for a moment after them: that both hit
// the same range makes no withheld entries of it.
func TestWeatherAndThenSkewAccuseNobody(t *testing.T) {
	stock, err := NewStock(12, 20)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Seed: 357, Stock: stock, Logs: 2, Restarts: -1, Schedules: make([]fault.Schedule, 2)}
	for _, text := range []string{"drip=1s@5m-2h50m", "skew=1+every=5@2h20m-2h31m", "slow=90s@2h24m-2h50m"} {
		step, err := fault.ParseStep(text)
		if err != nil {
			t.Fatal(err)
		}
		for i := range o.Schedules {
			o.Schedules[i] = append(o.Schedules[i], step)
		}
	}
	besiege(t, o)
}

// besiege runs a siege in a bubble and judges it.
func besiege(t *testing.T, o Options) (r *Report) {
	t.Helper()
	o.Dir = t.TempDir()
	real := time.Now()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var err error
		if r, err = Run(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		if wrong := r.Judge(); len(wrong) > 0 {
			t.Errorf("seed %d:\n%s", o.Seed, strings.Join(wrong, "\n"))
			for _, l := range r.Logs {
				t.Logf("%s did %s", l.Listed.Description, l.Schedule)
			}
		}
		t.Logf("healed within %v, %d accusations, %v in all", r.Healed, len(r.Accused), time.Since(start))
	})
	t.Logf("%v real", time.Since(real))
	return r
}
