package lab

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/tocsin-ct/tocsin/internal/lab/ca"
	"github.com/tocsin-ct/tocsin/internal/lab/fault"
	"github.com/tocsin-ct/tocsin/loglist"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func startLab(t *testing.T, opts *Options) *Lab {
	t.Helper()
	l, err := Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func TestListHoldsBothLogsAsLoglistReadsThem(t *testing.T) {
	l := startLab(t, &Options{Seed: "list"})
	path := filepath.Join(t.TempDir(), "logs.json")
	if err := l.WriteLogList(path); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	list, err := loglist.Parse(b)
	if err != nil || len(list.Reports) != 0 || len(list.Followed()) != 2 {
		t.Fatalf("%v, reports %v, followed %d", err, list.Reports, len(list.Followed()))
	}
	for i := range list.Logs {
		list.Logs[i].StateSince = time.Time{}
	}
	want := []loglist.Log{{
		Kind: loglist.RFC6962, ID: l.RFC6962.Key.ID, Key: l.RFC6962.Key.SPKI, Operator: "Lab A", Description: "Lab log A",
		URL: "https://log-a.lab.example/2026/", MonitoringURL: "https://log-a.lab.example/2026/", MMD: 24 * time.Hour,
		State: loglist.Usable, Dial: "http://" + l.RFC6962Addr,
	}, {
		Kind: loglist.Static, ID: l.Static.Key.ID, Key: l.Static.Key.SPKI, Operator: "Lab B", Description: "Lab log B",
		URL: "https://log-b.lab.example/2026/", MonitoringURL: "https://mon.log-b.lab.example/2026/", MMD: time.Minute,
		State: loglist.Usable, Dial: "http://" + l.StaticAddr,
	}}
	if d := cmp.Diff(want, list.Logs); d != "" {
		t.Error(d)
	}
	if got := list.Logs[1].Origin(); got != l.Static.Origin() {
		t.Errorf("origin %q in the list, %q in checkpoints", got, l.Static.Origin())
	}
}

func TestSubmitReachesBothLogsAndFinishesTheCertificate(t *testing.T) {
	root, err := ca.NewRoot("Root", nil)
	if err != nil {
		t.Fatal(err)
	}
	l := startLab(t, &Options{Roots: [][]byte{root.Cert}, Merge: time.Millisecond})
	i, err := root.Issue(ca.Leaf{CN: "a.example.com", DNS: []string{"a.example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	scts, err := l.Submit(t.Context(), i)
	if err != nil || len(scts) != 2 {
		t.Fatalf("%d SCTs, %v", len(scts), err)
	}
	for n, id := range [][32]byte{l.RFC6962.Key.ID, l.Static.Key.ID} {
		if !bytes.Equal(scts[n][1:33], id[:]) || !bytes.Contains(i.Final, scts[n]) {
			t.Errorf("SCT %d is of another log, or not in the certificate", n)
		}
	}
	if _, err := l.SubmitFinal(t.Context(), ToStatic, i); err != nil {
		t.Fatal(err)
	}
	if a, b := l.RFC6962.Size(), l.Static.Size(); a != 1 || b != 2 {
		t.Errorf("sizes %d and %d, want 1 and 2", a, b)
	}
	for l.RFC6962.Head().Size != 1 || l.Static.Head().Size != 2 {
		select {
		case <-t.Context().Done():
			t.Fatal("no head covers the submissions")
		case <-time.After(time.Millisecond):
		}
	}
	stranger, err := ca.NewRoot("Stranger", nil)
	if err != nil {
		t.Fatal(err)
	}
	j, err := stranger.Issue(ca.Leaf{CN: "a.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Submit(t.Context(), j); err == nil {
		t.Error("a chain to a strange root was taken")
	}
}

func TestOneLogRefusesConnectionsAndTheOtherDoesNot(t *testing.T) {
	l := startLab(t, nil)
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	ask := func(url string) error {
		resp, err := c.Get(url)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	}
	a, b := "http://"+l.RFC6962Addr+prefix+"/ct/v1/get-sth", "http://"+l.StaticAddr+prefix+"/checkpoint"
	l.RFC6962.Faults.Set(fault.Faults{Refuse: true})
	if ask(a) == nil {
		t.Error("log A answers")
	}
	if err := ask(b); err != nil {
		t.Error(err)
	}
	l.RFC6962.Faults.Set(fault.Faults{})
	if err := ask(a); err != nil {
		t.Errorf("after repair: %v", err)
	}
}

func TestLogsNeedTwoKeysAndFreePorts(t *testing.T) {
	k, err := ca.NewKey(ca.P256, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), &Options{RFC6962Key: k, StaticKey: k}); err == nil {
		t.Error("one key for two logs")
	}
	l := startLab(t, nil)
	if _, err := Start(t.Context(), &Options{StaticAddr: l.StaticAddr}); err == nil {
		t.Error("a port that is taken")
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	rsa, err := ca.NewKey(ca.P384, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), &Options{RFC6962Key: rsa}); err == nil {
		t.Error("a key that RFC 6962 does not know")
	}
}

func TestContextEndsTheLab(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	l, err := Start(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	l.done.Wait()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestAThousandPrecertificatesReachBothLogs(t *testing.T) {
	if testing.Short() {
		t.Skip("a second of work")
	}
	root, err := ca.NewRoot("Root", nil)
	if err != nil {
		t.Fatal(err)
	}
	l := startLab(t, &Options{Roots: [][]byte{root.Cert}})
	key, err := ca.NewKey(ca.P256, "")
	if err != nil {
		t.Fatal(err)
	}
	for n := range 1000 {
		i, err := root.Issue(ca.Leaf{DNS: []string{fmt.Sprintf("h%d.example.com", n)}, Key: key})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Submit(t.Context(), i); err != nil {
			t.Fatal(err)
		}
	}
	if a, b := l.RFC6962.Size(), l.Static.Size(); a != 1000 || b != 1000 {
		t.Errorf("sizes %d and %d", a, b)
	}
}

func TestSCTsOfEachLogAreWellFormed(t *testing.T) {
	for answer, ok := range map[string]bool{
		`{"sct_version":0,"id":"` + base64.StdEncoding.EncodeToString(make([]byte, 32)) + `","timestamp":1,"extensions":"","signature":"BAMAAA=="}`: true,
		`{"sct_version":1,"id":"` + base64.StdEncoding.EncodeToString(make([]byte, 32)) + `","timestamp":1,"extensions":"","signature":"BAMAAA=="}`: false,
		`{"sct_version":0,"id":"AA==","timestamp":1,"extensions":"","signature":"BAMAAA=="}`:                                                        false,
		`<html>`: false,
	} {
		if _, err := readSCT([]byte(answer)); (err == nil) != ok {
			t.Errorf("%s: %v", answer, err)
		}
	}
}
