package main

import (
	"slices"
	"testing"
	"time"

	"github.com/tocsin-ct/tocsin/internal/lab"
	"github.com/tocsin-ct/tocsin/internal/lab/ca"
)

// BenchmarkSubmissionToAlarm measures the time from the submission of a certificate to a static log, over HTTP, to the
// line on the standard output of a watch process, over 1,000 certificates that come at a steady rate and all ring. The
// limit is that the 99th percentile stays below the poll interval and one second; beyond it the benchmark fails.
func BenchmarkSubmissionToAlarm(b *testing.B) {
	for _, poll := range []time.Duration{200 * time.Millisecond, time.Second} {
		b.Run("poll="+poll.String(), func(b *testing.B) {
			const certificates, every = 1000, 20 * time.Millisecond
			limit := poll + time.Second
			for b.Loop() {
				all := submissionToAlarm(b, certificates, every, poll)
				slices.Sort(all)
				p50, p99 := all[len(all)/2], all[len(all)*99/100]
				b.ReportMetric(0, "ns/op") // the rate of submission is ours
				b.ReportMetric(p50.Seconds()*1000, "p50-ms")
				b.ReportMetric(p99.Seconds()*1000, "p99-ms")
				b.ReportMetric(all[len(all)-1].Seconds()*1000, "max-ms")
				b.ReportMetric(limit.Seconds()*1000, "limit-ms")
				if p99 >= limit {
					b.Errorf("99 of 100 alarms came within %v, and the limit is %v", p99, limit)
				}
			}
		})
	}
}

func submissionToAlarm(b *testing.B, certificates int, every, poll time.Duration) (took []time.Duration) {
	w := newWorld(b, 1, toStdout)
	w.poll = poll
	all := make([]*ca.Issued, certificates)
	for n := range all {
		all[n] = w.issue()
	}
	d := w.watch(nil)
	d.ready()
	submitted := map[string]time.Time{}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for _, i := range all {
		<-tick.C
		submitted[idOf(i)] = time.Now()
		w.play(lab.Submission{Issued: i, To: lab.ToStatic, AsPrecert: true})
	}
	for _, i := range all {
		took = append(took, d.rings(i).at.Sub(submitted[idOf(i)]))
	}
	d.stop()
	return took
}
