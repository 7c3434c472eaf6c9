package interop_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	ct "github.com/google/certificate-transparency-go"
	"github.com/google/certificate-transparency-go/ctutil"
	ctx509 "github.com/google/certificate-transparency-go/x509"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"github.com/tocsin-ct/tocsin/interop/reallogs"
)

// startLogs starts one log of each kind that accept chains to the root, and stops them at the end of the test.
func startLogs(t testing.TB, roots ...*ca) []*reallogs.Log {
	t.Helper()
	var accepted []*x509.Certificate
	for _, r := range roots {
		accepted = append(accepted, r.cert)
	}
	var logs []*reallogs.Log
	for _, start := range []func(context.Context, []*x509.Certificate, *reallogs.Options) (*reallogs.Log, error){
		reallogs.StartCTFE, reallogs.StartTesseraCT,
	} {
		began := time.Now()
		l, err := start(t.Context(), accepted, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := l.Close(); err != nil {
				t.Errorf("stopping %s: %v", l.Name, err)
			}
		})
		t.Logf("%s up in %v", l.Name, time.Since(began).Round(10*time.Microsecond))
		logs = append(logs, l)
	}
	return logs
}

// soon is the patience of a test: far above what anything here takes, so that only a hang reaches it.
func soon(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// fill submits n certificates and precertificates in turn to the log and waits until it has published all of them.
func fill(t testing.TB, l *reallogs.Log, issuer *ca, n int) {
	t.Helper()
	ctx := soon(t)
	before, err := l.Size(ctx)
	if err != nil {
		t.Fatal(err)
	}
	key := ecdsaKey(t)
	// A submission to TesseraCT waits for its batch, so they go side by side.
	var work errgroup.Group
	work.SetLimit(32)
	for i := range n {
		tmpl := leafFor(t, []string{fmt.Sprintf("host%d.example.org", i)})
		add, sign := l.AddChain, issuer.issue
		if i%2 == 0 {
			add, sign = l.AddPreChain, issuer.precert
		}
		chain := joined(sign(t, tmpl, key.Public()), issuer.chain())
		work.Go(func() error {
			_, err := add(ctx, chain...)
			return err
		})
	}
	if err := work.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := l.WaitSize(ctx, before+uint64(n)); err != nil {
		t.Fatal(err)
	}
}

func TestRealLogsHoldWhatWasSubmitted(t *testing.T) {
	root := newRoot(t, "Root")
	issuer := root.sub(t, "Issuing CA", p384Key(t), nil)
	for _, l := range startLogs(t, root) {
		t.Run(l.Name, func(t *testing.T) {
			ctx := soon(t)
			key := ecdsaKey(t)
			tmpl := leafFor(t, []string{"www.example.com"}, "192.0.2.1")
			pre := issuer.precert(t, tmpl, key.Public())
			fin := issuer.final(t, tmpl, key.Public())
			preSCT, err := l.AddPreChain(ctx, joined(pre, issuer.chain())...)
			if err != nil {
				t.Fatal(err)
			}
			finSCT, err := l.AddChain(ctx, joined(fin, issuer.chain())...)
			if err != nil {
				t.Fatal(err)
			}
			if err := l.WaitSize(ctx, 2); err != nil {
				t.Fatal(err)
			}
			for name, sct := range map[string]struct {
				reallogs.SCT
				leaf []byte
			}{"precertificate": {preSCT, pre}, "certificate": {finSCT, fin}} {
				if sct.LogID.KeyID != l.ID {
					t.Errorf("the SCT for the %s names log %x, want %x", name, sct.LogID.KeyID, l.ID)
				}
				if err := ctutil.VerifySCT(&l.Key.PublicKey, forkChain(t, joined(sct.leaf, issuer.chain())), sct.SignedCertificateTimestamp, false); err != nil {
					t.Errorf("the SCT for the %s: %v", name, err)
				}
			}
			v := look(t, l)
			if v.size != 2 {
				t.Fatalf("the log holds %d entries, want 2", v.size)
			}
			found := map[ct.LogEntryType][]byte{}
			for _, leaf := range v.leaves {
				switch e := leaf.leaf.TimestampedEntry; e.EntryType {
				case ct.PrecertLogEntryType:
					found[e.EntryType] = leaf.precert
				case ct.X509LogEntryType:
					found[e.EntryType] = e.X509Entry.Data
				}
			}
			if !bytes.Equal(found[ct.PrecertLogEntryType], pre) {
				t.Error("the log does not hold the precertificate as submitted")
			}
			if !bytes.Equal(found[ct.X509LogEntryType], fin) {
				t.Error("the log does not hold the certificate as submitted")
			}
		})
	}
}

func TestRealLogsRefuseChainsToOtherRoots(t *testing.T) {
	root, stranger := newRoot(t, "Root"), newRoot(t, "Root of another world")
	for _, l := range startLogs(t, root) {
		t.Run(l.Name, func(t *testing.T) {
			chain := joined(stranger.precert(t, leafFor(t, []string{"www.example.com"}), ecdsaKey(t).Public()), stranger.chain())
			if _, err := l.AddPreChain(soon(t), chain...); err == nil {
				t.Error("a chain to a root that the log does not accept was accepted")
			}
		})
	}
}

func TestRealLogsGrowConsistently(t *testing.T) {
	root := newRoot(t, "Root")
	logs := startLogs(t, root)
	t.Run("CTFE proves it", func(t *testing.T) {
		l := logs[0]
		fill(t, l, root, 3)
		old := look(t, l)
		fill(t, l, root, 4)
		now := look(t, l)
		c, err := rfcClient(l)
		if err != nil {
			t.Fatal(err)
		}
		hashes, err := c.GetSTHConsistency(soon(t), old.size, now.size)
		if err != nil {
			t.Fatal(err)
		}
		if err := proof.VerifyConsistency(rfc6962.DefaultHasher, old.size, now.size, hashes, old.root[:], now.root[:]); err != nil {
			t.Error(err)
		}
	})
	t.Run("TesseraCT keeps what it had, over a full tile and a partial one", func(t *testing.T) {
		l := logs[1]
		fill(t, l, root, 3)
		old := look(t, l)
		fill(t, l, root, 260)
		now := look(t, l)
		if now.size != 263 {
			t.Fatalf("size %d, want 263", now.size)
		}
		for i, leaf := range old.leaves {
			if !bytes.Equal(leaf.input, now.leaves[i].input) {
				t.Errorf("entry %d changed", i)
			}
		}
	})
}

func TestStaticLogServesItsMonitoringFilesAndNothingElse(t *testing.T) {
	root := newRoot(t, "Root")
	l := startLogs(t, root)[1]
	fill(t, l, root, 2)
	for _, row := range []struct {
		name, path string
		status     int
	}{
		{"the checkpoint", "checkpoint", 200},
		{"a partial hash tile", "tile/0/000.p/2", 200},
		{"a partial data tile", "tile/data/000.p/2", 200},
		{"an issuer by its hash", fmt.Sprintf("issuer/%x", sha256.Sum256(root.cert.Raw)), 200},
		{"a full tile that does not exist yet", "tile/0/000", 404},
		{"the log's own state", ".state/treeState", 404},
		{"a folder", "tile/0", 404},
		{"a path out of the folder", "tile/%2e%2e/%2e%2e/roots.pem", 404},
		{"the root of the folder", "", 404},
	} {
		t.Run(row.name, func(t *testing.T) {
			resp := fetch(t, l, l.MonitoringURL+row.path, "")
			if resp.StatusCode != row.status {
				t.Errorf("%s: status %d, want %d", row.path, resp.StatusCode, row.status)
			}
		})
	}
	t.Run("submissions are not taken at the monitoring host, nor reads served at the other", func(t *testing.T) {
		if resp := fetch(t, l, l.URL+"checkpoint", ""); resp.StatusCode != 404 {
			t.Errorf("the checkpoint at the submission host: status %d, want 404", resp.StatusCode)
		}
		if resp := fetch(t, l, l.MonitoringURL+"ct/v1/get-roots", ""); resp.StatusCode != 404 {
			t.Errorf("get-roots at the monitoring host: status %d, want 404", resp.StatusCode)
		}
	})
	t.Run("data tiles come compressed to those who ask", func(t *testing.T) {
		plain := fetch(t, l, l.MonitoringURL+"tile/data/000.p/2", "identity")
		packed := fetch(t, l, l.MonitoringURL+"tile/data/000.p/2", "gzip")
		if got := packed.Header.Get("Content-Encoding"); got != "gzip" {
			t.Fatalf("Content-Encoding %q, want gzip", got)
		}
		z, err := gzip.NewReader(packed.Body)
		if err != nil {
			t.Fatal(err)
		}
		a, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(plain.Body)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			t.Error("the compressed tile differs from the plain one")
		}
	})
}

func TestRealLogsLeaveNothingBehind(t *testing.T) {
	root := newRoot(t, "Root")
	before := goleak.IgnoreCurrent()
	t.Run("one life", func(t *testing.T) {
		for _, l := range startLogs(t, root) {
			fill(t, l, root, 2)
		}
	})
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
}

// fetch asks for the URL with the Accept-Encoding given, if any. The body is closed with the test.
func fetch(t testing.TB, l *reallogs.Log, url, encoding string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(soon(t), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if encoding != "" {
		req.Header.Set("Accept-Encoding", encoding)
	}
	resp, err := l.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// forkChain reads the chain with the x509 of certificate-transparency-go, a fork that is lenient where the standard
// library is not.
func forkChain(t testing.TB, chain [][]byte) []*ctx509.Certificate {
	t.Helper()
	var read []*ctx509.Certificate
	for i, der := range chain {
		c, err := ctx509.ParseCertificate(der)
		if ctx509.IsFatal(err) {
			t.Fatalf("certificate %d of the chain: %v", i, err)
		}
		read = append(read, c)
	}
	return read
}
