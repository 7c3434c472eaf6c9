//go:build unix

package systemd

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// manager listens like systemd does.
func manager(t *testing.T) (socket string, next func() string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "sd") // short: a path of a socket is
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket = filepath.Join(dir, "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return socket, func() string {
		b := make([]byte, 4096)
		if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := c.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
}

func TestItSpeaksAsSystemdListens(t *testing.T) {
	socket, next := manager(t)
	n, err := New(socket, "30000000", "77", 77)
	if err != nil || n.Watchdog() != 30*time.Second {
		t.Fatalf("%v, watchdog %v", err, n.Watchdog())
	}
	var got []string
	for _, say := range []func() error{
		n.Ready, n.Reloading, n.Alive, n.Stopping,
		func() error { return n.Status("seeing 2 of 2 logs") },
		func() error { return n.Status("seeing 2 of 2 logs") }, // not sent again
		func() error { return n.Status("a\nREADY=1") },
		func() error { return n.Status(strings.Repeat("é", 400)) },
	} {
		if err := say(); err != nil {
			t.Fatal(err)
		}
	}
	for range 7 {
		got = append(got, regexp.MustCompile(`USEC=\d+$`).ReplaceAllString(next(), "USEC=N"))
	}
	want := []string{"READY=1", "RELOADING=1\nMONOTONIC_USEC=N", "WATCHDOG=1", "STOPPING=1", "STATUS=seeing 2 of 2 logs", "STATUS=a READY=1",
		"STATUS=" + strings.Repeat("é", 250)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestTheEnvironment(t *testing.T) {
	tests := []struct {
		name, socket, usec, pid string
		none                    bool
		watchdog                time.Duration
		err                     string
	}{
		{"without systemd there is nothing to say", "", "1000", "", true, 0, ""},
		{"no watchdog is asked for", "/run/x", "", "", false, 0, ""},
		{"a watchdog for us", "/run/x", "5000000", "7", false, 5 * time.Second, ""},
		{"a watchdog for everybody", "@abstract", "5000000", "", false, 5 * time.Second, ""},
		{"a watchdog for our parent", "/run/x", "5000000", "8", false, 0, ""},
		{"no number", "/run/x", "soon", "7", false, 0, "no time in microseconds"},
		{"too large a number", "/run/x", "9223372036854775807", "7", false, 0, "no time in microseconds"},
		{"less than nothing", "/run/x", "-5", "", false, 0, "no time in microseconds"},
		{"a socket of another kind", "vsock:2:1", "", "", true, 0, "neither a path nor an abstract socket"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n, err := New(tt.socket, tt.usec, tt.pid, 7)
			if (n == nil) != tt.none || n.Watchdog() != tt.watchdog {
				t.Errorf("notifier %v, watchdog %v", n, n.Watchdog())
			}
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestProgramsThatWeStartDoNotSpeakForUs(t *testing.T) {
	socket, next := manager(t)
	t.Setenv("NOTIFY_SOCKET", socket)
	t.Setenv("WATCHDOG_USEC", "1000000")
	t.Setenv("WATCHDOG_PID", "")
	n, err := FromEnvironment()
	if err != nil || n.Watchdog() != time.Second {
		t.Fatalf("%v %v", n, err)
	}
	for _, key := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
		if v, ok := os.LookupEnv(key); ok {
			t.Errorf("%s is still %q", key, v)
		}
	}
	if err := n.Ready(); err != nil || next() != "READY=1" {
		t.Error(err)
	}
}

func TestWithoutAManagerNothingHappens(t *testing.T) {
	var n *Notifier
	for _, err := range []error{n.Ready(), n.Reloading(), n.Alive(), n.Stopping(), n.Status("x")} {
		if err != nil {
			t.Error(err)
		}
	}
	gone, err := New("/nowhere/notify", "", "", 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := gone.Ready(); err == nil {
		t.Error("a manager that is gone was told")
	}
	if err := gone.Alive(); err != nil {
		t.Errorf("a watchdog that nobody asked for: %v", err)
	}
}
