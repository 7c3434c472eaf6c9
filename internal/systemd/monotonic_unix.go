//go:build unix

package systemd

import "golang.org/x/sys/unix"

// monotonic is the clock that systemd compares the time of a reload with, in microseconds.
func monotonic() (us int64, ok bool) {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) != nil {
		return 0, false
	}
	return ts.Nano() / 1000, true
}
