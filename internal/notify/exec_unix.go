//go:build unix

package notify

import (
	"os/exec"
	"syscall"
)

// ownGroup gives the program a process group of its own, and kills all of it when its time is over: what it started
// would otherwise live on, one more with each attempt.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
