package app

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/lists"
	"github.com/tocsin-ct/tocsin/internal/notify"
	"github.com/tocsin-ct/tocsin/internal/watch"
	"github.com/tocsin-ct/tocsin/loglist"
)

// listReaders stands for the tailers of all logs: how far each came, and which run.
type listReaders struct {
	mu      sync.Mutex
	status  map[string]ctlog.Status
	running map[string]string // by name of the log: from where it began, and where it is read
	starts  int
}

// listReader is one tailer that reads nothing.
type listReader struct {
	all  *listReaders
	log  *loglist.Log
	from ctlog.Start
	opts *ctlog.TailOptions
}

func (r *listReader) Status() ctlog.Status {
	r.all.mu.Lock()
	defer r.all.mu.Unlock()
	return r.all.status[r.log.Name()]
}

func (r *listReader) Run(ctx context.Context) error {
	from := "now"
	switch {
	case r.from.Zero:
		from = "start"
	case !r.from.Since.IsZero():
		from = r.from.Since.UTC().Format(time.TimeOnly)
	}
	if err := r.opts.Deliver(ctx, &ctlog.Delivery{Cursor: ctlog.Cursor{Begun: true}}); err != nil {
		return err
	}
	r.all.mu.Lock()
	if was := r.all.running[r.log.Name()]; was != "" {
		panic("two tailers of " + r.log.Name())
	}
	r.all.running[r.log.Name()] = from + " " + r.log.MonitoringURL
	r.all.starts++
	r.all.mu.Unlock()
	<-ctx.Done()
	r.all.mu.Lock()
	delete(r.all.running, r.log.Name())
	r.all.mu.Unlock()
	return ctx.Err()
}

func (r *listReaders) now() (out []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, how := range r.running {
		out = append(out, name+" from "+strings.Fields(how)[0])
	}
	slices.Sort(out)
	return out
}

func (r *listReaders) at(name string, s ctlog.Status) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status[name] = s
}

// listNetwork is a publisher without a network.
type listNetwork struct {
	mu    sync.Mutex
	list  []byte
	down  bool
	asked int
}

func (n *listNetwork) RoundTrip(r *http.Request) (*http.Response, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked++
	if n.down {
		return nil, errors.New("no route to host")
	}
	return &http.Response{StatusCode: 200, Status: "200 OK", Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(n.list)), Request: r}, nil
}

func (n *listNetwork) set(down bool, logs ...loglist.Log) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = down
	if len(logs) > 0 {
		b, err := loglist.Marshal(&loglist.List{Logs: logs})
		if err != nil {
			panic(err)
		}
		n.list = b
	}
}

var listedKeys = map[string][]byte{}

// listed is a usable log of an operator of its own.
func listed(name string) loglist.Log {
	der := listedKeys[name]
	if der == nil {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		if der, err = x509.MarshalPKIXPublicKey(key.Public()); err != nil {
			panic(err)
		}
		listedKeys[name] = der
	}
	u := fmt.Sprintf("https://%s.example.com/", name)
	return loglist.Log{Kind: loglist.RFC6962, ID: sha256.Sum256(der), Key: der, Operator: name, Description: name, URL: u, MonitoringURL: u, MMD: time.Hour, State: loglist.Usable}
}

// listEar is a receiver that remembers.
type listEar struct {
	mu   sync.Mutex
	kind []string
}

func (*listEar) Name() string      { return "ear" }
func (*listEar) Wants(string) bool { return true }
func (*listEar) Stream() bool      { return true }
func (e *listEar) Send(_ context.Context, n notify.Notice) error {
	if n.Kind != "list" {
		return nil
	}
	var m ListMessage
	if err := json.Unmarshal(n.Payload, &m); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.kind = append(e.kind, strings.TrimSpace(n.Kind+" "+m.Event.Kind+" "+strings.Join(m.Event.Logs, ",")))
	return nil
}

func (e *listEar) heard() (out []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	out, e.kind = e.kind, nil
	slices.Sort(out)
	return out
}

