package egress

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

func TestAddresses(t *testing.T) {
	for addr, private := range map[string]bool{
		"8.8.8.8": false, "1.1.1.1": false, "2606:4700:4700::1111": false, "192.0.2.1": false, "11.0.0.1": false,
		"172.15.255.255": false, "172.32.0.0": false, "100.63.0.1": false, "100.128.0.1": false, "223.255.255.1": false,
		"64:ff9b::808:808": false, "2002:808:808::1": false,

		"127.0.0.1": true, "127.255.0.9": true, "::1": true, "0.0.0.0": true, "::": true, "0.1.2.3": true,
		"10.0.0.1": true, "172.16.0.1": true, "172.31.255.255": true, "192.168.1.1": true, "fd00::1": true, "fc00::1": true,
		"169.254.169.254": true, "fe80::1": true, "fe80::1%eth0": true, "fec0::1": true,
		"100.64.0.1": true, "192.0.0.8": true, "198.18.0.1": true, "240.0.0.1": true, "255.255.255.255": true,
		"224.0.0.1": true, "ff02::1": true,
		"::ffff:127.0.0.1": true, "::ffff:10.0.0.1": true, "::ffff:8.8.8.8": false,
		"64:ff9b::7f00:1": true, "64:ff9b::a9fe:a9fe": true, "64:ff9b:1::1": true,
		"2002:7f00:1::1": true, "2002:a00:1::": true, "::127.0.0.1": true,
		"2001:0:1:2:3:4:80ff:fffe": true, // Teredo for 127.0.0.1
	} {
		if why := Private(netip.MustParseAddr(addr)); (why != "") != private {
			t.Errorf("%s is %q, want private=%v", addr, why, private)
		}
	}
	if Private(netip.Addr{}) == "" {
		t.Error("no address at all was let through")
	}
}

func TestAURLThatNamesAPrivateAddressItself(t *testing.T) {
	for url, want := range map[string]bool{
		"http://127.0.0.1:80/x": true, "http://localhost/x": true, "https://LOCALHOST./": true, "http://[::1]:8080/": true, "https://10.0.0.1/": true, "http://a.localhost/": true,
		"https://8.8.8.8/": false, "https://example.com/127.0.0.1": false, "https://127.0.0.1.example.com/": false, "/etc/list.json": false, "http://%zz/": false,
	} {
		if Named(url) != want {
			t.Errorf("%s: %v", url, !want)
		}
	}
}

func TestWhatIsNotFetched(t *testing.T) {
	served := false
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served = true }))
	defer srv.Close()
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	for name, row := range map[string]struct{ url, want string }{
		"this machine by its address":            {srv.URL, "an address of this machine"},
		"this machine by its name":               {"http://localhost:" + port, "an address of this machine"},
		"this machine as a number":               {"http://2130706433:" + port, "fetching from"},
		"this machine, mapped into IPv6":         {"http://[::ffff:127.0.0.1]:" + port, "an address of this machine"},
		"the metadata of a cloud":                {"http://169.254.169.254/latest", "an address of this link"},
		"a private address":                      {"https://10.1.2.3/cert.pem", "a private address"},
		"a file":                                 {"file:///etc/passwd", `only http and https are fetched, not "file"`},
		"another protocol":                       {"gopher://example.com/", "only http and https"},
		"a URL without a host":                   {"https:///cert.pem", "without a host"},
		"a URL with a password":                  {"https://a:b@example.com/", "user or password"},
		"a URL that cannot be read":              {"http://exa mple.com/", "not a URL"},
		"a URL longer than any that is meant":    {"http://example.com/" + strings.Repeat("a", 5000), "too long"},
		"a URL that hides the host from the eye": {"http://example.com@127.0.0.1:" + port + "/", "user or password"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Fetch(t.Context(), row.url, &Options{Time: 30 * time.Second})
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("error %v, want one that says %q", err, row.want)
			}
		})
	}
	if served {
		t.Error("a request arrived")
	}
}

// nameServer answers A queries over UDP on loopback with what next returns.
func nameServer(t *testing.T, next func(n int) [4]byte) *net.Resolver {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	go func() {
		buf := make([]byte, 4096)
		for asked := 0; ; {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			m.Response, m.Additionals = true, nil
			if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
				asked++
				m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}, Body: &dnsmessage.AResource{A: next(asked)}}}
			}
			if out, err := m.Pack(); err == nil {
				_, _ = pc.WriteTo(out, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", pc.LocalAddr().String())
	}}
}

func TestANameThatLeadsInsideIsRefusedAfterItIsResolved(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") }))
	defer srv.Close()
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	resolver := nameServer(t, func(int) [4]byte { return [4]byte{127, 0, 0, 1} })
	_, err := Fetch(t.Context(), "http://looks-public.example:"+port+"/", &Options{Resolver: resolver})
	var own *PrivateError
	if !errors.As(err, &own) || own.Hint() == "" || !strings.Contains(err.Error(), "looks-public.example") {
		t.Errorf("error %v", err)
	}
}

func TestWhatIsFetched(t *testing.T) {
	var zipped bytes.Buffer
	zw := gzip.NewWriter(&zipped)
	_, _ = zw.Write(bytes.Repeat([]byte("a"), 1<<20))
	zw.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("/cert", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.UserAgent(), r.Header.Get("Accept-Encoding"))
	})
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/cert", http.StatusFound) })
	mux.HandleFunc("/round", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/round", http.StatusFound) })
	mux.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://elsewhere.example/", http.StatusFound)
	})
	mux.HandleFunc("/down", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "ftp://"+r.Host+"/", http.StatusFound)
	})
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1001)) })
	mux.HandleFunc("/whole", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1000)) })
	mux.HandleFunc("/zip", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(zipped.Bytes())
	})
	mux.HandleFunc("/gone", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) })
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	get := func(path string, o Options) (string, error) {
		o.AllowPrivate, o.Size = true, 1000
		b, err := Fetch(t.Context(), srv.URL+path, &o)
		return string(b), err
	}
	for path, want := range map[string]string{"/cert": "tocsin", "/moved": "tocsin", "/whole": string(make([]byte, 1000))} {
		if got, err := get(path, Options{}); err != nil || got != want {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
	if got, err := get("/zip", Options{Size: 5000}); err != nil && !strings.Contains(err.Error(), "more than") || len(got) > 5000 {
		t.Errorf("a bomb unpacked to %d bytes: %v", len(got), err)
	}
	for path, want := range map[string]string{
		"/away": "another host", "/down": "another host", "/round": "again and again", "/large": "more than 1000 bytes", "/gone": "status 410",
	} {
		if _, err := get(path, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one that says %q", path, err, want)
		}
	}
	if _, err := get("/slow", Options{Time: 50 * time.Millisecond}); err == nil || !strings.Contains(err.Error(), "no whole answer within 50ms") {
		t.Errorf("a server that never ends: %v", err)
	}
}
