package ctlog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"

	"github.com/klauspost/compress/gzip"

	"github.com/tocsin-ct/tocsin/loglist"
)

// Bounds of what a log may send, after decompression.
const (
	maxHead   = 64 << 10
	maxProof  = 64 << 10
	maxIssuer = 1 << 20
	maxBody   = 32 << 20 // entries and data tiles
	easyBody  = 4 << 20  // above this, one at a time for each log
)

const defaultTimeout = time.Minute

// StatusError is an answer of a log with a status other than 200.
type StatusError struct {
	Code       int
	URL        string
	RetryAfter time.Duration // 0 when the log does not say
	Snippet    string        // the beginning of the body, disarmed
}

func (e *StatusError) Error() string {
	s := fmt.Sprintf("%s: status %d", e.URL, e.Code)
	if e.Snippet != "" {
		s += fmt.Sprintf(": %q", e.Snippet)
	}
	return s
}

var errTooLarge = errors.New("the answer is too large")

// fetcher makes bounded GET requests to one log.
type fetcher struct {
	client  *http.Client
	base    url.URL // monitoring prefix, in the scheme that is dialed
	agent   string
	timeout time.Duration
	own     Budget        // of this log alone
	budget  *Budget       // of its operator; may be nil
	large   chan struct{} // held by the one request whose answer may be larger than easyBody
}

func newFetcher(log *loglist.Log, opts *Options) (*fetcher, error) {
	if opts == nil {
		opts = &Options{}
	}
	base, err := url.Parse(log.MonitoringURL)
	if err != nil || base.Host == "" {
		return nil, fmt.Errorf("monitoring URL %.200q is not one", log.MonitoringURL)
	}
	f := &fetcher{base: *base, agent: userAgent(opts), timeout: opts.Timeout, large: make(chan struct{}, 1), budget: opts.Budget}
	if f.timeout <= 0 {
		f.timeout = defaultTimeout
	}
	rt := opts.Transport
	if rt == nil {
		if rt, err = f.transport(log.Dial, opts.Control); err != nil {
			return nil, err
		}
	}
	f.client = &http.Client{Transport: rt, CheckRedirect: sameHost}
	return f, nil
}

func userAgent(opts *Options) string {
	version := opts.Version
	if version == "" {
		version = "dev"
	}
	s := "tocsin/" + version + " (" + runtime.GOOS
	if opts.Contact != "" {
		s += "; " + opts.Contact
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, s+")")
}

// transport connects to the address to dial, if there is one; the host in URLs, headers and TLS stays the log's.
func (f *fetcher) transport(dial string, control func(string, string, syscall.RawConn) error) (http.RoundTripper, error) {
	d := &net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}
	if proxy, err := http.ProxyFromEnvironment(&http.Request{URL: &f.base}); dial == "" && proxy == nil && err == nil {
		d.Control = control
	}
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: d.DialContext, ForceAttemptHTTP2: true, DisableCompression: true,
		MaxIdleConnsPerHost: 4, MaxConnsPerHost: 8, IdleConnTimeout: 90 * time.Second,
		TLSHandshakeTimeout: 15 * time.Second, MaxResponseHeaderBytes: 64 << 10,
	}
	if dial == "" {
		return t, nil
	}
	if scheme, rest, ok := strings.Cut(dial, "://"); ok {
		f.base.Scheme, dial = scheme, strings.TrimSuffix(rest, "/")
		if _, port, err := net.SplitHostPort(dial); err != nil || port == "" {
			dial = net.JoinHostPort(strings.Trim(dial, "[]"), map[string]string{"http": "80", "https": "443"}[scheme])
		}
	}
	if _, _, err := net.SplitHostPort(dial); err != nil {
		return nil, fmt.Errorf("address to dial: %w", err)
	}
	t.Proxy = nil
	t.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return d.DialContext(ctx, network, dial)
	}
	return t, nil
}

func sameHost(req *http.Request, via []*http.Request) error {
	if len(via) > 3 || req.URL.Host != via[0].URL.Host || req.URL.Scheme != via[0].URL.Scheme {
		return errors.New("redirected elsewhere")
	}
	return nil
}

// request is one GET below the monitoring prefix.
type request struct {
	path    string
	query   string
	limit   int
	noCache bool // ask past caches
	bulk    bool // entries: what tells of news goes first
	// etag, when not nil, is that of the last answer, or "". An answer that is still the same is errUnchanged.
	etag *string
}

var errUnchanged = errors.New("unchanged since the last answer")

