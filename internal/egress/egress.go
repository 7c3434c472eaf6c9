// Package egress fetches from addresses that came from outside: a URL in a warning that somebody sent us, in a
// certificate, or in a list. Whoever wrote such an address may want us to speak to a machine that only we can reach.
//
// It promises: only http and https; an address that is private, of this machine, of this link, or of no host at all is
// refused after the name was resolved and in the moment of connecting, so that no second answer of a name server
// slips past; a redirect stays on the same host and scheme; size and time are capped. No proxy is asked: it would
// connect where nobody checks.
//
// It trusts nobody but the caller, who may allow private addresses.
package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// Bounds of one fetch, where the options say nothing else.
const (
	DefaultSize = 4 << 20
	DefaultTime = 20 * time.Second
	maxURL      = 4 << 10
	maxHops     = 3
)

// Options of [Fetch]. The zero value is the strict one.
type Options struct {
	// AllowPrivate allows addresses that are not public, for laboratories and networks of one's own.
	AllowPrivate bool
	// AnySuccess takes any answer of 200 to 299, for places that only take note of us.
	AnySuccess bool
	// Size bounds the body in bytes, Time the whole; 0 is [DefaultSize] and [DefaultTime].
	Size int64
	Time time.Duration
	// UserAgent is "tocsin" when empty.
	UserAgent string
	// TLS, when not nil, says whom to trust.
	TLS *tls.Config
	// Resolver, when not nil, replaces that of the system.
	Resolver *net.Resolver
}

// PrivateError says that an address was refused because it is not public.
type PrivateError struct {
	Addr netip.Addr
	// Why is what the address is, as "a private address".
	Why string
}

func (e *PrivateError) Error() string { return fmt.Sprintf("%s is %s", e.Addr, e.Why) }

// Hint is what to do about it.
func (e *PrivateError) Hint() string {
	return "nothing from outside may send us there; if you know the place yourself, allow it with --allow-private"
}

// Control is for [net.Dialer]: it refuses each address that [Private] names.
func Control(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("connecting to %q, which is no address", address)
	}
	if why := Private(at.Addr()); why != "" {
		return &PrivateError{at.Addr(), why}
	}
	return nil
}

// Fetch gets a URL. An answer other than 200, a redirect to another place and a body that is too large are errors.
func Fetch(ctx context.Context, from string, o *Options) ([]byte, error) {
	if o == nil {
		o = &Options{}
	}
	u, err := parse(from)
	if err != nil {
		return nil, err
	}
	size, span := o.Size, o.Time
	if size <= 0 {
		size = DefaultSize
	}
	if span <= 0 {
		span = DefaultTime
	}
	ctx, cancel := context.WithTimeoutCause(ctx, span, fmt.Errorf("no whole answer within %v", span))
	defer cancel()
	t := transport(o)
	defer t.CloseIdleConnections()
	client := &http.Client{Transport: t, CheckRedirect: sameHost}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	agent := o.UserAgent
	if agent == "" {
		agent = "tocsin"
	}
	req.Header.Set("User-Agent", agent)
	resp, err := client.Do(req)
	if err != nil {
		return nil, because(ctx, u, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK && !(o.AnySuccess && resp.StatusCode/100 == 2) {
		return nil, fmt.Errorf("fetching from %s: it answered with status %d", u.Host, resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, size+1))
	if err != nil {
		return nil, because(ctx, u, err)
	}
	if int64(len(body)) > size {
		return nil, fmt.Errorf("fetching from %s: more than %d bytes", u.Host, size)
	}
	return body, nil
}

// because is err with what it was about; the time limit is named as itself.
func because(ctx context.Context, u *url.URL, err error) error {
	var own *PrivateError
	if errors.As(err, &own) {
		return fmt.Errorf("fetching from %s: %w", u.Host, own)
	}
	if ctx.Err() != nil && !errors.Is(ctx.Err(), context.Canceled) {
		err = context.Cause(ctx)
	}
	var at *url.Error // repeats the whole URL
	if errors.As(err, &at) {
		err = at.Err
	}
	return fmt.Errorf("fetching from %s: %w", u.Host, err)
}

func transport(o *Options) *http.Transport {
	d := &net.Dialer{Timeout: DefaultTime, Resolver: o.Resolver}
	if !o.AllowPrivate {
		d.Control = Control
	}
	return &http.Transport{
		DialContext: d.DialContext, TLSClientConfig: o.TLS, ForceAttemptHTTP2: true, TLSHandshakeTimeout: DefaultTime,
		MaxResponseHeaderBytes: 64 << 10, DisableKeepAlives: true,
		DisableCompression: true, // what is counted is what arrives
	}
}

func parse(from string) (*url.URL, error) {
	if len(from) > maxURL {
		return nil, fmt.Errorf("a URL of %d bytes is too long", len(from))
	}
	u, err := url.Parse(from)
	switch {
	case err != nil:
		return nil, errors.New("not a URL that can be read")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("only http and https are fetched, not %q", u.Scheme)
	case u.Hostname() == "" || u.Opaque != "":
		return nil, errors.New("a URL without a host")
	case u.User != nil:
		return nil, errors.New("a URL with a user or password in it is not fetched")
	}
	u.Fragment = ""
	return u, nil
}

var errRedirect = errors.New("it redirects to another host, which is not followed: give that address yourself if you trust it")

func sameHost(next *http.Request, via []*http.Request) error {
	first := via[0].URL
	switch {
	case next.URL.Scheme != first.Scheme || !strings.EqualFold(next.URL.Host, first.Host) || next.URL.User != nil:
		return errRedirect
	case len(via) > maxHops:
		return errors.New("it redirects again and again")
	}
	return nil
}
