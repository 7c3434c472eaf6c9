package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
)

// answer is what the log says to one request.
type answer struct {
	body   io.ReadCloser
	length int64
	zip    bool
	json   bool
}

var errNone = errors.New("no such thing in this log")

// get answers a request below the log's prefix.
func (l *Log) get(r *http.Request) (*answer, error) {
	path := strings.TrimPrefix(r.URL.Path, "/2026/")
	switch {
	case path == "checkpoint" && l.Static, path == "ct/v1/get-sth" && !l.Static:
		return &answer{body: io.NopCloser(bytes.NewReader(l.Head)), length: int64(len(l.Head)), json: !l.Static}, nil
	case l.Static:
		rest, ok := strings.CutPrefix(path, "tile/data/")
		rest, _, partial := strings.Cut(rest, ".p/")
		n, err := strconv.ParseUint(strings.ReplaceAll(strings.ReplaceAll(rest, "x", ""), "/", ""), 10, 31)
		if !ok || err != nil || partial != (int(n) == l.Size/l.perFile()) {
			return nil, errNone
		}
		a, err := l.open(int(n))
		if err == nil {
			a.zip = true
		}
		return a, err
	case path == "ct/v1/get-entries":
		q := r.URL.Query()
		start, err1 := strconv.ParseUint(q.Get("start"), 10, 31)
		end, err2 := strconv.ParseUint(q.Get("end"), 10, 31)
		if err1 != nil || err2 != nil || start > end || int(start) >= l.Size {
			return nil, errNone
		}
		return l.entries(int(start), min(int(end)+1, l.Size))
	}
	return nil, errNone
}

func (l *Log) open(file int) (*answer, error) {
	f, err := os.Open(l.file(file))
	if err != nil {
		return nil, errNone
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &answer{body: f, length: st.Size()}, nil
}

// entries is a page from start to end, cut at a multiple of the page size as most logs do.
func (l *Log) entries(start, end int) (*answer, error) {
	page := start / pageSize
	first, last := page*pageSize, min((page+1)*pageSize, l.Size)
	end = min(end, last)
	a, err := l.open(page)
	if err != nil {
		return nil, err
	}
	a.json = true
	if start == first && end == last {
		return a, nil
	}
	from, to := int64(len(`{"entries":[`)), int64(l.Ends[end-1])
	if start > first {
		from = int64(l.Ends[start-1]) + 1
	}
	const head, tail = `{"entries":[`, "]}"
	f := a.body.(*os.File)
	a.length = int64(len(head)) + to - from + int64(len(tail))
	a.body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(strings.NewReader(head), io.NewSectionReader(f, from, to-from), strings.NewReader(tail)), f}
	return a, nil
}

// ServeHTTP answers over the network.
func (l *Log) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a, err := l.get(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	defer a.body.Close()
	for k, v := range a.header() {
		w.Header()[k] = v
	}
	_, _ = io.Copy(w, a.body) // who went away needs no answer
}

func (a *answer) header() http.Header {
	h := http.Header{"Content-Length": {fmt.Sprint(a.length)}}
	if a.zip {
		h["Content-Encoding"] = []string{"gzip"}
	}
	if a.json {
		h["Content-Type"] = []string{"application/json"}
	} else {
		h["Content-Type"] = []string{"application/octet-stream"}
	}
	return h
}

// files is a transport without a network: bodies are the files.
type files struct{ log *Log }

func (t files) RoundTrip(r *http.Request) (*http.Response, error) {
	a, err := t.log.get(r)
	if err != nil {
		return &http.Response{StatusCode: http.StatusNotFound, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
	}
	return &http.Response{StatusCode: http.StatusOK, Header: a.header(), ContentLength: a.length, Body: a.body, Request: r}, nil
}