// get reads the body into buf, whose memory is reused where it suffices. The error of a body that broke off comes
// together with what was read of it, unless it was compressed.
func (f *fetcher) get(ctx context.Context, r request, buf []byte) ([]byte, error) {
	if err := f.wait(ctx, !r.bulk); err != nil {
		return nil, err
	}
	outer, sent := ctx, time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, f.timeout, fmt.Errorf("no whole answer within %v", f.timeout))
	defer cancel()
	u := f.base
	u.Path += r.path
	u.RawQuery = r.query
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", f.agent)
	req.Header.Set("Accept-Encoding", "gzip")
	if r.noCache {
		req.Header.Set("Cache-Control", "no-cache")
	}
	if r.etag != nil && *r.etag != "" {
		req.Header.Set("If-None-Match", *r.etag)
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, cause(ctx, outer, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotModified && r.etag != nil && *r.etag != "" {
		f.answered()
		return nil, errUnchanged
	}
	if resp.StatusCode != http.StatusOK {
		e := &StatusError{Code: resp.StatusCode, URL: u.String(), RetryAfter: retryAfter(resp.Header)}
		snippet, _ := io.ReadAll(io.LimitReader(resp.Body, 120))
		e.Snippet = disarm(string(snippet))
		if e.Code == http.StatusTooManyRequests || e.Code >= 500 || e.RetryAfter > 0 {
			f.refused(e.Code, sent, e.RetryAfter)
		}
		return nil, e
	}
	f.answered()
	gate := &gate{ctx: ctx, r: resp.Body, left: easyBody, slot: f.large}
	defer gate.leave()
	buf, err = readBody(resp, gate, r.limit, buf)
	if err != nil {
		return buf, fmt.Errorf("%s: %w", u.String(), cause(ctx, outer, err))
	}
	if r.etag != nil {
		*r.etag = lastingTag(resp.Header)
	}
	return buf, nil
}

// lastingTag is the ETag of an answer when it tells this content from the next, else "". Servers of files make it of the
// length and of the time in seconds: a checkpoint replaced twice within a second would look unchanged until the log
// grows again.
func lastingTag(h http.Header) string {
	tag := h.Get("ETag")
	if len(tag) > 200 {
		return ""
	}
	modified, err := http.ParseTime(h.Get("Last-Modified"))
	if err != nil {
		return tag
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil || now.Sub(modified) < 2*time.Second {
		return ""
	}
	return tag
}

// cause names our own time limit instead of "context deadline exceeded".
func cause(ctx, outer context.Context, err error) error {
	if outer.Err() == nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// unzipper is what decompressing one body needs.
type unzipper struct {
	raw []byte // the beginning of the body, or all of it
	all bytes.Reader
	zip gzip.Reader
}

var unzippers = sync.Pool{New: func() any { return new(unzipper) }}

// rawBody is how much of a compressed body is read before it is decompressed: all of it, nearly always.
const rawBody = 256 << 10

// open begins to decompress a body of the given length (negative when unknown) and returns about how large the result
// will be, as the body says.
func (u *unzipper) open(body io.Reader, length int64) (expect int, err error) {
	if length < 0 || length >= rawBody {
		length = rawBody - 1
	}
	if cap(u.raw) <= int(length) {
		u.raw = make([]byte, 0, length+1) // one more, to see the end
	}
	u.raw = u.raw[:0]
	for len(u.raw) < cap(u.raw) {
		n, err := body.Read(u.raw[len(u.raw):cap(u.raw)])
		u.raw = u.raw[:len(u.raw)+n]
		if err == io.EOF {
			u.all.Reset(u.raw)
			if n := len(u.raw); n >= 4 {
				expect = int(binary.LittleEndian.Uint32(u.raw[n-4:]))
			}
			return expect, u.zip.Reset(&u.all)
		}
		if err != nil {
			return 0, err
		}
	}
	u.all.Reset(u.raw)
	return 0, u.zip.Reset(io.MultiReader(&u.all, body))
}

func readBody(resp *http.Response, gate *gate, limit int, buf []byte) ([]byte, error) {
	if !strings.EqualFold(resp.Header.Get("Content-Encoding"), "gzip") {
		return readBounded(gate, limit, int(min(resp.ContentLength, int64(limit))), buf)
	}
	u := unzippers.Get().(*unzipper)
	defer unzippers.Put(u)
	expect, err := u.open(resp.Body, resp.ContentLength)
	if err != nil {
		return nil, fmt.Errorf("decompressing: %w", err)
	}
	gate.r = &u.zip
	buf, err = readBounded(gate, limit, expect, buf)
	if err != nil && !errors.Is(err, errTooLarge) {
		// Whether the body broke off or was damaged cannot be told, so nothing that was decompressed can be used.
		return buf[:0], fmt.Errorf("decompressing: %w", err)
	}
	return buf, err
}

// gate lets the first bytes of a body pass and the others only while no other request of the same log passes it: an
// answer is seldom that large, and several at a time would cost several times maxBody.
type gate struct {
	ctx  context.Context
	r    io.Reader
	left int
	slot chan struct{}
	held bool
}

func (g *gate) Read(p []byte) (int, error) {
	if g.left <= 0 && !g.held {
		select {
		case g.slot <- struct{}{}:
			g.held = true
		case <-g.ctx.Done():
			return 0, g.ctx.Err()
		}
	}
	n, err := g.r.Read(p)
	g.left -= n
	return n, err
}

func (g *gate) leave() {
	if g.held {
		<-g.slot
	}
}

// readBounded reads all of r, but no more than limit bytes. The expected length is a hint and costs memory only as
// far as the bytes really come.
func readBounded(r io.Reader, limit, expect int, buf []byte) ([]byte, error) {
	buf = buf[:0]
	if cap(buf) == 0 {
		buf = make([]byte, 0, max(512, min(expect+1, 1<<20)))
	}
	for {
		if len(buf) == cap(buf) {
			grown := make([]byte, len(buf), min(2*cap(buf), max(limit+1, cap(buf)+1)))
			copy(grown, buf)
			buf = grown
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if len(buf) > limit {
			return buf[:limit], fmt.Errorf("%w: more than %d bytes", errTooLarge, limit)
		}
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return buf, err
		}
	}
}

// disarm makes a text from outside fit for a terminal and short.
func disarm(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > 300 {
		s = strings.ToValidUTF8(s[:300], "") + "…"
	}
	return s
}
