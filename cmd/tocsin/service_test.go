package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin-ct/tocsin/internal/systemd"
)

// manager stands for systemd: it keeps what it was told.
type manager struct {
	t      testing.TB
	socket string
	mu     sync.Mutex
	said   []string
	news   chan struct{}
}

func newManager(t testing.TB) *manager {
	t.Helper()
	dir, err := os.MkdirTemp("", "sd") // short: a path of a socket is
	if err != nil {
		t.Fatal(err)
	}
	m := &manager{t: t, socket: filepath.Join(dir, "notify"), news: make(chan struct{})}
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		os.RemoveAll(dir)
	})
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			m.mu.Lock()
			m.said = append(m.said, string(b[:n]))
			close(m.news)
			m.news = make(chan struct{})
			m.mu.Unlock()
		}
	}()
	return m
}

// await waits until something was said at or behind a place, and returns the place behind it.
func (m *manager) await(from int, pattern string) int {
	m.t.Helper()
	re := regexp.MustCompile(pattern)
	late := time.After(patience)
	for {
		m.mu.Lock()
		said, news := slices.Clone(m.said), m.news
		m.mu.Unlock()
		for i := from; i < len(said); i++ {
			if re.MatchString(said[i]) {
				return i + 1
			}
		}
		select {
		case <-news:
		case <-late:
			m.t.Fatalf("%s was not said, but %q", pattern, said)
		}
	}
}

func (m *manager) all() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.said)
}

func TestSystemdIsToldHowTheDaemonDoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, toStdout)
	m := newManager(t)
	d := w.watch([]string{"NOTIFY_SOCKET=" + m.socket, "WATCHDOG_USEC=600000", "WATCHDOG_PID="})
	at := m.await(0, "^READY=1$")
	m.await(0, "^STATUS=")
	d.ready()
	m.await(at, "^WATCHDOG=1$")
	m.await(at, `^STATUS=2 logs: 2 live; 0 entries owed$`)

	if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	at = m.await(at, `^RELOADING=1\nMONOTONIC_USEC=\d+$`)
	at = m.await(at, "^READY=1$")

	// The watchdog is fed more often than it asks for.
	for range 3 {
		at = m.await(at, "^WATCHDOG=1$")
	}
	d.stop()
	m.await(at, "^STOPPING=1$")
	for i, s := range m.all() {
		if s == "STOPPING=1" && slices.Contains(m.all()[i:], "READY=1") {
			t.Error("ready after it was stopping")
		}
	}
}

func TestALogThatDoesNotAnswerKeepsNothingFromBeingAlive(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, toStdout)
	w.labs[0].Close()
	m := newManager(t)
	d := w.watch([]string{"NOTIFY_SOCKET=" + m.socket, "WATCHDOG_USEC=600000"})
	at := m.await(0, "^WATCHDOG=1$")
	m.await(at, "^WATCHDOG=1$")
	if slices.Contains(m.all(), "READY=1") {
		t.Error("ready at once, and no log has a start")
	}
	d.stop()
}

// mood is a daemon that is in any state.
type mood struct {
	ready chan struct{}
	stuck atomic.Pointer[string] // the station that is
}

func (m *mood) Ready() <-chan struct{} { return m.ready }
func (m *mood) Reload()                {}
func (m *mood) Line() string           { return fmt.Sprint("stuck: ", m.Stuck()) }

func (m *mood) Stuck() error {
	if s := m.stuck.Load(); s != nil {
		return errors.New(*s)
	}
	return nil
}

func TestD12TheWatchdogIsFedOnlyWhileEveryStationIsAlive(t *testing.T) {
	m := newManager(t)
	n := need(systemd.New(m.socket, "30000000", "", os.Getpid()))(t)
	synctest.Test(t, func(t *testing.T) {
		a := &mood{ready: make(chan struct{})}
		s := &service{n, slog.New(slog.DiscardHandler)}
		done := make(chan struct{})
		var loop sync.WaitGroup
		loop.Go(func() { s.speak(t.Context(), a, nil, done) })
		time.Sleep(time.Minute + time.Second) // it is ready after a minute, though no log has a start
		synctest.Wait()
		decider := "the decider"
		a.stuck.Store(&decider)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		a.stuck.Store(nil)
		time.Sleep(11 * time.Second)
		close(done)
		loop.Wait()
	})
	at := m.await(0, "^READY=1$")
	stuck := m.await(at, "^STATUS=stuck: the decider$")
	end := m.await(stuck, "^STATUS=stuck: <nil>$")
	said := m.all()
	feeds := func(list []string) (n int) {
		for _, s := range list {
			if s == "WATCHDOG=1" {
				n++
			}
		}
		return n
	}
	m.await(end, "^STOPPING=1$")
	if n := feeds(said[:stuck]); n < 6 || n > 8 {
		t.Errorf("fed %d times in a minute, every ten seconds: %q", n, said)
	}
	if n := feeds(said[stuck:end]); n != 1 || said[end-2] != "WATCHDOG=1" {
		t.Errorf("fed while a station was stuck, or not when it lived again: %q", said[stuck:end])
	}
}

func TestTheUnitFileIsUnderstood(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not there")
	}
	unit := string(need(os.ReadFile(filepath.Join("..", "..", "examples", "tocsin.service")))(t))
	for _, want := range []string{"Type=notify\n", "WatchdogSec=", "ExecReload=", "StateDirectory=tocsin\n", "Restart=always\n", "NoNewPrivileges=yes\n", "ProtectSystem=strict\n", "SystemCallFilter="} {
		if !strings.Contains(unit, want) {
			t.Errorf("the unit lacks %q", want)
		}
	}
	self := need(os.Executable())(t)
	unit = strings.NewReplacer("/usr/local/bin/tocsin", self, "User=tocsin", "User=root", "Group=tocsin", "Group=root").Replace(unit)
	path := filepath.Join(t.TempDir(), "tocsin.service")
	if err := os.WriteFile(path, []byte(unit), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, analyze, "verify", path).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "tocsin.service") {
			t.Errorf("%s", line)
		}
	}
	if err != nil && len(out) == 0 {
		t.Error(err)
	}
}
