package process

import (
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

var processHandleCount = windows.NewLazySystemDLL("kernel32.dll").NewProc("GetProcessHandleCount")

// measure counts handles in the place of descriptors. Windows has no limit on them that could be reached.
func (u *Usage) measure(dir string) {
	u.resident()
	if name, err := windows.UTF16PtrFromString(dir); err == nil {
		var free, size uint64
		if windows.GetDiskFreeSpaceEx(name, &free, &size, nil) == nil {
			u.DiskFree, u.DiskSize = free, size
		}
	}
	var handles uint32
	if ok, _, _ := processHandleCount.Call(uintptr(windows.CurrentProcess()), uintptr(unsafe.Pointer(&handles))); ok != 0 {
		u.Files = uint64(handles)
	}
}

// bootClock is the time since the start of the system, also while it slept.
func bootClock() time.Duration { return windows.DurationSinceBoot() }
