package loglist

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTheMostInclusiveStateWins(t *testing.T) {
	a := Log{Kind: RFC6962, ID: [32]byte{1}, URL: "https://a.example.com/", MonitoringURL: "https://a.example.com/", Description: "A", MMD: time.Hour}
	for _, row := range []struct {
		name         string
		one, other   State
		want         State
		follow, tell bool
	}{
		{"usable anywhere is usable", Retired, Usable, Usable, true, true},
		{"usable first is usable", Usable, Rejected, Usable, true, true},
		{"qualified wins over read-only", ReadOnly, Qualified, Qualified, true, true},
		{"read-only wins over retired", Retired, ReadOnly, ReadOnly, true, true},
		{"pending wins over rejected, and is not followed", Rejected, Pending, Pending, false, true},
		{"a state wins over none", None, Rejected, Rejected, false, true},
		{"a known state wins over an unknown one", State("odd"), Retired, Retired, false, true},
		{"agreement is no news", Usable, Usable, Usable, true, false},
	} {
		x, y := a, a
		x.State, y.State = row.one, row.other
		got := Join(Named{"one", &List{Logs: []Log{x}}}, Named{"other", &List{Logs: []Log{y}}})
		if len(got.Logs) != 1 || got.Logs[0].State != row.want {
			t.Errorf("%s: %+v", row.name, got.Logs)
			continue
		}
		if follow, _ := got.Logs[0].Follow(); follow != row.follow {
			t.Errorf("%s: followed %v", row.name, follow)
		}
		if told := len(got.Reports) > 0; told != row.tell {
			t.Errorf("%s: reports %v", row.name, got.Reports)
		}
	}
}

func TestTheFirstListSaysAllElse(t *testing.T) {
	a := Log{Kind: Static, ID: [32]byte{1}, Operator: "One", URL: "https://a.example.com/", MonitoringURL: "https://m.example.com/", State: Usable}
	b := a
	b.Operator, b.MonitoringURL, b.MMD, b.Description, b.Final = "Other", "https://elsewhere.example.com/", time.Minute, "B", &TreeHead{Size: 1}
	only := Log{Kind: RFC6962, ID: [32]byte{2}, State: Usable}
	got := Join(Named{"one", &List{Logs: []Log{a}, Version: "1"}}, Named{"other", &List{Logs: []Log{b, only}, Reports: []Report{{Where: "x", Text: "y", Refused: true}}}})
	want := a
	want.MMD, want.Description, want.Final = b.MMD, b.Description, b.Final
	if d := cmp.Diff([]Log{want, only}, got.Logs); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if len(got.Reports) != 2 || !strings.Contains(got.Reports[1].Text, "https://elsewhere.example.com/") || got.Reports[0].Where != "other: x" {
		t.Errorf("%v", got.Reports)
	}
	if got.Version != "" || Join(Named{"one", &List{Version: "1"}}).Version != "1" {
		t.Error("the version of a joined list")
	}
}

func TestRealListsOfTwoPublishersJoin(t *testing.T) {
	dir := filepath.Join(shared(t), "data", "loglists")
	read := func(name string) *List {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		l, err := Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	google, apple := read("google-log_list-85.108-2026-06-14.json"), read("apple-current_log_list-v511-2026-04-01.json")
	joined := Join(Named{"Google", google}, Named{"Apple", apple})
	follow := map[[32]byte]bool{}
	for _, l := range []*List{google, apple} {
		for _, g := range l.Followed() {
			follow[g.ID] = true
		}
	}
	all := map[[32]byte]bool{}
	for _, g := range joined.Logs {
		if all[g.ID] {
			t.Errorf("%s twice", g.Name())
		}
		all[g.ID] = true
	}
	for _, g := range joined.Followed() {
		if !follow[g.ID] {
			t.Errorf("%s is followed, and neither list says so", g.Name())
		}
		delete(follow, g.ID)
	}
	if len(follow) > 0 {
		t.Errorf("%d logs that one program accepts are not followed", len(follow))
	}
	if g, a, j := len(google.Followed()), len(apple.Followed()), len(joined.Followed()); g != 52 || a != 57 || j != wantJoined || len(joined.Logs) != wantAll {
		t.Errorf("followed: %d by Google, %d by Apple, %d together of %d", g, a, j, len(joined.Logs))
	}
	if len(joined.Reports) == 0 || len(joined.Reports) > 200 {
		t.Errorf("%d reports", len(joined.Reports))
	}
}

// Counted by hand over the two files, by log id.
const wantJoined, wantAll = 58, 168

func TestAServerIsAskedOnlyForWhatIsNew(t *testing.T) {
	asked := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		switch r.URL.Path {
		case "/odd":
			w.WriteHeader(http.StatusNotModified) // to a question without conditions
			return
		case "/long":
			w.Header().Set("ETag", `"`+strings.Repeat("x", 1000)+`"`)
		default:
			w.Header().Set("ETag", `"1"`)
			w.Header().Set("Last-Modified", "Fri, 21 Aug 2026 00:00:00 GMT")
		}
		if r.Header.Get("If-None-Match") == `"1"` && r.Header.Get("If-Modified-Since") != "" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = w.Write([]byte(`{"operators":[]}` + r.Header.Get("Cache-Control") + r.UserAgent()))
	}))
	defer srv.Close()
	first, err := Fetch(t.Context(), srv.URL+"/list.json", &FetchOptions{UserAgent: "tocsin/1 (ct@example.com)", NoCache: true})
	if err != nil || first.Unchanged || string(first.Body) != `{"operators":[]}no-cachetocsin/1 (ct@example.com)` {
		t.Fatalf("%+v, %v", first, err)
	}
	second, err := Fetch(t.Context(), srv.URL+"/list.json", &FetchOptions{ETag: first.ETag, LastModified: first.LastModified})
	if err != nil || !second.Unchanged || second.ETag != `"1"` {
		t.Errorf("%+v, %v", second, err)
	}
	if a, err := Fetch(t.Context(), srv.URL+"/odd", nil); err == nil {
		t.Errorf("an answer without a body is taken: %+v", a)
	}
	if a, err := Fetch(t.Context(), srv.URL+"/long", nil); err != nil || a.ETag != "" {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestARedirectFromHTTPSToHTTPIsNotFollowed(t *testing.T) {
	plain, _ := http.NewRequest("GET", "http://example.com/", nil)
	secure, _ := http.NewRequest("GET", "https://example.com/", nil)
	if noDowngrade(plain, []*http.Request{secure}) == nil {
		t.Error("followed")
	}
	if err := noDowngrade(secure, []*http.Request{plain}); err != nil {
		t.Error(err)
	}
	if noDowngrade(secure, []*http.Request{secure, secure, secure, secure, secure, secure}) == nil {
		t.Error("for ever")
	}
}
