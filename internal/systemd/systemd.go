// Package systemd tells systemd how the service does: ready, reloading, stopping, a line of status, and that it is alive
// (sd_notify(3), sd_watchdog_enabled(3)). It is a few datagrams to a socket; without systemd, and on a nil [Notifier],
// everything does nothing.
//
// It trusts the environment, as every process must.
package systemd

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Notifier speaks to the service manager. It is safe for concurrent use.
type Notifier struct {
	addr     net.UnixAddr
	watchdog time.Duration

	mu     sync.Mutex
	status string
}

// FromEnvironment returns a notifier for the manager that started this process, nil when none did. It removes the
// variables, so that programs we start do not speak for us. An error says that the environment makes no sense; the
// notifier is then usable as far as it goes.
func FromEnvironment() (*Notifier, error) {
	env := map[string]string{}
	for _, key := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
		env[key] = os.Getenv(key)
		os.Unsetenv(key)
	}
	return New(env["NOTIFY_SOCKET"], env["WATCHDOG_USEC"], env["WATCHDOG_PID"], os.Getpid())
}

// New makes a notifier of the values of NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID.
func New(socket, usec, pid string, self int) (*Notifier, error) {
	if socket == "" {
		return nil, nil
	}
	if socket[0] != '/' && socket[0] != '@' {
		return nil, fmt.Errorf("speaking to systemd: NOTIFY_SOCKET is %.100q, neither a path nor an abstract socket", socket)
	}
	n := &Notifier{addr: net.UnixAddr{Name: socket, Net: "unixgram"}}
	if usec == "" || pid != "" && pid != strconv.Itoa(self) {
		return n, nil
	}
	us, err := strconv.ParseInt(usec, 10, 64)
	if err != nil || us <= 0 || us > int64(1<<62)/1000 {
		return n, fmt.Errorf("speaking to systemd: WATCHDOG_USEC is %.100q, no time in microseconds", usec)
	}
	n.watchdog = time.Duration(us) * time.Microsecond
	return n, nil
}

// Watchdog is within which time [Notifier.Alive] must be said again; 0 when nobody waits for it.
func (n *Notifier) Watchdog() time.Duration {
	if n == nil {
		return 0
	}
	return n.watchdog
}

// Ready says that the service does its work. Also after a reload.
func (n *Notifier) Ready() error { return n.send("READY=1") }

// Reloading says that the configuration is being read again; [Notifier.Ready] ends it.
func (n *Notifier) Reloading() error {
	state := "RELOADING=1"
	if us, ok := monotonic(); ok {
		state += "\nMONOTONIC_USEC=" + strconv.FormatInt(us, 10)
	}
	return n.send(state)
}

// Stopping says that the service ends.
func (n *Notifier) Stopping() error { return n.send("STOPPING=1") }

// Alive keeps the watchdog quiet for one more of its times.
func (n *Notifier) Alive() error {
	if n.Watchdog() == 0 {
		return nil
	}
	return n.send("WATCHDOG=1")
}

// maxStatus bounds the line of status.
const maxStatus = 500

// Status sets the line that systemctl status shows. It is sent when it has changed.
func (n *Notifier) Status(text string) error {
	if n == nil {
		return nil
	}
	text = strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, text)
	text = strings.ToValidUTF8(text[:min(len(text), maxStatus)], "")
	n.mu.Lock()
	same := n.status == text
	n.status = text
	n.mu.Unlock()
	if same {
		return nil
	}
	return n.send("STATUS=" + text)
}

// timeout bounds a send: the manager's queue may be full.
const timeout = 2 * time.Second

func (n *Notifier) send(state string) error {
	if n == nil {
		return nil
	}
	c, err := net.DialUnix("unixgram", nil, &n.addr)
	if err == nil {
		defer c.Close()
		if err = c.SetWriteDeadline(time.Now().Add(timeout)); err == nil {
			_, err = c.Write([]byte(state))
		}
	}
	if err != nil {
		return fmt.Errorf("speaking to systemd: %w", err)
	}
	return nil
}
