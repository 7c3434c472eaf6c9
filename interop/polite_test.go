package interop_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/interop/reallogs"
)

// frontRow is a real nginx before real logs, as operators set it up, and what its log must say about us.
type frontRow struct {
	name  string
	front func(logs []*reallogs.Log) front
	// away takes nginx away for a while.
	away bool
	// poll is the time between looks at the head; 0 is 20 ms, which is too often for everybody.
	poll time.Duration
	// only, unless empty, is the one kind of log that this is about.
	only reallogs.Kind
	// settled, when set, says that there is enough in the log of nginx to judge.
	settled func([]hit) bool
	judge   func(t *testing.T, l *reallogs.Log, hits []hit)
	// operator says that the logs belong to one, and share its budget; judge then gets the requests to all of them.
	operator bool
}

func fixed(f front) func([]*reallogs.Log) front { return func([]*reallogs.Log) front { return f } }

// keeps says that a reader who would like to ask fifty times a second keeps to the limit, but for what it takes to find
// it, and is refused seldom.
func keeps(limit int) func(*testing.T, *reallogs.Log, []hit) {
	return func(t *testing.T, _ *reallogs.Log, hits []hit) {
		if refused(hits) == 0 {
			t.Error("nginx refused nothing: there was no limit to find")
		}
		if most := busiest(hits); most > 2*limit+6 {
			t.Errorf("%d requests within one second where %d are allowed", most, limit)
		}
		span := hits[len(hits)-1].at.Sub(hits[0].at).Seconds()
		// The limit, a fifth more for what it costs to touch it now and then, and what it takes to find it.
		if most := 1.2*float64(limit)*span + float64(limit) + 6; float64(len(hits)) > most {
			t.Errorf("%d requests in %.1f seconds where %d a second are allowed", len(hits), span, limit)
		}
		if n := refused(hits); n > 6+len(hits)/8 {
			t.Errorf("%d of %d requests were refused", n, len(hits))
		}
	}
}

// often is how often the head is looked at where there is no limit to find.
const often = 80 * time.Millisecond

