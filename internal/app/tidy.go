package app

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// Reading a backlog takes memory that following the logs does not: tidy gives it back when it lies idle, at most this
// often and from this many bytes on.
const (
	tidyEvery = 10 * time.Second
	tidyFrom  = 16 << 20
)

func (a *App) tidy(ctx context.Context) error {
	samples := []metrics.Sample{{Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}, {Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}}
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	for read := uint64(0); ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		before := read
		read = 0
		for _, s := range a.followed() {
			read += s.entries.Load()
		}
		metrics.Read(samples)
		idle := samples[0].Value.Uint64() + samples[1].Value.Uint64()
		if objects, live := samples[3].Value.Uint64(), samples[2].Value.Uint64(); objects > live {
			idle += objects - live // garbage, as far as is known
		}
		if read-before > busy || idle < tidyFrom {
			continue
		}
		runtime.GC() // twice, since what was kept for use again goes at the second time
		debug.FreeOSMemory()
	}
}

// busy is how many entries between two looks mean that memory is being used.
const busy = 100_000
