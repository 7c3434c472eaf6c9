package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/year"
)

// TOCSIN_YEARS=20 plays the years of the first 20 seeds: whole ones, which need minutes, or with TOCSIN_YEARS_EVERY=8 the
// renewals of one service in eight, and all that nobody ordered. Without it two thin ones are played, which need seconds.
const yearsEnv, everyEnv = "TOCSIN_YEARS", "TOCSIN_YEARS_EVERY"

var frozen = struct {
	once sync.Once
	dir  string
	f    *year.Frozen
	err  error
}{}

// organisation is the one of all years, with its configuration. It is made once, before any seed is drawn.
func organisation(t *testing.T) *year.Frozen {
	t.Helper()
	frozen.once.Do(func() {
		if frozen.dir, frozen.err = os.MkdirTemp("", "tocsin-year-test"); frozen.err == nil {
			frozen.f, frozen.err = year.Freeze(t.Context(), frozen.dir, compileYear)
			os.RemoveAll(filepath.Join(frozen.dir, "seen"))
		}
	})
	if frozen.err != nil {
		t.Fatal(frozen.err)
	}
	return frozen.f
}

func TestAYear(t *testing.T) {
	f := organisation(t)
	if f.Proposed > 40 {
		t.Errorf("init proposes %d lines", f.Proposed)
	}
	seeds, o := 2, year.Options{Every: 40}
	if text := os.Getenv(yearsEnv); text != "" {
		seeds, o = need(strconv.Atoi(text))(t), year.Options{}
		if text := os.Getenv(everyEnv); text != "" {
			o.Every = need(strconv.Atoi(text))(t)
		}
	}
	for seed := range uint64(seeds) {
		t.Run("seed "+strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			y, err := f.Run(t.Context(), seed, o)
			if err != nil {
				t.Fatal(err)
			}
			for _, problem := range y.Problems {
				t.Error(problem)
			}
			own, settling := 0, 0
			for _, r := range y.Rogues {
				if r.OwnCA {
					own++
				}
				if r.InSettle {
					settling++
				}
				if len(r.Rules) == 0 && r.Rang {
					t.Errorf("%s rang, and no rule says why", r.Kind)
				}
			}
			if !y.OK || y.RogueRung != 12 || own < 2 || settling < 2 {
				t.Errorf("%d of %d rogues rang, %d by the CA in use, %d while the journal is waited for; ok %t", y.RogueRung, len(y.Rogues), own, settling, y.OK)
			}
			t.Logf("%d certificates in %d entries, %d false rings, %d ms", y.Certificates, y.Entries, y.FalseRings, y.Took)
		})
	}
}

// A measure that nothing can fail measures nothing.
func TestAYearFailsWhereSomethingIsMissing(t *testing.T) {
	f := organisation(t)
	edit := func(change func(text string) string, extra map[string]string) year.Compile {
		return func(path string) (*app.Stations, app.Telling, error) {
			dir := filepath.Dir(path)
			text, err := os.ReadFile(path)
			if err != nil {
				return nil, app.Telling{}, err
			}
			changed := change(string(text))
			if changed == string(text) {
				t.Fatal("the configuration is not changed")
			}
			for name, text := range extra {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					return nil, app.Telling{}, err
				}
			}
			other := filepath.Join(dir, strings.NewReplacer("/", "-", " ", "-").Replace(t.Name())+".yaml")
			if err := os.WriteFile(other, []byte(changed), 0o600); err != nil {
				return nil, app.Telling{}, err
			}
			return compileYear(other)
		}
	}
	same := func(path string) (*app.Stations, app.Telling, error) { return compileYear(path) }
	for _, c := range []struct {
		name    string
		compile year.Compile
		o       year.Options
		broken  func(*year.Report) bool
	}{
		{"nobody hears the hooks", same, year.Options{Deaf: true}, func(y *year.Report) bool { return y.FalseRings > year.MostFalse }},
		{"nothing is waited for", edit(func(s string) string { return strings.ReplaceAll(s, "settle: 4h", "settle: 0s") }, nil), year.Options{}, func(y *year.Report) bool { return y.FalseRings > year.MostFalse }},
		{"the rule of unknown keys is only told once a day", edit(func(s string) string { return s + "rules: [quiet.yaml]\n" }, map[string]string{"quiet.yaml": "rules:\n  - {id: unknown-key, severity: digest}\n"}), year.Options{},
			func(y *year.Report) bool { return y.RogueRung < 12 }},
		{"the keys of names are not looked at", edit(func(s string) string {
			return regexp.MustCompile(`keys: \["file:[^\]]*\], (settle: 4h, )?`).ReplaceAllString(strings.Replace(s, "settle: 4h, ", "", -1), "")
		}, nil), year.Options{}, func(y *year.Report) bool { return y.RogueRung < 12 }},
		{"the resolver does not page", edit(func(s string) string { return strings.Replace(s, "surprise: page", "surprise: alarm", 1) }, nil), year.Options{}, func(y *year.Report) bool { return y.RogueRung == 12 && !y.OK }},
	} {
		t.Run(c.name, func(t *testing.T) {
			again, err := f.Again(c.compile)
			if err != nil {
				t.Fatal(err)
			}
			c.o.Every = 40
			y, err := again.Run(t.Context(), 1, c.o)
			if err != nil {
				t.Fatal(err)
			}
			if y.OK || !c.broken(y) {
				t.Errorf("the year does not notice: ok %t, %d rogues rang, %d false rings, %q", y.OK, y.RogueRung, y.FalseRings, y.Problems)
			}
		})
	}
}
