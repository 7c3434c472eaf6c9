//go:build !linux

package process

import "runtime/metrics"

// resident takes what the Go runtime has from the system for resident memory, where the system is not asked.
func (u *Usage) resident() {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	u.RSS = s[0].Value.Uint64() - s[1].Value.Uint64()
}
