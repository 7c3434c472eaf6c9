package process

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestWhatIsLeft(t *testing.T) {
	const gb = 1 << 30
	tests := []struct {
		name                string
		u                   Usage
		disk, memory, files bool
	}{
		{"nothing known warns of nothing", Usage{}, false, false, false},
		{"half a disk is enough", Usage{DiskFree: 50 * gb, DiskSize: 100 * gb}, false, false, false},
		{"less than 5 % of a large disk is low", Usage{DiskFree: 49 * gb, DiskSize: 1000 * gb}, true, false, false},
		{"less than 1 GB is low", Usage{DiskFree: gb - 1, DiskSize: 20 * gb}, true, false, false},
		{"a small disk is low by its share", Usage{DiskFree: gb / 4, DiskSize: gb}, false, false, false},
		{"an eighth", Usage{DiskFree: gb/8 - 1, DiskSize: gb}, true, false, false},
		{"a full disk is low", Usage{DiskSize: 4 * gb}, true, false, false},
		{"memory near the limit", Usage{RSS: 900, MemoryLimit: 1000}, false, true, false},
		{"memory far from it", Usage{RSS: 800, MemoryLimit: 1000}, false, false, false},
		{"no limit", Usage{RSS: 1 << 40}, false, false, false},
		{"descriptors near the limit", Usage{Files: 900, FilesLimit: 1024}, false, false, true},
		{"descriptors far from it", Usage{Files: 100, FilesLimit: 1024}, false, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			disk, memory, files := tt.u.Warnings()
			if disk != tt.disk || memory != tt.memory || files != tt.files {
				t.Errorf("disk %v, memory %v, files %v; want %v, %v, %v", disk, memory, files, tt.disk, tt.memory, tt.files)
			}
		})
	}
}

func TestMeasureSeesTheProcess(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state.db")
	for name, size := range map[string]int{state: 1000, state + "-wal": 234} {
		if err := os.WriteFile(name, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	u := Measure(state)
	if u.Database != 1234 || u.Heap == 0 || u.RSS < u.Heap/2 || u.Goroutines == 0 {
		t.Errorf("%+v", u)
	}
	switch runtime.GOOS {
	case "linux", "darwin", "windows":
	default:
		return
	}
	if u.DiskSize == 0 || u.DiskFree > u.DiskSize || (u.FilesLimit == 0) != (runtime.GOOS == "windows") {
		t.Errorf("%+v", u)
	}
	f, err := os.Open(state)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if more := Measure(state); more.Files != u.Files+1 {
		t.Errorf("%d files, and with one more %d", u.Files, more.Files)
	}
	a, b := Clocks()
	c, d := Clocks()
	if c < a || d < b || b <= 0 {
		t.Errorf("clocks %v %v, then %v %v", a, b, c, d)
	}
}

func TestSizesForPeople(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 KB", 5000: "4 KB", 5 << 20: "5 MB", 3 << 29: "1.5 GB", 40 << 30: "40 GB"} {
		if got := Size(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}
