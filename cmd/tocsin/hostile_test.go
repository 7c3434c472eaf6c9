package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/lab/ca"
	"github.com/tocsin-ct/tocsin/internal/lab/fault"
)

// maxResident bounds the memory, in bytes, of a watch one of whose logs sends without end: an answer is cut at 32 MB,
// only one of that size is read at a time, and the collector lets the buffers that it outgrew pile up for a while.
// The race detector needs several times the memory of the program that carries it.
func maxResident() uint64 {
	bound := uint64(300 << 20)
	info, ok := debug.ReadBuildInfo()
	if ok && slices.ContainsFunc(info.Settings, func(s debug.BuildSetting) bool { return s.Key == "-race" && s.Value == "true" }) {
		bound *= 4
	}
	return bound
}

// A log that is slow, down, or floods us, costs bounded memory, does not disturb the alarms of another log, and has
// hidden nothing when it is back.
func TestASickLogDisturbsNoOtherAndLosesNothing(t *testing.T) {
	t.Parallel()
	const gigabyte = 1 << 30
	sicknesses := []struct {
		name   string
		faults fault.Faults
		says   string // in the error of the log; empty: it is only slow
	}{
		{"slow", fault.Faults{Delay: 2 * time.Second}, ""},
		{"down", fault.Faults{Down: true}, "status 503"},
		{"resets connections", fault.Faults{Refuse: true}, "Get "},
		{"entries without end", fault.Faults{Endless: gigabyte}, "too large"},
		{"a head without end", fault.Faults{EndlessHead: gigabyte}, "too large"},
		{"a gzip bomb", fault.Faults{Bomb: gigabyte}, "too large"},
	}
	for _, s := range sicknesses {
		for n, kind := range []string{"RFC 6962", "static"} {
			t.Run(s.name+", "+kind, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, 1, toStdout)
				sick, well := w.logs()[n], w.logs()[1-n]
				sick.Faults.Set(s.faults)
				var hidden []*ca.Issued
				for range 3 { // apart, so that several requests are made for them at a time
					i := w.issue()
					w.log(sick, i)
					w.fill(sick, 600)
					hidden = append(hidden, i)
				}
				d := w.watch(nil, "--from", "start")
				var rung []*ca.Issued
				for range 10 {
					i := w.issue()
					w.log(well, i)
					d.rings(i) // although the sick log never gives anything
					rung = append(rung, i)
				}
				if s.says != "" {
					w.until("the error of the sick log", func(c *app.Coverage) bool { return strings.Contains(of(c, sick).Error, s.says) })
				}
				c, err := w.coverage()
				if err != nil {
					t.Fatal(err)
				}
				if g := of(c, well); g.State != "live" || g.Verified != well.Size() || g.Faults > 0 {
					t.Errorf("the other log: %+v, want it live and verified to %d", g, well.Size())
				}
				if s.says != "" && of(c, sick).Verified != 0 {
					t.Errorf("the sick log: %+v, want nothing verified", of(c, sick))
				}

				sick.Faults.Set(fault.Faults{})
				for _, i := range hidden {
					d.rings(i)
				}
				w.settled()
				peak, known := peakResident(d.cmd.Process.Pid)
				d.stop()
				switch {
				case !known:
					t.Log("the memory of a process is not known here")
				case peak > maxResident():
					t.Errorf("the watch held %d MB, want at most %d", peak>>20, maxResident()>>20)
				default:
					t.Logf("the watch held %d MB at most", peak>>20)
				}
				ordered(t, d, rung, hidden, s.says != "")
			})
		}
	}
}

// ordered checks that every certificate rang once, those of the log that was well in their order, and before those of
// the sick log where that gave nothing meanwhile.
func ordered(t *testing.T, d *daemon, rung, hidden []*ca.Issued, apart bool) {
	t.Helper()
	var got []string
	late := 0
	for _, l := range d.told() {
		if !l.rings() {
			continue
		}
		isHidden := false
		for _, i := range hidden {
			isHidden = isHidden || l.Issuance == idOf(i)
		}
		if isHidden {
			late++
		} else {
			if late > 0 && apart {
				t.Errorf("%s rang after what was hidden", l.Issuance)
			}
			got = append(got, l.Issuance)
		}
	}
	want := make([]string, len(rung))
	for n, i := range rung {
		want[n] = idOf(i)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) || late != len(hidden) {
		t.Errorf("rang for %v and %d hidden ones, want %v and %d", got, late, want, len(hidden))
	}
}

// peakResident is the most memory, in bytes, that a running process ever had resident. The figure that wait gives
// would not do: there a child begins with that of its parent.
func peakResident(pid int) (bytes uint64, known bool) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			_, err := fmt.Sscanf(rest, "%d kB", &bytes)
			return bytes << 10, err == nil
		}
	}
	return 0, false
}
