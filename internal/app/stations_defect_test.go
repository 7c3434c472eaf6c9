package app

import (
	"testing"
	"time"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/policy"
	"github.com/tocsin-ct/tocsin/internal/watch"
)

// brokenMatcher fails on what was read, as a defect of the reader would.
type brokenMatcher struct{ *watch.Matcher }

func (brokenMatcher) Match([]cert.Ident) []watch.Match { panic("defect") }

func TestADefectOfTheReaderHidesNothing(t *testing.T) {
	item, err := watch.ParseItem("example.org", watch.Place{Line: 1})
	if err != nil {
		t.Fatal(err)
	}
	watches := []watch.Watch{{Name: "w", Items: []watch.Item{item}}}
	rules, err := policy.Compile([]policy.Watch{{Name: "w", Items: watches[0].Items}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	st := &Stations{Watches: watches, Matcher: brokenMatcher{watch.New(watches)}, Rules: rules}
	r := st.Read(Subject{Bytes: []byte("\x30\x80\x82\x0fwww.example.org")})
	if len(r.Matches) == 0 || r.Matches[0].Where != cert.InRaw {
		t.Errorf("the bytes were not searched: %+v", r.Matches)
	}
	if len(r.Cert.Oddities) != 1 || r.Cert.Oddities[0].Code != "reader-failed" {
		t.Errorf("the reading does not say what happened: %+v", r.Cert.Oddities)
	}
	if v := st.Decide(r, time.Unix(0, 0)); v.Level < policy.Digest {
		t.Errorf("the verdict is %s", v.Level)
	}
}
