package rule

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-ct/tocsin/internal/mistake"
)

func FuzzFilesOfRules(f *testing.F) {
	files, _ := filepath.Glob("builtin/*.yaml")
	for _, name := range files {
		if text, err := os.ReadFile(name); err == nil {
			f.Add(string(text))
		}
	}
	f.Add(with("any(cert.names, {# == 'x'})"))
	f.Add("rules: [{id: a, title: b, severity: page, when: '{{', say: '{{cert.ca', except: [{until: x}], tests: [{cert: {names: [1, *a]}}]}]")
	f.Add("rules: [{id: a, title: '{{x', severity: page, when: cert.ca}]")
	f.Add("rules:\n  - when: |\n\n     x\n    id: [\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := New([]File{{Path: "rules.yaml", Text: []byte(text)}})
		if err != nil {
			for _, e := range flat(err) {
				m, ok := e.(*mistake.Error)
				if !ok || m.Line < 1 || m.Column < 1 || m.HintText == "" {
					t.Fatalf("a mistake without place or hint: %#v", e)
				}
			}
			return
		}
		env := ordinary()
		s.Evaluate(&env, func(yield func(Ident) bool) { yield(Ident{Text: "www.example.com"}) })
		s.Test()
	})
}

func FuzzConditionsOverHostileCertificates(f *testing.F) {
	for _, when := range []string{
		`any(cert.names, {# matches "^(a+)+$"})`, `all(cert.names, {all(cert.names, {# == #})})`, `cert.names[99999999999] == ""`,
		`len(map(1..99999, {#})) > 0`, `under(cert.names, first(cert.names))`, `within(cert.addresses, "0.0.0.0/0")`, `cert.validity / 0 > days(1)`,
		`duration(cert.subject) > days(99999999)`, `date(cert.subject) > now`, `int(cert.subject) % 0 == 1`, `ident.text[1:0] == ""`,
	} {
		f.Add(when, "www.example.com", "\xff\x00{{cert.ca}}\x1b")
	}
	f.Fuzz(func(t *testing.T, when, name, subject string) {
		p, bad := compile(when, true, true)
		if bad != nil {
			if bad.problem == "" || bad.hint == "" {
				t.Fatalf("refused without a word: %+v", bad)
			}
			return
		}
		p.always()
		env := ordinary()
		for range 50 {
			env.Cert.Names = append(env.Cert.Names, name)
		}
		env.Cert.Addresses = []string{name, "192.0.2.1"}
		env.Cert.Subject, env.Ident.Text = subject, name
		env.Cert.Derive()
		began := time.Now()
		held, unsure := p.holds(&env, env.cut())
		if took := time.Since(began); took > 20*time.Second {
			t.Fatalf("%s took %s", when, took)
		}
		again, unsureAgain := p.holds(&env, nil)
		if held != again || (unsure == "") != (unsureAgain == "") {
			t.Fatalf("%s is %v %q, and then %v %q", when, held, unsure, again, unsureAgain)
		}
		if out := render([]piece{{text: "x"}, {expr: p}}, &env); strings.ContainsAny(out, "\x1b\x00\n") {
			t.Fatalf("said %q", out)
		}
	})
}
