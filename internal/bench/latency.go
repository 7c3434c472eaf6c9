package bench

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tocsin-ct/tocsin/internal/lab"
	"github.com/tocsin-ct/tocsin/internal/lab/ca"
	"github.com/tocsin-ct/tocsin/loglist"
)

// Five labs have ten logs, five of each kind. A certificate that must ring goes to one of them at a time.
const (
	livePairs    = 5
	liveEvery    = 50 * time.Millisecond
	livePoll     = time.Second
	liveMost     = 2000             // certificates
	livePatience = 2 * time.Minute  // for the last alarm
	backlogTime  = 30 * time.Minute // for the backlog
	distinct     = 65536            // entries of the backlog before it repeats
)

// latency measures how long alarms of ten live logs take while the backlog of an eleventh is read.
func (o *Options) latency(ctx context.Context, dir string, emit func(Line) error) error {
	fmt.Fprintf(o.Progress, "writing a backlog of %d entries\n", o.Backlog)
	some, err := Make(filepath.Join(dir, "backlog"), true, o.Shape, min(distinct, o.Backlog/256*256))
	if err != nil {
		return err
	}
	backlog, err := some.Repeated(o.Backlog)
	if err != nil {
		return err
	}
	least, err := limitPass(some, "", runtime.GOMAXPROCS(0))
	if err != nil {
		return err
	}
	var began, ended atomic.Int64
	files := int64((backlog.Size + 255) / 256)
	var served atomic.Int64
	s, err := listen(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		backlog.ServeHTTP(w, r)
		if strings.Contains(r.URL.Path, "/tile/data/") {
			began.CompareAndSwap(0, time.Now().UnixNano())
			if served.Add(1) == files {
				ended.Store(time.Now().UnixNano())
			}
		}
	}))
	if err != nil {
		return err
	}
	defer s.close()
	g, err := listed(backlog, s.dial)
	if err != nil {
		return err
	}
	list := []loglist.Log{g}
	labs, more, err := labs(ctx)
	defer func() {
		for _, l := range labs {
			_ = l.Close()
		}
	}()
	if err != nil {
		return err
	}
	issuer, err := ca.NewRoot("Bench CA", &ca.Options{Org: "Bench Trust"})
	if err != nil {
		return err
	}
	d, err := o.watch(ctx, filepath.Join(dir, "daemon"), append(list, more...), livePoll, "2001:db8:a1a::/48")
	if err != nil {
		return err
	}
	fmt.Fprintf(o.Progress, "ringing: 10 logs, beside a backlog of %d entries\n", backlog.Size)
	sent, err := ring(ctx, labs, issuer, func() bool { return ended.Load() != 0 })
	if err != nil {
		_ = d.stop()
		return err
	}
	took, err := d.wait(ctx, sent)
	if serr := d.stop(); err == nil {
		err = serr
	}
	if err != nil {
		return err
	}
	slices.Sort(took)
	wall := time.Duration(ended.Load() - began.Load())
	n, per := float64(backlog.Size), float64(some.Size)
	line := Line{Bench: "latency", Over: "http", Cores: runtime.GOMAXPROCS(0), Items: 1, Entries: backlog.Size, Logs: 2*livePairs + 1, Alarms: len(took),
		EntriesPerS: n / wall.Seconds(), LimitEntriesPerS: per / least.wall.Seconds(),
		Ratio: (d.cpu().Seconds() / n) / (least.cpu.Seconds() / per),
		CPU:   d.cpu().Seconds() * 1e6 / n, LimitCPU: least.cpu.Seconds() * 1e6 / per}
	ms := func(d time.Duration) float64 { return d.Seconds() * 1e3 }
	line.P50MS, line.MS, line.MaxMS = ms(took[len(took)/2]), ms(took[len(took)*99/100]), ms(took[len(took)-1])
	return emit(line)
}

// labs starts the live logs.
func labs(ctx context.Context) (labs []*lab.Lab, logs []loglist.Log, err error) {
	for i := range livePairs {
		l, err := lab.Start(ctx, nil)
		if err != nil {
			return labs, nil, err
		}
		labs = append(labs, l)
		raw, err := l.LogList()
		if err != nil {
			return labs, nil, err
		}
		list, err := loglist.Parse(raw)
		if err != nil {
			return labs, nil, err
		}
		for _, g := range list.Logs {
			g.Operator = fmt.Sprintf("%s %d", g.Operator, i)
			logs = append(logs, g)
		}
	}
	return labs, logs, nil
}

// ring submits certificates until the backlog is read, each to one log, and says when.
func ring(ctx context.Context, labs []*lab.Lab, issuer *ca.Authority, over func() bool) (sent map[string]time.Time, err error) {
	sent = map[string]time.Time{}
	tick := time.NewTicker(liveEvery)
	defer tick.Stop()
	for begun := time.Now(); len(sent) < 2*livePairs || !over() && len(sent) < liveMost; {
		select {
		case <-ctx.Done():
			return sent, ctx.Err()
		case <-tick.C:
		}
		n := len(sent)
		a := netip.AddrFrom16([16]byte{0x20, 1, 0x0d, 0xb8, 0x0a, 0x1a, 14: byte(n >> 8), 15: byte(n)})
		i, err := issuer.Issue(ca.Leaf{IPs: []netip.Addr{a}, From: time.Now().Add(-time.Hour), For: 24 * time.Hour})
		if err != nil {
			return sent, err
		}
		to := lab.ToRFC6962
		if n%2 == 1 {
			to = lab.ToStatic
		}
		sent[a.String()] = time.Now()
		if _, err := labs[n/2%len(labs)].AddPreChain(ctx, to, i.Precert, i.Chain); err != nil {
			return sent, err
		}
		if time.Since(begun) > backlogTime {
			return sent, fmt.Errorf("the backlog was not read within %v", backlogTime)
		}
	}
	for !over() {
		if err := sleep(ctx, liveEvery); err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// wait waits for all alarms and says how long each took.
func (d *daemon) wait(ctx context.Context, sent map[string]time.Time) (took []time.Duration, err error) {
	deadline := time.Now().Add(livePatience)
	for value, at := range sent {
		for {
			if rang, ok := d.rang(value); ok {
				took = append(took, rang.Sub(at))
				break
			}
			if time.Now().After(deadline) {
				return nil, fmt.Errorf("%d of %d alarms did not come within %v after the last submission", len(sent)-len(took), len(sent), livePatience)
			}
			if err := sleep(ctx, 20*time.Millisecond); err != nil {
				return nil, err
			}
		}
	}
	return took, nil
}
