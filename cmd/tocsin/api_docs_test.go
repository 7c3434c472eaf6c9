package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/tocsin-ct/tocsin/internal/api"
)

func TestTheDocumentedAPIIsWhatItAnswers(t *testing.T) {
	text := need(os.ReadFile(filepath.Join("..", "..", "docs", "api.md")))(t)
	types := map[string]any{"expectation": &api.Expectation{}, "pushed": &api.Pushed{}, "journal": &api.Entries{}, "token": &api.Token{}}
	for _, m := range regexp.MustCompile("<!-- (\\w+) -->\n```json\n((?s:.*?))\n```").FindAllSubmatch(text, -1) {
		name, doc := string(m[1]), m[2]
		into, known := types[name]
		if !known {
			t.Errorf("an example of %q, which is nothing that the API answers", name)
			continue
		}
		delete(types, name)
		dec := json.NewDecoder(bytes.NewReader(doc))
		dec.DisallowUnknownFields()
		if err := dec.Decode(into); err != nil {
			t.Errorf("the example of %s is not what is answered: %v", name, err)
			continue
		}
		var said, answered any
		for _, x := range []struct {
			b    []byte
			into *any
		}{{doc, &said}, {need(json.Marshal(into))(t), &answered}} {
			if err := json.Unmarshal(x.b, x.into); err != nil {
				t.Fatal(err)
			}
		}
		have, want := map[string]bool{}, map[string]bool{}
		keys(said, "", have)
		keys(answered, "", want)
		for key := range want {
			if !have[key] {
				t.Errorf("the example of %s lacks %q", name, key)
			}
		}
	}
	for name := range types {
		t.Errorf("docs/api.md has no example of %s", name)
	}
}
