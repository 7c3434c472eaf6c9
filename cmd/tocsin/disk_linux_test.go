package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/lab/ca"
	"github.com/tocsin-ct/tocsin/internal/lab/disk"
)

func TestD12AFullDiskLosesNoAlarm(t *testing.T) {
	t.Parallel()
	dir := disk.Small(t, 32)
	w := newWorld(t, 1, toStdout)
	state := filepath.Join(dir, "state.db")
	d := w.watch(nil, "--from", "start", "--state", state)
	d.ready()
	first := w.issue()
	w.log(w.labs[0].RFC6962.Log, first)
	d.rings(first)

	ballast := disk.Fill(t, dir)
	var more []*ca.Issued
	for range 40 {
		more = append(more, w.issue())
	}
	w.log(w.labs[0].RFC6962.Log, more...)
	w.log(w.labs[0].Static.Log, more...)
	for end := time.Now().Add(patience); !strings.Contains(d.stderr.String(), "the disk is full") && !strings.Contains(d.stderr.String(), "disk is full"); {
		if time.Now().After(end) {
			t.Fatalf("the disk is full, and it did not say so, but: %s", d.stderr.String())
		}
		time.Sleep(20 * time.Millisecond)
	}
	// It lives, and can be asked.
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if c, err := app.AskCoverage(ctx, state); err != nil || c.PID == 0 {
		t.Errorf("it cannot be asked: %v", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	for _, i := range more {
		d.rings(i)
	}
	d.stop()
	seen := map[string]int{}
	for _, l := range d.told() {
		if l.rings() && l.Issuance != "" {
			seen[l.ID]++
		}
	}
	if len(seen) != len(more)+1 {
		t.Errorf("%d alarms, want %d", len(seen), len(more)+1)
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s rang %d times", id, n)
		}
	}

	// A start on a full disk says why, and with which status.
	disk.Fill(t, dir)
	d = w.watch(nil, "--state", state)
	if code := d.wait(); code == 0 || !strings.Contains(d.stderr.String(), "hint: the disk is full: free some space") {
		t.Errorf("it ended with %d and said: %s", code, d.stderr.String())
	}
}

func TestAReadOnlyDiskIsRefusedWithAWord(t *testing.T) {
	t.Parallel()
	dir := disk.Small(t, 32)
	w := newWorld(t, 1, toStdout)
	state := filepath.Join(dir, "state.db")
	d := w.watch(nil, "--state", state)
	d.ready()
	d.stop()
	before := need(os.ReadFile(state))(t)
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	d = w.watch(nil, "--state", state)
	if code := d.wait(); code == 0 || !strings.Contains(d.stderr.String(), "tocsin: hint: the disk is mounted read-only") {
		t.Errorf("it ended with %d and said: %s", code, d.stderr.String())
	}
	// What was seen can still be asked for.
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if c, err := app.AskCoverage(ctx, state); err != nil || len(c.Logs) != 2 {
		t.Errorf("%+v %v", c, err)
	}
	if string(need(os.ReadFile(state))(t)) != string(before) {
		t.Error("the file was changed")
	}
}