// listInstance is an app whose lists come from a network, and whose tailers read nothing.
func listInstance(t *testing.T, state string, n *listNetwork, r *listReaders, e *listEar) *App {
	t.Helper()
	set, err := lists.Open([]lists.Source{{Name: "https://lists.example.com/list.json"}},
		&lists.Options{Memory: lists.MemoryPath(state), Client: &http.Client{Transport: n}, Patience: 4 * time.Hour, Grace: 6 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	_ = set.Refresh(t.Context())
	item, err := watch.ParseItem("example.com", watch.Place{})
	if err != nil {
		t.Fatal(err)
	}
	watches := []watch.Watch{{Name: "w", Items: []watch.Item{item}}}
	a, err := New(t.Context(), Options{
		State: state, Lists: set, Stations: &Stations{Watches: watches, Matcher: watch.New(watches)}, Receivers: []notify.Receiver{e},
		Seams: Seams{NoSocket: true, Tailer: func(c ctlog.Client, _ ctlog.Cursor, o *ctlog.TailOptions) Tailer {
			return &listReader{all: r, log: c.Log(), from: o.From, opts: o}
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestADayOfLists is a day in the life of a daemon: outages, shards that appear and retire, a sudden loss, new
// addresses. Each is heeded and told once.
func TestADayOfLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, e := &listNetwork{}, &listEar{}
		r := &listReaders{status: map[string]ctlog.Status{}, running: map[string]string{}}
		n.set(false, listed("a"), listed("b"), listed("c"))
		state := filepath.Join(t.TempDir(), "state.db")
		a := listInstance(t, state, n, r, e)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		run := func() {
			go func() {
				defer close(ended)
				if _, err := a.Run(ctx); err != nil {
					t.Error(err)
				}
			}()
		}
		run()
		step := func(what string, d time.Duration, running, heard []string) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			if diff := cmp.Diff(running, r.now()); diff != "" {
				t.Errorf("%s: read are (-want +got)\n%s", what, diff)
			}
			if diff := cmp.Diff(heard, e.heard()); diff != "" {
				t.Errorf("%s: told was (-want +got)\n%s", what, diff)
			}
		}
		abc := []string{"a from now", "b from now", "c from now"}
		step("at the start", time.Minute, abc, nil)
		if n.asked != 1 {
			t.Errorf("asked %d times in the first minute", n.asked)
		}
		step("some quiet hours", 6*time.Hour, abc, nil)
		if n.asked < 7 || n.asked > 13 {
			t.Errorf("asked %d times in six hours, want once in 30 to 60 minutes", n.asked)
		}

		n.set(false, listed("a"), listed("b"), listed("c"), listed("shard"))
		abcs := append(slices.Clone(abc), "shard from start")
		step("a shard appears", time.Hour+time.Minute, abcs, []string{"list appeared shard"})
		n.set(true)
		step("an outage", 3*time.Hour, abcs, nil)
		step("that lasts", 3*time.Hour, abcs, []string{"list unreachable"})
		n.set(false)
		step("and its end", time.Hour+time.Minute, abcs, []string{"list resolved"})

		n.set(false, listed("a"))
		step("a sudden loss", 3*time.Hour, abcs, []string{"list refused"})
		if text, err := a.AcceptList(""); err != nil || !strings.Contains(text, "b, c, shard") {
			t.Errorf("%q, %v", text, err)
		}
		step("at once, when it is accepted", time.Second, abcs, []string{"list leaving b,c,shard", "list resolved"})
		n.set(false, listed("a"), listed("c"))
		step("one comes back", 2*time.Hour, abcs, []string{"list returned c"})

		starts := r.starts
		moved := listed("a")
		moved.URL, moved.MonitoringURL = "https://moved.example.com/", "https://moved.example.com/"
		n.set(false, moved, listed("c"))
		step("another address", time.Hour+time.Minute, abcs, []string{"list changed a"})
		if r.starts != starts+1 || r.running["a"] != "now https://moved.example.com/" {
			t.Errorf("%d starts, read at %q", r.starts-starts, r.running["a"])
		}

		// b is read to its end; the shard stopped half-way.
		r.at("b", ctlog.Status{State: "live", Head: ctlog.Head{Size: 9}, Verified: 9, Position: 9})
		r.at("shard", ctlog.Status{State: "unreachable", Head: ctlog.Head{Size: 9}, Verified: 3, Position: 4})
		step("within the grace", 2*time.Hour, abcs, nil)
		step("after it", 5*time.Hour, []string{"a from now", "c from now"}, []string{"list closed b", "list closed shard"})
		c, err := a.Coverage(ctx)
		if err != nil || len(c.Lists) != 1 || c.Lists[0].Followed != 2 {
			t.Fatalf("%+v, %v", c, err)
		}
		notes := map[string]string{}
		for _, l := range c.Logs {
			notes[l.Name] = l.State + " " + l.Note
		}
		if !strings.Contains(notes["b"], "closed no longer listed: read and verified to its last head, of 9") || !strings.Contains(notes["shard"], "6 of 9 entries") {
			t.Errorf("%q", notes)
		}

		// What is not known of the logs that were seen out is said.
		st, err := a.Statement(ctx, time.Now().Add(-time.Hour), time.Now())
		if err != nil || len(st.Logs) != 4 {
			t.Errorf("a statement of %+v, %v, want one of all four logs", st, err)
		}

		// A restart while the network is down.
		stop()
		<-ended
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		n.set(true)
		a = listInstance(t, state, n, r, e)
		ctx, stop = context.WithCancel(t.Context())
		ended = make(chan struct{})
		run()
		step("after a restart", time.Hour, []string{"a from now", "c from now"}, nil)
		stop()
		<-ended
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestALogThatCannotBeFollowedCostsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, e := &listNetwork{}, &listEar{}
		r := &listReaders{status: map[string]ctlog.Status{}, running: map[string]string{}}
		odd := listed("odd")
		key, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader) // no key of a log
		if err != nil {
			t.Fatal(err)
		}
		if odd.Key, err = x509.MarshalPKIXPublicKey(key.Public()); err != nil {
			t.Fatal(err)
		}
		odd.ID = sha256.Sum256(odd.Key)
		if _, err := ctlog.NewClient(odd, nil); err == nil {
			t.Skip("the client takes such a key")
		}
		n.set(false, odd, listed("a"))
		a := listInstance(t, filepath.Join(t.TempDir(), "state.db"), n, r, e)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = a.Run(ctx)
		}()
		time.Sleep(5 * time.Hour)
		synctest.Wait()
		if diff := cmp.Diff([]string{"a from now"}, r.now()); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if diff := cmp.Diff([]string{"list unusable odd"}, e.heard()); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		stop()
		<-ended
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestLooksAtTheListsAreSpread(t *testing.T) {
	least, most := time.Hour, time.Duration(0)
	for range 1000 {
		d := spread(45 * time.Minute)
		least, most = min(least, d), max(most, d)
	}
	if least < 30*time.Minute || most > time.Hour || most-least < 20*time.Minute {
		t.Errorf("from %v to %v", least, most)
	}
}
