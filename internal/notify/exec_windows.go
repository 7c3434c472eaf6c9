package notify

import "os/exec"

// ownGroup leaves it at the default: the program itself is killed when its time is over.
func ownGroup(*exec.Cmd) {}
