package main

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-ct/tocsin/internal/lab"
	"github.com/tocsin-ct/tocsin/internal/lab/ca"
)

// call is a system call that was seen, in the order in which they ended.
type call struct {
	name, file string
	data       []byte // of a write
}

// traced reads what strace wrote: all threads, strings in hex, descriptors with their files. A call that another thread
// interrupted is split in two lines; it counts where it ended.
func traced(t *testing.T, path string) (calls []call) {
	t.Helper()
	var text []byte
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) { // the tracer ends a moment later
		var err error
		if text, err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
		if lines := bytes.Split(bytes.TrimSpace(text), []byte("\n")); bytes.Contains(lines[len(lines)-1], []byte("+++ ")) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("strace did not end; the last it wrote: %s", text[max(0, len(text)-500):])
		}
	}
	begun := map[string]string{} // by thread
	whole := regexp.MustCompile(`^(\w+)\(\d+<((?:[^>]|->)*)>(?:, "((?:\\x[0-9a-f]{2})*)"(\.\.\.)?, \d+(?:, \d+)?)?\) += (-?\d+)`)
	for line := range strings.Lines(string(text)) {
		thread, rest, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok {
			continue
		}
		rest = strings.TrimSpace(rest)
		if head, cut := strings.CutSuffix(rest, " <unfinished ...>"); cut {
			begun[thread] = head
			continue
		}
		if strings.HasPrefix(rest, "<... ") {
			_, tail, _ := strings.Cut(rest, "resumed>")
			rest = begun[thread] + tail
		}
		m := whole.FindStringSubmatch(rest)
		if m == nil || strings.HasPrefix(m[5], "-") {
			continue // a signal, or a call that failed and changed nothing
		}
		data, err := hex.DecodeString(strings.ReplaceAll(m[3], `\x`, ""))
		if err != nil || m[4] != "" {
			t.Fatalf("not the whole data of a write: %.200s", rest)
		}
		file, err := hex.DecodeString(strings.ReplaceAll(m[2], `\x`, ""))
		if err != nil {
			file = []byte(m[2])
		}
		calls = append(calls, call{m[1], string(file), data})
	}
	return calls
}

func (c *call) syncs(suffix string) bool {
	return (c.name == "fsync" || c.name == "fdatasync") && strings.HasSuffix(c.file, suffix)
}

func (c *call) writes(suffix string) bool {
	return (c.name == "write" || c.name == "pwrite64") && strings.HasSuffix(c.file, suffix)
}

// commits reports whether the write is the header of a frame of SQLite's log that ends a transaction: it holds the size
// of the file, which is 0 in all others (sqlite.org/walformat.html).
func (c *call) commits() bool {
	return c.writes("-wal") && len(c.data) == 24 && binary.BigEndian.Uint32(c.data[4:]) != 0
}

// The power may go at any moment: what tocsin says to anybody, or builds upon, must be on disk before. The order of its
// system calls shows it.
func TestEveryAcknowledgementFollowsItsFsync(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("strace is not here, and CI must have it")
		}
		t.Skip("strace is not here: the order of writes and fsyncs cannot be observed")
	}
	t.Parallel()
	w := newWorld(t, 1, toStdout)
	trace := w.path("trace")
	w.under = []string{strace, "-D", "-f", "-y", "-xx", "-s", "1000000", "-e", "trace=fsync,fdatasync,write,pwrite64", "-e", "signal=none", "-o", trace}
	d := w.watch(nil, "--from", "start")
	var rogue []*ca.Issued
	for n := range 5 {
		i := w.issue()
		w.play(lab.Submission{Issued: i, AsPrecert: true, AsFinal: n%2 == 0})
		d.rings(i)
		rogue = append(rogue, i)
	}
	w.settled()
	d.stop()
	lines := d.told()
	calls := traced(t, trace)

	// Each transaction reaches the disk before anything else is written behind it.
	commits, syncs := 0, 0
	open := false // a transaction is written and not on disk
	for i := range calls {
		c := &calls[i]
		switch {
		case c.syncs("-wal"):
			syncs++
			open = false
		case c.writes("-wal") && len(c.data) == 24 && open:
			t.Fatalf("call %d begins a transaction while the one before is not on disk", i)
		case c.commits():
			commits++
			open = true
		}
	}
	if commits < 10 || syncs < commits || open {
		t.Errorf("%d transactions and %d fsyncs were seen, the last one open: %v", commits, syncs, open)
	}

	// An alarm is on disk before it is told, and marked as told only after that.
	for _, i := range rogue {
		n := slices.IndexFunc(lines, func(l told) bool { return l.rings() && l.Issuance == idOf(i) })
		id := []byte(lines[n].ID)
		queued := slices.IndexFunc(calls, func(c call) bool { return c.writes("-wal") && bytes.Contains(c.data, id) })
		said := slices.IndexFunc(calls, func(c call) bool { return strings.HasPrefix(c.file, "pipe:") && bytes.Contains(c.data, id) })
		if queued < 0 || said < 0 || said < queued {
			t.Fatalf("alarm %s was written to the state by call %d and told by call %d", id, queued, said)
		}
		if !slices.ContainsFunc(calls[queued:said], func(c call) bool { return c.syncs("-wal") }) {
			t.Errorf("alarm %s was told before it was on disk", id)
		}
		// Filed together with the cursor, and decided, in transactions of their own: both on disk before it was told.
		filed := slices.IndexFunc(calls, func(c call) bool { return c.writes("-wal") && bytes.Contains(c.data, i.TBS[len(i.TBS)-200:]) })
		if filed < 0 || filed > queued || !slices.ContainsFunc(calls[filed:queued], func(c call) bool { return c.syncs("-wal") }) {
			t.Errorf("the certificate of alarm %s was filed by call %d and decided by call %d, without an fsync between", id, filed, queued)
		}
		marked := slices.IndexFunc(calls[said:], func(c call) bool { return c.writes("-wal") && bytes.Contains(c.data, id) })
		if marked < 0 {
			t.Errorf("alarm %s was not marked as told", id)
		}
	}
}
