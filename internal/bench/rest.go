package bench

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tocsin-ct/tocsin/loglist"
)

// restPoll is how often the logs are looked at. The daemon rests for restFor times the time of a line, so that what it
// read before is forgotten, and for three looks at least. restEntries is what it read of each log.
const (
	restPoll    = time.Second
	restFor     = 12
	restEntries = 2048
	restTime    = 3 * time.Minute
)

// rest measures the memory of a daemon that follows many logs in which nothing happens.
func (o *Options) rest(ctx context.Context, dir string, emit func(Line) error) error {
	one, err := Make(filepath.Join(dir, "log"), true, o.Shape, restEntries)
	if err != nil {
		return err
	}
	logs, err := one.copies(o.Logs)
	if err != nil {
		return err
	}
	var list []loglist.Log
	var polls atomic.Int64 // heads asked for when all tiles were
	var tiles atomic.Int64
	for _, l := range logs {
		s, err := listen(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/checkpoint") {
				if tiles.Load() >= int64(o.Logs*restEntries/l.perFile()) {
					polls.Add(1)
				}
			} else {
				tiles.Add(1)
			}
			l.ServeHTTP(w, r)
		}))
		if err != nil {
			return err
		}
		defer s.close()
		g, err := listed(l, s.dial)
		if err != nil {
			return err
		}
		list = append(list, g)
	}
	fmt.Fprintf(o.Progress, "resting: %d logs\n", o.Logs)
	d, err := o.watch(ctx, filepath.Join(dir, "daemon"), list, restPoll, "watched.example", "198.51.100.0/24")
	if err != nil {
		return err
	}
	looks := max(3, int(restFor*o.Time/restPoll))
	for begun := time.Now(); polls.Load() < int64(looks*o.Logs); {
		if err := sleep(ctx, restPoll/4); err != nil {
			return err
		}
		if time.Since(begun) > restTime {
			_ = d.stop()
			return fmt.Errorf("%d logs were not read and looked at within %v: %d tiles, %d heads", o.Logs, restTime, tiles.Load(), polls.Load())
		}
	}
	mb := d.resident()
	if err := d.stop(); err != nil {
		return err
	}
	return emit(Line{Bench: "rest", Over: "http", Logs: o.Logs, Entries: o.Logs * restEntries, MB: mb})
}

// listed is a log as a list has it that browsers would use.
func listed(l *Log, dial string) (loglist.Log, error) {
	g, err := l.Listed(dial)
	if err != nil {
		return g, err
	}
	g.Operator, g.Description = "Bench", l.Origin
	g.State, g.StateSince, g.MMD = loglist.Usable, time.Now().Add(-24*time.Hour).UTC().Truncate(time.Second), 24*time.Hour
	return g, nil
}
