package main

import (
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tocsin-ct/tocsin/internal/notify"
)

// endpointCmd starts an https server which answers with a status and writes what it is sent into a file, a line of JSON
// per request. Its certificate is in endpoint.pem, its address in $ENDPOINT, also in config files: each @ENDPOINT@ of
// the named ones is replaced by it.
func endpointCmd(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: endpoint STATUS FILE [CONFIG...]")
	}
	status, err := strconv.Atoi(args[0])
	ts.Check(err)
	path := ts.MkAbs(args[1])
	ts.Check(os.WriteFile(path, nil, 0o600))
	var mu sync.Mutex
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		line, _ := json.Marshal(map[string]any{"path": r.URL.Path, "header": r.Header, "body": string(body), "genuine": genuine(r.Header, body)})
		mu.Lock()
		defer mu.Unlock()
		if f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0o600); err == nil {
			f.Write(append(line, '\n'))
			f.Close()
		}
		w.WriteHeader(status)
		io.WriteString(w, "the endpoint says "+args[0])
	}))
	ts.Defer(s.Close)
	ts.Setenv("ENDPOINT", s.URL)
	ts.Check(os.WriteFile(ts.MkAbs("endpoint.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600))
	for _, name := range args[2:] {
		text := ts.ReadFile(name)
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(strings.ReplaceAll(text, "@ENDPOINT@", s.URL)), 0o600))
	}
}

// genuine reports whether a request was signed with the secret of the scripts, just now.
func genuine(h http.Header, body []byte) bool {
	at, err := strconv.ParseInt(h.Get(notify.HeaderTimestamp), 10, 64)
	return err == nil && time.Since(time.Unix(at, 0)).Abs() < 5*time.Minute && h.Get(notify.HeaderSignature) == notify.Sign("the secret of the scripts", at, body)
}

func TestReceiversOfAConfigAreMadeOrRefusedWithTheirPlace(t *testing.T) {
	t.Parallel()
	cfg := need(loadConfig("", []string{"example.com"}))(t)
	all := need(receivers(cfg, io.Discard, false))(t)
	if len(all) != 1 || all[0].Name() != "stdout" || !all[0].Stream() || leastOf(all[0]) != "expected" {
		t.Errorf("without receivers: %v", all)
	}
}
