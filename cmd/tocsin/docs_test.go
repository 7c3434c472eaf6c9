package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/bench"
	"github.com/tocsin-ct/tocsin/internal/coverage"
	"github.com/tocsin-ct/tocsin/internal/drill"
	"github.com/tocsin-ct/tocsin/internal/route"
)

// keys are the keys of a document, with the way to each.
func keys(v any, at string, into map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for key, inner := range v {
			into[at+key] = true
			if key != "levels" && key != "silent" && key != "digest" && key != "suppressed" && key != "waiting" && key != "grades" { // their keys are data
				keys(inner, at+key+".", into)
			}
		}
	case []any:
		for _, inner := range v {
			keys(inner, at, into)
		}
	}
}

func TestTheDocumentedJSONIsWhatTheCommandsPrint(t *testing.T) {
	text := string(need(os.ReadFile(filepath.Join("..", "..", "docs", "commands.md")))(t))
	example := regexp.MustCompile("<!-- (\\w+) -->\n```json\n((?s:.*?))\n```")
	types := map[string]any{
		"init":  &initOutput{},
		"ready": &ready{}, "match": &matchLine{}, "total": &matchTotal{}, "report": &reportLine{}, "explain": &app.Explanation{}, "logs": &app.Coverage{},
		"receiver": &receiverLine{}, "receivertest": &receiverTest{},
		"caa": &app.CAAHistory{}, "lists": &listsOutput{}, "list": &app.ListMessage{}, "notice": &app.Notice{}, "digest": &app.Digest{}, "noise": &app.Noise{}, "trouble": &app.TroubleMessage{}, "statement": &coverage.Statement{},
		"bench": &bench.Line{}, "drill": &drill.Outcome{}, "version": &versionInfo{}, "verification": &verification{}, "comparison": &comparison{}, "evidence": &written{},
		"incident": &app.IncidentSummary{}, "silencing": &app.Silencing{}, "walk": &route.Result{},
		"year": &yearOutcome{}, "replay": &policyReplayed{},
		"policycheck": &policyChecked{}, "policytest": &policyTested{}, "policyrule": &policyRule{},
		"fault": &struct {
			Kind  string      `json:"kind"`
			Fault faultOfALog `json:"fault"`
		}{},
	}
	for _, m := range example.FindAllStringSubmatch(text, -1) {
		name, doc := m[1], m[2]
		into, known := types[name]
		if !known {
			t.Errorf("an example of %q, which is nothing that a command prints", name)
			continue
		}
		delete(types, name)
		dec := json.NewDecoder(strings.NewReader(doc))
		dec.DisallowUnknownFields()
		if err := dec.Decode(into); err != nil {
			t.Errorf("the example of %s is not what is printed: %v", name, err)
			continue
		}
		var said, printed any
		if err := json.Unmarshal([]byte(doc), &said); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(need(json.Marshal(into))(t), &printed); err != nil {
			t.Fatal(err)
		}
		have, want := map[string]bool{}, map[string]bool{}
		keys(said, "", have)
		keys(printed, "", want)
		for key := range want {
			if !have[key] {
				t.Errorf("the example of %s lacks %q", name, key)
			}
		}
	}
	for name := range types {
		t.Errorf("docs/commands.md has no example of %s", name)
	}
}

// faultOfALog is a ctlog.Fault whose log may be shortened.
type faultOfALog struct {
	Kind     string          `json:"kind"`
	Log      string          `json:"log"`
	LogName  string          `json:"log_name"`
	Text     string          `json:"text"`
	At       string          `json:"at"`
	Evidence json.RawMessage `json:"evidence"`
}

func TestTheDocumentedFaultIsThatOfTheReader(t *testing.T) {
	names := func(v any) (list []string) {
		var m map[string]json.RawMessage
		if err := json.NewDecoder(bytes.NewReader(need(json.Marshal(v))(t))).Decode(&m); err != nil {
			t.Fatal(err)
		}
		for key := range m {
			list = append(list, key)
		}
		slices.Sort(list)
		return list
	}
	if got, want := names(faultOfALog{Evidence: json.RawMessage("{}")}), names(ctlog.Fault{Evidence: json.RawMessage("{}")}); !slices.Equal(got, want) {
		t.Errorf("documented %v, printed %v", got, want)
	}
}
