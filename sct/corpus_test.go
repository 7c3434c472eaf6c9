package sct_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/loglist"
	"github.com/tocsin-ct/tocsin/sct"
)

// sharedData is the folder with real certificates and log lists that stands beside the repository. They are not ours
// to copy, so these tests run only where it is.
func sharedData(t testing.TB) string {
	t.Helper()
	if root := os.Getenv("TOCSIN_SHARED"); root != "" {
		return filepath.Join(root, "data")
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if data := filepath.Join(dir, "shared", "data"); isDir(data) {
			return data
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Skip("the real certificates are not here: no folder shared/data above the repository, TOCSIN_SHARED not set")
		}
		dir = up
	}
}

func isDir(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.IsDir()
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Ext(path) == ".gz" {
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if b, err = io.ReadAll(z); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func readPEM(t testing.TB, path string) (certs [][]byte) {
	t.Helper()
	for rest := readFile(t, path); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return certs
		}
		certs = append(certs, block.Bytes)
	}
}

// realLogs joins the logs of all lists at hand. Mozilla's is a C header with keys of logs long gone.
func realLogs(t testing.TB, data string) (logs []loglist.Log) {
	t.Helper()
	dir := filepath.Join(data, "loglists")
	for _, name := range []string{"google-all_logs_list-2026-08-21.json", "google-log_list-85.108-2026-06-14.json", "apple-current_log_list-v511-2026-04-01.json"} {
		l, err := loglist.Parse(readFile(t, filepath.Join(dir, name)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		logs = append(logs, l.Logs...)
	}
	signed, err := filepath.Glob(filepath.Join(dir, "signed-2025-05-23", "*.json"))
	if err != nil || len(signed) == 0 {
		t.Fatalf("no list of 2025-05-23: %v", err)
	}
	for _, path := range signed {
		l, err := loglist.Parse(readFile(t, path))
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		logs = append(logs, l.Logs...)
	}
	mozilla, err := filepath.Glob(filepath.Join(dir, "mozilla-CTKnownLogs*.h"))
	if err != nil || len(mozilla) == 0 {
		t.Fatalf("no list of Mozilla: %v", err)
	}
	for _, path := range mozilla {
		logs = append(logs, mozillaLogs(t, readFile(t, path))...)
	}
	return logs
}

var mozillaKey = regexp.MustCompile(`((?:\s*"(?:\\x[0-9a-fA-F]{2})+")+),\s*(\d+)`)
var hexByte = regexp.MustCompile(`\\x([0-9a-fA-F]{2})`)

func mozillaLogs(t testing.TB, b []byte) (logs []loglist.Log) {
	t.Helper()
	for _, m := range mozillaKey.FindAllSubmatch(b, -1) {
		var key []byte
		for _, h := range hexByte.FindAllSubmatch(m[1], -1) {
			v, err := strconv.ParseUint(string(h[1]), 16, 8)
			if err != nil {
				t.Fatal(err)
			}
			key = append(key, byte(v))
		}
		if strconv.Itoa(len(key)) != string(m[2]) {
			continue
		}
		l, err := loglist.FromKey(loglist.RFC6962, "https://mozilla.example/", "", key, "")
		if err != nil {
			t.Fatalf("a key of Mozilla's list: %v", err)
		}
		logs = append(logs, l)
	}
	return logs
}

func TestRealCertificateOfGoogleVerifies(t *testing.T) {
	data := sharedData(t)
	dir := filepath.Join(data, "incidents", "benign-google")
	files, err := filepath.Glob(filepath.Join(dir, "*.pem"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no certificates in %s: %v", dir, err)
	}
	var all [][]byte
	for _, f := range files {
		all = append(all, readPEM(t, f)...)
	}
	v := sct.NewVerifier(realLogs(t, data), nil)
	verified, with := 0, 0
	for _, c := range all {
		results, err := v.Embedded(c, all, time.Now())
		if err != nil {
			t.Errorf("%v", err)
		}
		for _, r := range results {
			with++
			t.Logf("%s %s: %v", r.SCT.LogIDText(), r.SCT.Time().Format(time.DateOnly), r.Err)
			if r.Err == nil {
				verified++
			}
		}
	}
	if with == 0 {
		t.Error("no certificate with SCTs")
	}
}

// Real certificates whose SCTs are rightly refused, by the SHA-256 of the certificate.
var refused = map[string]string{
	"c0916d24ac8844522b3695093fb66b3e9ff71b5f25b6d563030113ed03833f0b": "2023-06-15: the CA changed its certificate profile between precertificate and certificate",
	"d551f87fccb6a21d9be7175a4d47555db88b0123e4e6bcd17e928e837efb8e0f": "2021: an SCT list that belongs to another precertificate",
	"434f471d69b8f8a0145b7144070f447ba6b3b45dceef27d49cd2f5d96bf36ef6": "2018: the OCTET STRING around the list has a length that is not DER",
}

// TestRealSCTs verifies the SCTs of every real certificate whose issuer is at hand, under the keys of every list at
// hand. A log that no list of 2025 and 2026 names is gone; all other SCTs must verify.
func TestRealSCTs(t *testing.T) {
	data := sharedData(t)
	corpus := filepath.Join(data, "corpus", "real")
	bySubject := map[string][][]byte{}
	for _, name := range []string{"ca", "ct-accepted-root"} {
		for _, c := range readPEM(t, filepath.Join(corpus, name+".pem.gz")) {
			s := string(cert.Parse(c).RawSubject)
			bySubject[s] = append(bySubject[s], c)
		}
	}
	v := sct.NewVerifier(realLogs(t, data), nil)
	counts := map[sct.Reason]int{}
	gone := map[string]int{}
	certs, scts, withVerified := 0, 0, 0
	for _, c := range readPEM(t, filepath.Join(corpus, "public-leaf.pem.gz")) {
		p := cert.Parse(c)
		if len(p.SCTs) == 0 {
			continue
		}
		certs++
		sum := fmt.Sprintf("%x", sha256.Sum256(c))
		results, err := v.Embedded(c, bySubject[string(p.RawIssuer)], time.Now())
		if why, ok := refused[sum]; ok {
			for _, reason := range reasons(t, results) {
				if reason != sct.BadSignature {
					t.Errorf("%s: reason %q", why, reason)
				}
			}
			if err == nil && len(results) == 0 {
				t.Errorf("%s: not noticed", why)
			}
			counts["refused"] += len(p.SCTs)
			continue
		}
		if err != nil {
			t.Errorf("certificate %s: %v", sum, err)
		}
		if len(results) != len(p.SCTs) {
			t.Errorf("certificate %s: %d results for %d SCTs", sum, len(results), len(p.SCTs))
		}
		scts += len(results)
		some := false
		for i, reason := range reasons(t, results) {
			counts[reason]++
			some = some || reason == ""
			switch reason {
			case "", sct.UnknownIssuer:
			case sct.UnknownLog:
				gone[results[i].SCT.Time().Format("2006")]++
			default:
				t.Errorf("certificate %s: %v", sum, results[i].Err)
			}
		}
		if some {
			withVerified++
		}
		// An independent cut of the list gives the same bytes.
		e, err := sct.PrecertEntry(c, [32]byte{})
		if err != nil {
			t.Errorf("certificate %s: %v", sum, err)
			continue
		}
		if want, err := cert.IssuanceTBS(p.RawTBS); err != nil || !bytes.Equal(e.Cert, want) {
			t.Errorf("certificate %s: the entry differs from the TBSCertificate that package cert makes: %v", sum, err)
		}
	}
	t.Logf("%d certificates with %d SCTs: %d verified, on %d certificates", certs, scts, counts[""], withVerified)
	t.Logf("%d of logs that no list names any more, by year of the SCT: %v", counts[sct.UnknownLog], years(gone))
	t.Logf("%d on certificates whose issuer is not at hand, %d rightly refused", counts[sct.UnknownIssuer], counts["refused"])
	if certs < 1500 || counts[""] < 4000 {
		t.Errorf("only %d certificates and %d SCTs that verify: something is wrong with this test", certs, counts[""])
	}
}

func years(m map[string]int) (out []string) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, fmt.Sprintf("%s: %d", k, m[k]))
	}
	return out
}

func TestHostileCertificatesDoNotDisturb(t *testing.T) {
	data := sharedData(t)
	v := sct.NewVerifier(realLogs(t, data), nil)
	n := 0
	for _, c := range readPEM(t, filepath.Join(data, "corpus", "hostile", "hostile.pem.gz")) {
		results, err := v.Embedded(c, [][]byte{c}, time.Now())
		n += len(results)
		for _, r := range results {
			if r.Err == nil {
				t.Errorf("an SCT of a hostile certificate verifies: %s", base64.StdEncoding.EncodeToString(r.SCT.Raw))
			}
		}
		_ = err
	}
	t.Logf("%d SCTs in hostile certificates", n)
}