var fronts = []frontRow{
	{name: "limit_req: 5 a second, else 429 without Retry-After", judge: keeps(5), front: fixed(front{
		http:     `limit_req_zone $http_host zone=asked:1m rate=5r/s; limit_req_status 429;`,
		location: `limit_req zone=asked burst=2 nodelay;`,
	})},
	{name: "limit_req: 2 a second, else 503", judge: keeps(2), front: fixed(front{
		http:     `limit_req_zone $http_host zone=asked:1m rate=2r/s;`,
		location: `limit_req zone=asked burst=1 nodelay;`,
	})},
	{name: "limit_req: 4 a second for both logs together", operator: true, judge: keeps(4), front: fixed(front{
		http:     `limit_req_zone $server_port zone=asked:1m rate=4r/s; limit_req_status 429;`,
		location: `limit_req zone=asked burst=2 nodelay;`,
	})},
	{name: "limit_conn: one answer at a time, else 429", poll: often, front: fixed(front{
		http:     `limit_conn_zone $http_host zone=open:1m; limit_conn_status 429;`,
		location: `limit_conn open 1; limit_rate 250k; proxy_set_header Accept-Encoding "";`,
	}), judge: func(t *testing.T, l *reallogs.Log, hits []hit) {
		// Several tiles are asked for at the same time, and that is unlearned. On a busy machine they may never meet.
		if n := refused(hits); n*3 > len(hits) {
			t.Errorf("%d of %d requests were refused", n, len(hits))
		}
	}},
	{name: "HTTP/2 over TLS, compressed", poll: often, front: fixed(front{
		tls:  true,
		http: `gzip on; gzip_proxied any; gzip_types application/json text/plain; gzip_min_length 1;`,
	}), judge: func(t *testing.T, l *reallogs.Log, hits []hit) {
		connections, compressed := map[string]bool{}, 0
		for _, h := range hits {
			connections[h.connection] = true
			if h.protocol != "HTTP/2.0" {
				t.Fatalf("%s was asked for by %s", h.path, h.protocol)
			}
			if h.encoding == "gzip" {
				compressed++
			}
		}
		// Two at most: one that was still opening when more had to be asked.
		if len(connections) > 2 || compressed == 0 {
			t.Errorf("%d connections, %d of %d answers compressed", len(connections), compressed, len(hits))
		}
	}},
	{name: "HTTP/1.1, nothing compressed", poll: often, front: fixed(front{location: `proxy_set_header Accept-Encoding "";`}),
		judge: func(t *testing.T, l *reallogs.Log, hits []hit) {
			connections := map[string]bool{}
			for _, h := range hits {
				connections[h.connection] = true
				if h.protocol != "HTTP/1.1" || h.encoding != "-" {
					t.Fatalf("%s came by %s, encoded %s", h.path, h.protocol, h.encoding)
				}
			}
			if len(connections) > 8 {
				t.Errorf("%d connections", len(connections))
			}
		}},
	{name: "proxy_cache: half of the answers are up to a second old", poll: often, front: fixed(front{
		http:     `split_clients "$request_id" $fresh { 50% 1; * ""; }`,
		location: `proxy_cache answers; proxy_cache_valid 200 1s; proxy_ignore_headers Cache-Control Expires Vary; proxy_cache_bypass $fresh; proxy_no_cache $fresh;`,
	}), judge: func(t *testing.T, l *reallogs.Log, hits []hit) {
		old := 0
		for _, h := range hits {
			if h.cached == "HIT" && (strings.HasSuffix(h.path, "/checkpoint") || strings.HasSuffix(h.path, "/get-sth")) {
				old++
			}
		}
		if old < 5 {
			t.Errorf("%d heads came from the cache: there was no skew", old)
		}
	}},
	{name: "nginx serves the folder of the log itself", poll: often, only: reallogs.Static, front: func(logs []*reallogs.Log) front {
		return front{server: fmt.Sprintf(`location /m/ { alias %s/; location ~ /\. { return 404; } }`, logs[1].Folder())}
	}, settled: func(hits []hit) bool {
		// Its tags are made of seconds: in the second of a new checkpoint none can be trusted. After that an unchanged
		// checkpoint is not sent again.
		return slices.ContainsFunc(hits, func(h hit) bool { return h.status == 304 })
	}},
	{name: "nginx is away for a while", poll: often, away: true, front: fixed(front{}), judge: func(t *testing.T, l *reallogs.Log, hits []hit) {
		gap := time.Duration(0)
		for i := 1; i < len(hits); i++ {
			gap = max(gap, hits[i].at.Sub(hits[i-1].at))
		}
		if gap < time.Second {
			t.Errorf("nginx was never away for longer than %v", gap)
		}
	}},
}

// TestTailerIsPoliteBehindRealFrontEnds follows growing real logs through a real nginx, in all ways at the same time,
// and asks fifty times a second if it may. Nothing is lost, nobody is accused, and nginx counts how often it was asked.
func TestTailerIsPoliteBehindRealFrontEnds(t *testing.T) {
	t.Parallel()
	root := newRoot(t, "Root")
	issuer := root.sub(t, "Issuing CA", p384Key(t), nil)
	logs := startLogs(t, root)
	for _, l := range logs {
		fill(t, l, issuer, 270)
	}
	type behind struct {
		row    frontRow
		log    *reallogs.Log
		nginx  *nginx
		reader *reader
		live   *running
	}
	var all []*behind
	var growing errgroup.Group
	for _, row := range fronts {
		n := startNginx(t, row.front(logs), logs...)
		var budget *ctlog.Budget
		if row.operator {
			budget = new(ctlog.Budget)
		}
		for _, l := range logs {
			if row.only != "" && row.only != l.Kind {
				continue
			}
			b := &behind{row: row, log: l, nginx: n, reader: newReaderWith(t, l, n.dial(), &ctlog.Options{Budget: budget})}
			b.reader.poll = row.poll
			b.live = b.reader.live(ctlog.Start{Zero: true})
			t.Cleanup(b.live.end)
			all = append(all, b)
		}
		if row.away {
			growing.Go(func() error {
				time.Sleep(1500 * time.Millisecond)
				n.stop()
				time.Sleep(1500 * time.Millisecond)
				n.start()
				return nil
			})
		}
	}
	for _, l := range logs {
		growing.Go(func() error {
			for range 16 { // for as long as it takes to see what a reader does when it may not ask
				fill(t, l, issuer, 9)
				time.Sleep(300 * time.Millisecond)
			}
			return nil
		})
	}
	_ = growing.Wait()
	views := map[*reallogs.Log]view{}
	for _, l := range logs {
		views[l] = look(t, l)
	}
	for _, b := range all {
		t.Run(b.row.name+"/"+b.log.Name, func(t *testing.T) {
			v := views[b.log]
			until(t, "the log is verified to its end", func() bool { return b.reader.verified() == v.size })
			if b.row.settled != nil {
				until(t, "nginx has seen enough", func() bool { return b.row.settled(of(b.log, b.nginx.hits())) })
			}
			b.live.end()
			b.reader.check(v, 0)
			hits := b.nginx.hits()
			if !b.row.operator {
				hits = of(b.log, hits)
			}
			if b.row.judge != nil {
				b.row.judge(t, b.log, hits)
			}
			t.Logf("%d requests, %d refused, at most %d in a second", len(hits), refused(hits), busiest(hits))
		})
	}
}

