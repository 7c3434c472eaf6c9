// Package process says what this process uses of the machine and how much is left: memory, the disk of the state file,
// file descriptors, and the clocks that tell a machine that slept from one whose clock was set.
//
// What a system does not tell is left zero (a clock: negative), and zero never warns.
package process

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// Usage is a snapshot. Sizes are bytes.
type Usage struct {
	// RSS is the resident memory, Heap what the Go heap holds of it. MemoryLimit is what the process may use: the least
	// of GOMEMLIMIT and the limit of its control group; 0 for none.
	RSS         uint64 `json:"rss"`
	Heap        uint64 `json:"heap"`
	MemoryLimit uint64 `json:"memory_limit,omitempty"`
	// Files is the number of open file descriptors (on Windows: handles), FilesLimit how many there may be.
	Files      uint64 `json:"files"`
	FilesLimit uint64 `json:"files_limit"`
	// DiskFree and DiskSize are of the file system of the state file, for us as we are. Database is the state file with
	// its write-ahead log.
	DiskFree uint64 `json:"disk_free"`
	DiskSize uint64 `json:"disk_size"`
	Database uint64 `json:"database"`
	// Goroutines are those of the runtime.
	Goroutines uint64 `json:"goroutines"`
}

// Measure looks at the process and at the file system of the state file.
func Measure(state string) Usage {
	samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/sched/goroutines:goroutines"}}
	metrics.Read(samples)
	u := Usage{Heap: samples[0].Value.Uint64(), Goroutines: samples[1].Value.Uint64()}
	if limit := debug.SetMemoryLimit(-1); limit != math.MaxInt64 {
		u.MemoryLimit = uint64(limit)
	}
	for _, name := range []string{state, state + "-wal"} {
		if info, err := os.Stat(name); err == nil {
			u.Database += uint64(info.Size())
		}
	}
	u.measure(filepath.Dir(state))
	return u
}

// limit lowers MemoryLimit.
func (u *Usage) limit(bytes uint64) {
	if bytes > 0 && (u.MemoryLimit == 0 || bytes < u.MemoryLimit) {
		u.MemoryLimit = bytes
	}
}

// Where warnings begin.
const (
	leastFree      = 1 << 30 // bytes of disk; on a small one an eighth of it, or it would warn always
	leastFreeShare = 20      // one in so many
	mostMemory     = 0.85    // of the limit
	mostFiles      = 0.80
)

// Warnings says what is running out; empty for what is not.
func (u Usage) Warnings() (disk, memory, files bool) {
	least := max(u.DiskSize/leastFreeShare, min(leastFree, u.DiskSize/8))
	disk = u.DiskSize > 0 && u.DiskFree < least
	memory = u.MemoryLimit > 0 && float64(u.RSS) > mostMemory*float64(u.MemoryLimit)
	files = u.FilesLimit > 0 && float64(u.Files) > mostFiles*float64(u.FilesLimit)
	return disk, memory, files
}

// Size writes a number of bytes for people.
func Size(n uint64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%d GB", n>>30)
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%d MB", n>>20)
	}
	return fmt.Sprintf("%d KB", n>>10)
}

var began = time.Now()

// Clocks are the clocks of the machine: one that runs while it does, and one that runs also while it sleeps, which is
// negative where there is none. Only differences mean something.
func Clocks() (mono, boot time.Duration) {
	return time.Since(began), bootClock()
}
