package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"
)

// Secret returns something that only the receiver may know, as it is now: a file may have been changed since the start.
type Secret func() (string, error)

// poster sends bodies over HTTP, for the receivers that speak it. It follows a redirect only where that keeps method,
// body and host, so that neither a message nor a secret goes to somebody else.
type poster struct {
	client *http.Client
}

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 64 << 10

// newPoster trusts the certificates of the system, and with roots those of that file instead.
func newPoster(roots string) (*poster, error) {
	conf, err := tlsConfig(roots)
	if err != nil {
		return nil, err
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = conf
	t.ForceAttemptHTTP2 = true
	t.MaxResponseHeaderBytes = 64 << 10
	t.DisableKeepAlives = true // messages are rare, and a connection that died meanwhile costs an attempt
	return &poster{client: &http.Client{Transport: t, CheckRedirect: sameHost}}, nil
}

func tlsConfig(roots string) (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if roots == "" {
		return conf, nil
	}
	pem, err := os.ReadFile(roots)
	if err != nil {
		return nil, fmt.Errorf("reading the certificates to trust: %w", err)
	}
	conf.RootCAs = x509.NewCertPool()
	if !conf.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate in PEM", roots)
	}
	return conf, nil
}

var errRedirect = errors.New("a redirect to another place, or one that loses the message, is not followed")

func sameHost(next *http.Request, via []*http.Request) error {
	first := via[0]
	if len(via) > 3 || next.Method != first.Method || next.URL.Scheme != first.URL.Scheme || next.URL.Host != first.URL.Host {
		return errRedirect
	}
	return nil
}

// post sends a body and returns the answer to it when that is 2xx. Errors never hold the URL: it may be a secret.
func (p *poster) post(ctx context.Context, method, to string, header http.Header, body []byte) ([]byte, error) {
	u, err := url.Parse(to)
	if err != nil || u.Host == "" {
		return nil, permanent("the URL to send to cannot be read")
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return nil, permanent("the URL to send to is not https, and %s is not this machine", Safe(u.Hostname(), 100))
	}
	req, err := http.NewRequestWithContext(ctx, method, to, bytes.NewReader(body))
	if err != nil {
		return nil, permanent("the URL to send to cannot be used")
	}
	for key, values := range header {
		req.Header[key] = values
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("User-Agent", "tocsin")
	resp, err := p.client.Do(req)
	if err != nil {
		var about *url.Error
		if errors.As(err, &about) {
			err = about.Err
		}
		if errors.Is(err, errRedirect) {
			return nil, permanent("%w", err)
		}
		// Of the address nothing beyond the host is told.
		return nil, fmt.Errorf("asking %s: %w", Safe(u.Host, 100), err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if resp.StatusCode/100 != 2 {
		return nil, answered(resp.StatusCode, resp.Header, answer, time.Now())
	}
	if err != nil {
		return nil, fmt.Errorf("reading the answer of %s: %w", Safe(u.Host, 100), err)
	}
	return answer, nil
}

// loopback reports whether a host is this machine, without asking anybody.
func loopback(host string) bool {
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && a.Unmap().IsLoopback() || strings.EqualFold(host, "localhost")
}

// hidden is an error whose text holds no secret, though somebody sent it back to us.
type hidden struct {
	error
	text string
}

func (h *hidden) Error() string { return h.text }
func (h *hidden) Unwrap() error { return h.error }

// hide takes secrets out of the text of an error.
func hide(err error, secrets ...string) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	for _, s := range secrets {
		if len(s) >= 4 {
			text = strings.ReplaceAll(text, s, "(secret)")
		}
	}
	if text == err.Error() {
		return err
	}
	return &hidden{err, text}
}