// TestTocsinRingsBehindRealFrontEnds runs the program behind an nginx that serves HTTP/2 over TLS, from a cache for half
// of the time, and refuses what comes too fast.
func TestTocsinRingsBehindRealFrontEnds(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds and runs the program itself: left out in short mode")
	}
	const limit = 4
	var n *nginx
	w := newWorldVia(t, func(logs ...*reallogs.Log) func(*reallogs.Log) string {
		n = startNginx(t, front{
			tls: true,
			http: fmt.Sprintf(`limit_req_zone $http_host zone=asked:1m rate=%dr/s; limit_req_status 429; limit_conn_zone $http_host zone=open:1m;
				split_clients "$request_id" $fresh { 50%% 1; * ""; } gzip on; gzip_proxied any; gzip_types application/json;`, limit),
			location: `limit_req zone=asked burst=2 nodelay; limit_conn open 2; proxy_cache answers; proxy_cache_valid 200 1s;
				proxy_ignore_headers Cache-Control Expires Vary; proxy_cache_bypass $fresh; proxy_no_cache $fresh;`,
		}, logs...)
		return func(*reallogs.Log) string { return n.dial() }
	})
	w.precertify(w.issue(w.other, "192.0.2.99")) // before tocsin first looked: not asked for
	life := w.tocsin.start(t)
	want := map[string]int{}
	for i := range 8 {
		bad := w.issue(w.other, fmt.Sprintf("192.0.2.%d", i+1))
		want[bad.address] = 1
		w.precertify(bad, w.logs[i%2])
	}
	for address := range want {
		if !slices.ContainsFunc(life.got, func(m message) bool { return rings(m) && m.about(address) }) {
			life.await("alarm", address)
		}
	}
	until(t, "both logs are verified to their end", w.verified)
	c, _ := w.tocsin.coverage(t)
	for _, f := range c.Faults {
		t.Errorf("an honest log is accused: %s of %s: %s", f.Kind, f.Log, f.Text)
	}
	life.kill()
	if diff := cmp.Diff(want, alarms(life.got)); diff != "" {
		t.Errorf("alarms by address (-want +rung):\n%s", diff)
	}
	for _, l := range w.logs {
		hits := of(l, n.hits())
		keeps(limit)(t, l, hits)
		for _, h := range hits {
			if h.protocol != "HTTP/2.0" || !strings.HasPrefix(h.agent, "tocsin/") || !strings.Contains(h.agent, "ct@lab.example") {
				t.Fatalf("%s was asked for over %s by %q", h.path, h.protocol, h.agent)
			}
		}
		t.Logf("%s: %d requests, %d refused, at most %d in a second", l.Name, len(hits), refused(hits), busiest(hits))
	}
}
