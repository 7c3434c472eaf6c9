package process

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

func (u *Usage) measure(dir string) {
	u.resident()
	var fs unix.Statfs_t
	if unix.Statfs(dir, &fs) == nil {
		u.DiskFree, u.DiskSize = fs.Bavail*uint64(fs.Bsize), fs.Blocks*uint64(fs.Bsize)
	}
	if d, err := os.Open("/dev/fd"); err == nil {
		names, _ := d.Readdirnames(-1)
		d.Close()
		if len(names) > 0 {
			u.Files = uint64(len(names) - 1) // without the one that reads it
		}
	}
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil {
		u.FilesLimit = limit.Cur
	}
}

// bootClock is CLOCK_MONOTONIC, which runs while a Mac sleeps; that of the Go runtime does not.
func bootClock() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) != nil {
		return -1
	}
	return time.Duration(ts.Nano())
}
