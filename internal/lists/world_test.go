package lists

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tocsin-ct/tocsin/loglist"
)

const place = "https://lists.example.com/log_list.json"

// publisher is a publisher of lists without a network: what it answers is in its fields.
type publisher struct {
	mu     sync.Mutex
	files  map[string][]byte // by path
	down   error
	asked  int // requests for a list
	full   int // of them, answered with the list
	status int // instead of an answer, when not 0
}

func (p *publisher) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := strings.HasSuffix(r.URL.Path, ".json")
	if list {
		p.asked++
	}
	if p.down != nil {
		return nil, p.down
	}
	answer := func(code int, b []byte, tag string) (*http.Response, error) {
		h := http.Header{}
		if tag != "" {
			h.Set("ETag", tag)
		}
		return &http.Response{StatusCode: code, Status: fmt.Sprintf("%d %s", code, http.StatusText(code)), Header: h, Body: io.NopCloser(bytes.NewReader(b)), Request: r}, nil
	}
	if p.status != 0 {
		return answer(p.status, []byte("sorry"), "")
	}
	b, ok := p.files[r.URL.Path]
	if !ok {
		return answer(404, nil, "")
	}
	tag := fmt.Sprintf(`"%x"`, sha256.Sum256(b))
	if r.Header.Get("If-None-Match") == tag {
		return answer(304, nil, tag)
	}
	if list {
		p.full++
	}
	return answer(200, b, tag)
}

func (p *publisher) set(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

func (p *publisher) publish(b []byte) { p.set(func() { p.files["/log_list.json"] = b }) }

func newPublisher(logs ...loglist.Log) *publisher {
	p := &publisher{files: map[string][]byte{}}
	p.publish(list(logs...))
	return p
}

var errDown = errors.New("no route to host")

var keys = map[string]*ecdsa.PrivateKey{}

func keyOf(name string) *ecdsa.PrivateKey {
	if keys[name] == nil {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		keys[name] = k
	}
	return keys[name]
}

// a is a usable log with a key of its own. The name "op/x" gives the operator.
func a(name string, change ...func(*loglist.Log)) loglist.Log {
	der, err := x509.MarshalPKIXPublicKey(keyOf(name).Public())
	if err != nil {
		panic(err)
	}
	g, err := loglist.FromKey(loglist.RFC6962, "https://"+strings.ReplaceAll(name, "/", ".")+".example.com/", "", der, "")
	if err != nil {
		panic(err)
	}
	g.Operator, _, _ = strings.Cut(name, "/")
	g.Description, g.MMD = name, 24*time.Hour
	for _, f := range change {
		f(&g)
	}
	return g
}

func in(s loglist.State) func(*loglist.Log) { return func(g *loglist.Log) { g.State = s } }

func final(size uint64) func(*loglist.Log) {
	return func(g *loglist.Log) { g.State, g.Final = loglist.ReadOnly, &loglist.TreeHead{Size: size} }
}

func list(logs ...loglist.Log) []byte { return dated(time.Time{}, logs...) }

func dated(t time.Time, logs ...loglist.Log) []byte {
	b, err := loglist.Marshal(&loglist.List{Timestamp: t, Logs: logs})
	if err != nil {
		panic(err)
	}
	return b
}

func sign(b []byte, by string) []byte {
	digest := sha256.Sum256(b)
	sig, err := keyOf(by).Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		panic(err)
	}
	return sig
}

// open makes a set of one source with what the options say beside the network.
func open(t testing.TB, p *publisher, src Source, o Options) *Set {
	t.Helper()
	if src.Name == "" {
		src.Name = place
	}
	o.Client = &http.Client{Transport: p}
	s, err := Open([]Source{src}, &o)
	if err != nil {
		t.Fatal(err)
	}
	if s.Problem() != nil {
		t.Fatal(s.Problem())
	}
	if err := s.Own(); err != nil {
		t.Fatal(err)
	}
	return s
}

// names are those of the wanted logs: "+" for one from its first entry, "-" for one that leaves.
func names(s *Set) (out []string) {
	for _, w := range s.Wanted() {
		n := w.Log.Name()
		if w.Zero {
			n = "+" + n
		}
		if w.Leaving {
			n = "-" + n
		}
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

// told takes all events, as "kind names", or "kind text" where no log is named.
func told(t testing.TB, s *Set) (out []string) {
	t.Helper()
	events := s.Events()
	for _, e := range events {
		out = append(out, strings.TrimSpace(e.Kind+" "+strings.Join(e.Logs, ",")))
	}
	if err := s.Told(events...); err != nil {
		t.Error(err)
	}
	return out
}

func memoryFile(t testing.TB) string { return filepath.Join(t.TempDir(), "state.db.lists") }

func clientOf(p *publisher) *http.Client { return &http.Client{Transport: p} }

func keyText(name string) string {
	g := a(name)
	return base64.StdEncoding.EncodeToString(g.Key)
}

func idText(name string) string {
	g := a(name)
	return g.IDText()
}
