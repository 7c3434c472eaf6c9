package loglist

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// maxList bounds the size of a list. The largest real one is about 130 KB.
const maxList = 16 << 20

// Load fetches and parses a list from an http or https URL, or from a file; src "" is [DefaultURL]. At most 16 MiB are
// read. A nil client is a plain one with a time limit.
func Load(ctx context.Context, src string, client *http.Client) (*List, error) {
	if src == "" {
		src = DefaultURL
	}
	a, err := Fetch(ctx, src, &FetchOptions{Client: client})
	if err != nil {
		return nil, err
	}
	l, err := Parse(a.Body)
	if err != nil {
		return nil, fmt.Errorf("loading log list %s: %w", src, err)
	}
	return l, nil
}

// FetchOptions of [Fetch]. The zero value, and nil, are fine.
type FetchOptions struct {
	// Client is nil for a plain one with a time limit, which follows no redirect from https to http.
	Client *http.Client
	// UserAgent is "tocsin" when empty.
	UserAgent string
	// ETag and LastModified are those of the last answer: the server is asked only for something else.
	ETag, LastModified string
	// NoCache asks caches on the way to look again.
	NoCache bool
}

// Answer is what [Fetch] got.
type Answer struct {
	// Unchanged says that the server still has what ETag and LastModified stand for; there is no Body then.
	Unchanged          bool
	Body               []byte
	ETag, LastModified string
}

// StatusError is an answer of a server with a status that is no success.
type StatusError struct {
	Code   int
	Status string // as the server wrote it, disarmed
}

func (e *StatusError) Error() string { return fmt.Sprintf("the server answers %q", e.Status) }

// Fetch reads a list, or the signature of one, from an http or https URL or from a file, at most 16 MiB.
func Fetch(ctx context.Context, src string, opts *FetchOptions) (*Answer, error) {
	if opts == nil {
		opts = &FetchOptions{}
	}
	a, err := fetch(ctx, src, opts)
	if err != nil {
		return nil, fmt.Errorf("loading log list %s: %w", src, err)
	}
	return a, nil
}

// Remote says whether src is a URL, and not a file.
func Remote(src string) bool {
	lower := strings.ToLower(src)
	return strings.HasPrefix(lower, "https://") || strings.HasPrefix(lower, "http://")
}

func fetch(ctx context.Context, src string, opts *FetchOptions) (*Answer, error) {
	if !Remote(src) {
		f, err := os.Open(src)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		b, err := readList(f)
		return &Answer{Body: b}, err
	}
	client := opts.Client
	if client == nil {
		client = &http.Client{Timeout: time.Minute, CheckRedirect: noDowngrade}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, src, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", cmp.Or(opts.UserAgent, "tocsin"))
	if opts.ETag != "" {
		req.Header.Set("If-None-Match", opts.ETag)
	}
	if opts.LastModified != "" {
		req.Header.Set("If-Modified-Since", opts.LastModified)
	}
	if opts.NoCache {
		req.Header.Set("Cache-Control", "no-cache")
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	asked := opts.ETag != "" || opts.LastModified != ""
	switch {
	case resp.StatusCode == http.StatusNotModified && asked:
		return &Answer{Unchanged: true, ETag: opts.ETag, LastModified: opts.LastModified}, nil
	case resp.StatusCode != http.StatusOK:
		return nil, &StatusError{resp.StatusCode, clean(resp.Status)}
	}
	b, err := readList(resp.Body)
	return &Answer{Body: b, ETag: tag(resp.Header.Get("ETag")), LastModified: tag(resp.Header.Get("Last-Modified"))}, err
}

// tag bounds what a server wants to be told again.
func tag(s string) string {
	if len(s) > maxText {
		return ""
	}
	return s
}

func noDowngrade(req *http.Request, via []*http.Request) error {
	if len(via) > 5 {
		return errors.New("too many redirects")
	}
	if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return errors.New("redirected from https to http")
	}
	return nil
}

// readList bounds what is read, after any decompression.
func readList(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxList+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxList {
		return nil, errors.New("larger than 16 MiB")
	}
	return b, nil
}

type (
	operatorJSON struct {
		Name  string    `json:"name"`
		Email []string  `json:"email"`
		Logs  []logJSON `json:"logs"`
		Tiled []logJSON `json:"tiled_logs"`
	}
	logJSON struct {
		Description string         `json:"description,omitempty"`
		ID          []byte         `json:"log_id"`
		Key         []byte         `json:"key"`
		URL         string         `json:"url,omitempty"`
		Submission  string         `json:"submission_url,omitempty"`
		Monitoring  string         `json:"monitoring_url,omitempty"`
		MMD         uint32         `json:"mmd,omitempty"`
		State       map[string]any `json:"state,omitempty"`
		Interval    *intervalJSON  `json:"temporal_interval,omitempty"`
		Type        string         `json:"log_type,omitempty"`
		Dial        string         `json:"tocsin_dial,omitempty"`
	}
	intervalJSON struct {
		Start time.Time `json:"start_inclusive"`
		End   time.Time `json:"end_exclusive"`
	}
)

// Marshal writes a v3 list that [Parse] reads back without loss, except for its reports.
func Marshal(l *List) ([]byte, error) {
	out := struct {
		Version   string          `json:"version,omitempty"`
		Timestamp time.Time       `json:"log_list_timestamp,omitzero"`
		Operators []*operatorJSON `json:"operators"`
	}{l.Version, l.Timestamp, []*operatorJSON{}}
	var op *operatorJSON
	for i := range l.Logs {
		g := &l.Logs[i]
		// A new object whenever the operator changes, or RFC 6962 follows static: the order of logs is kept.
		if op == nil || op.Name != g.Operator || g.Kind == RFC6962 && len(op.Tiled) > 0 {
			op = &operatorJSON{Name: g.Operator, Email: []string{}, Logs: []logJSON{}, Tiled: []logJSON{}}
			out.Operators = append(out.Operators, op)
		}
		j := logJSON{Description: g.Description, ID: g.ID[:], Key: g.Key, MMD: uint32(g.MMD / time.Second), Type: g.Type, Dial: g.Dial}
		if g.State != None {
			detail := map[string]any{}
			if !g.StateSince.IsZero() {
				detail["timestamp"] = g.StateSince
			}
			if g.Final != nil {
				detail["final_tree_head"] = map[string]any{"tree_size": g.Final.Size, "sha256_root_hash": g.Final.Root[:]}
			}
			j.State = map[string]any{string(g.State): detail}
		}
		if g.Interval != nil {
			j.Interval = &intervalJSON{g.Interval.Start, g.Interval.End}
		}
		if g.Kind == Static {
			j.Submission, j.Monitoring = g.URL, g.MonitoringURL
			op.Tiled = append(op.Tiled, j)
		} else {
			j.URL = g.URL
			op.Logs = append(op.Logs, j)
		}
	}
	return json.MarshalIndent(out, "", "  ")
}
