package rule

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-ct/tocsin/internal/mistake"
)

// mistakes are what is said of a file of rules.
func mistakes(t testing.TB, text string) []*mistake.Error {
	t.Helper()
	_, err := New([]File{{Path: "rules.yaml", Text: []byte(text)}})
	var out []*mistake.Error
	if err == nil {
		return nil
	}
	for _, e := range flat(err) {
		m, ok := e.(*mistake.Error)
		if !ok {
			t.Fatalf("not a mistake with its place: %v", e)
		}
		out = append(out, m)
	}
	return out
}

func flat(err error) (out []error) {
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range j.Unwrap() {
			out = append(out, flat(e)...)
		}
		return out
	}
	return []error{err}
}

// with is a rule with a condition, which stands at line 5 from column 11 on.
func with(when string) string {
	return "rules:\n  - id: own\n    title: t\n    severity: alarm\n    when: " + when + "\n    tests: [{name: a, expect: none}, {name: b, cert: {ca: true}, expect: alarm}]\n"
}

func TestConditionsThatAreRefused(t *testing.T) {
	for _, row := range []struct {
		name, when    string
		line, column  int
		problem, hint string
	}{
		{"an unknown field", "cert.isuer.owner == 'Fina'", 5, 16, `unknown field "isuer" of cert`, `did you mean "issuer"?`},
		{"an unknown field of a field", "cert.issuer.onwer == 'Fina'", 5, 23, `unknown field "onwer" of cert.issuer`, `did you mean "owner"?`},
		{"an unknown name", "crt.ca", 5, 11, `unknown name "crt"`, `did you mean "cert"?`},
		{"an unknown function", "undr(cert.names, 'example.com')", 5, 11, `unknown name "undr"`, `did you mean "under"?`},
		{"a field without what it belongs to", "issuer.owner == 'Fina'", 5, 11, `unknown name "issuer"`, `did you mean`},
		{"a text that is no condition", "cert.issuer.owner", 5, 11, "expected bool", "true or false"},
		{"a value that a field never has", "caa.answer == 'denies'", 5, 25, `caa.answer is never "denies"`, "allows"},
		{"a value that a field never has, in a list", "caa.answer in ['forbids', 'nope']", 5, 37, `caa.answer is never "nope"`, "none"},
		{"two types", "cert.ca == 'yes'", 5, 19, "mismatched types", "quotes"},
		{"one equals sign", "cert.ca = true", 5, 19, "unexpected token", "=="},
		{"an open bracket", "any(cert.names, {# == 'x'}", 5, 0, "unexpected token", "the end is missing"},
		{"ident where no name is looked at", "ident.text == 'x'", 5, 11, "this rule looks at certificates", "on: name"},
		{"a pattern that is not written out", "cert.subject matches cert.serial", 5, 37, "not written out", "quotes"},
		{"a pattern that is none", "cert.subject matches '('", 5, 0, "missing", ""},
		{"a method of Go", "cert.Derive()", 5, 0, "", ""},
		{"the counter of loops", "__step()", 5, 11, "unknown field", ""},
		{"the whole environment", "$env['now'] == now", 5, 11, "unknown", ""},
		{"the clock", "now() > cert.not_after", 5, 11, "", ""},
		{"a text made longer and longer", "len(repeat(cert.subject, 1000000)) > 5", 5, 15, "", ""},
		{"a comment that cuts it off", "all(cert.names, # endsWith 'example.com')", 5, 27, "# begins a comment here and cuts when off", "single quotes"},
		{"a comment behind it", "cert.ca # always", 5, 19, "# begins a comment here", "line of its own"},
		{"an alias", "*.example.com", 5, 11, "* begins an alias", `touches(cert.names, "example.com")`},
		{"nothing", "", 5, 10, "when has no value", "give it one"},
		{"a list", "[a, b]", 5, 11, "a text is expected, not a sequence", "quotes"},
	} {
		t.Run(row.name, func(t *testing.T) {
			all := mistakes(t, with(row.when))
			if len(all) == 0 {
				t.Fatal("not refused")
			}
			m := all[0]
			if m.Line != row.line || row.column > 0 && m.Column != row.column || !strings.Contains(m.Problem, row.problem) || !strings.Contains(m.HintText, row.hint) || m.HintText == "" {
				t.Errorf("%s\nhint: %s\nwant %d:%d %q, hint %q", m, m.HintText, row.line, row.column, row.problem, row.hint)
			}
		})
	}
}

func TestPlacesWithinQuotesAndBlocks(t *testing.T) {
	for _, row := range []struct {
		name, when   string
		line, column int
	}{
		{"single quotes", "'cert.isuer.owner == \"x\"'", 5, 17},
		{"double quotes", `"cert.isuer.owner == 'x'"`, 5, 17},
		{"a block", "|\n      cert.ca and\n      cert.isuer.owner == 'x'", 7, 12},
		{"a folded block", ">-\n      cert.isuer.owner == 'x'", 6, 12},
	} {
		t.Run(row.name, func(t *testing.T) {
			all := mistakes(t, with(row.when))
			if len(all) != 1 || all[0].Line != row.line || all[0].Column != row.column {
				t.Errorf("want %d:%d, got %v", row.line, row.column, all)
			}
		})
	}
}

func TestLints(t *testing.T) {
	const never, always = "can never be true", "is always true"
	for _, row := range []struct{ when, want string }{
		{"cert.ca", ""},
		{"true", always},
		{"false", never},
		{"cert.ca and not cert.ca", never},
		{"cert.ca or !cert.ca", always},
		{"cert.ca and (cert.ca or cert.precert)", ""},
		{"caa.answer == 'forbids' and caa.answer == 'allows'", never},
		{"caa.answer != 'forbids' or caa.answer != 'allows'", always},
		{"caa.answer == 'forbids' or caa.answer == 'allows'", ""},
		{"watch.owner == 'a' and watch.owner != 'a'", never},
		{"1 > 2 and cert.ca", never},
		{"1 < 2", always},
		{"any(cert.names, {# == 'a'}) and not any(cert.names, {# == 'a'})", never},
		{"len(cert.names) > 3 ? cert.ca : cert.precert", ""},
		{"let n = cert.names; len(n) > 3", ""},
	} {
		s, err := New([]File{{Path: "rules.yaml", Text: []byte(with("\"" + row.when + "\""))}})
		if err != nil {
			t.Errorf("%s: %v", row.when, err)
			continue
		}
		got := ""
		for _, w := range s.Warnings {
			got += w.String() + "\n"
		}
		if row.want == "" && got != "" || !strings.Contains(got, row.want) {
			t.Errorf("%s: %q, want %q", row.when, got, row.want)
		}
	}
}

func TestRulesWithoutTestsAreWarnedOf(t *testing.T) {
	const head = "rules: [{id: own, title: t, severity: alarm, when: cert.ca"
	for text, want := range map[string]string{
		head + "}]": "it has no tests",
		head + ", tests: [{name: a, expect: none}]}]":                    "no test shows it firing",
		head + ", tests: [{name: a, cert: {ca: true}, expect: alarm}]}]": "no test shows it silent",
		head + ", except: [{name: x, when: 'true', until: 2030-01-01, reason: r}], tests: [{name: a, expect: none}, {name: b, cert: {ca: true}, at: 2031-01-01, expect: alarm}]}]": "holds for everything",
	} {
		s, err := New([]File{{Path: "rules.yaml", Text: []byte(text)}})
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0].String(), want) || !strings.HasPrefix(s.Warnings[0].String(), "rules.yaml:1: rule own: ") {
			t.Errorf("%s: %v, want %q", text, s.Warnings, want)
		}
	}
}

func TestABuiltInRuleIsOverriddenInPartOrWhole(t *testing.T) {
	s, err := New([]File{{Path: "rules.yaml", Text: []byte(`rules:
  - id: backdated
    severity: alarm
    except:
      - {name: old shop, when: 'under(cert.names, "shop.example.com")', until: 2026-06-30, reason: dana}
    tests:
      - {name: rings now, cert: {not_before: 2014-12-31, logged: 2015-12-31}, expect: alarm}
      - {name: excepted, cert: {names: [a.shop.example.com], not_before: 2014-12-31, logged: 2015-12-31}, at: 2026-06-30T23:59:59Z, expect: none}
      - {name: and not after, cert: {names: [a.shop.example.com], not_before: 2014-12-31, logged: 2015-12-31}, at: 2026-07-01, expect: alarm}
  - id: reverse-zone
    except:
      - {name: lab, when: 'within(ident.text, "192.0.2.0/28")', until: 2026-06-30, reason: dana}
  - id: malformed-encoding
    title: Only what matters
    severity: digest
    when: '"serial-negative" in cert.oddities'
`)}})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Rules) != len(builtin(t).Rules) {
		t.Errorf("%d rules", len(s.Rules))
	}
	r := s.Rule("backdated")
	if r.Severity != Alarm || !r.Builtin || !r.Overridden || len(r.Except) != 1 || r.When != builtin(t).Rule("backdated").When || r.Place() != "rules.yaml:2" {
		t.Errorf("%+v", r)
	}
	if !strings.Contains(r.Source(), "when: cert.logged_known") || !strings.Contains(r.Source(), "# overridden at rules.yaml:2:\nid: backdated\nseverity: alarm") {
		t.Errorf("its source is\n%s", r.Source())
	}
	if r := s.Rule("malformed-encoding"); r.When != `"serial-negative" in cert.oddities` || r.Say != "Only what matters" || r.Overridden {
		t.Errorf("%+v", r)
	}
	tested := 0
	for _, o := range s.Test() {
		tested += o.Tests
		for _, f := range o.Failures {
			t.Errorf("%s: %s: %s, want %s", f.Place, f.Test, f.Got, f.Want)
		}
	}
	before := 0
	for _, o := range builtin(t).Test() {
		before += o.Tests
	}
	if tested != before+3 {
		t.Errorf("%d tests ran, want the %d of the built-in rules and 3", tested, before)
	}
	if b := builtin(t).Rule("backdated"); b.Severity != Digest || len(b.Except) != 0 {
		t.Error("the built-in rule itself was changed")
	}
}

func TestATestThatFailsSaysSo(t *testing.T) {
	s, err := New([]File{{Path: "rules.yaml", Text: []byte(with("cert.ca") + "      # \n")}})
	if err != nil {
		t.Fatal(err)
	}
	r := s.Rule("own")
	r.Tests[1].env.Cert.CA = false
	o := r.test()
	if len(o.Failures) != 1 || o.Failures[0] != (Failure{"own", "b", "rules.yaml:6", "alarm", "none"}) {
		t.Errorf("%+v", o)
	}
}

// one compiles a rule of which only the condition matters.
func one(t testing.TB, when, say string) *Rule {
	t.Helper()
	if say == "" {
		say = "said"
	}
	s, err := New([]File{{Path: "rules.yaml", Text: fmt.Appendf(nil, "rules:\n  - id: own\n    title: t\n    severity: alarm\n    say: '%s'\n    when: |\n      %s\n", say, when)}})
	if err != nil {
		t.Fatal(err)
	}
	return s.Rule("own")
}

func TestWhatCannotBeEvaluatedCountsAsTrue(t *testing.T) {
	many := make([]string, 3000)
	for i := range many {
		many[i] = fmt.Sprintf("n%d.example.com", i)
	}
	huge := make([]string, maxList+1)
	for i := range huge {
		huge[i] = fmt.Sprintf("n%d.example.com", i)
	}
	for _, row := range []struct {
		name, when string
		env        Env
		why        string
	}{
		{"an element that is not there", `cert.names[3] == "x"`, Env{}, "out of range"},
		{"an address that is none", `within("nonsense", "192.0.2.0/24") or within(cert.addresses, cert.subject)`, Env{}, "neither an address"},
		{"loops within loops", `any(cert.names, {let a = #; any(cert.names, {a == # + "x"})})`, Env{Cert: Cert{Names: many}}, "too many rounds"},
		{"lists without end", `len(1..2000000) == 3`, Env{}, "memory budget"},
		{"a list that was cut", `any(cert.names, {# == "x"})`, Env{Cert: Cert{Names: huge}}, "more than 4096"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := one(t, row.when, "")
			res := r.evaluate(&row.env, row.env.cut())
			if res == nil || !strings.Contains(res.Unsure, row.why) {
				t.Fatalf("%+v, want it unsure because %q", res, row.why)
			}
		})
	}
}

func TestAnExceptionThatCannotBeEvaluatedDoesNotCount(t *testing.T) {
	r := one(t, "cert.ca", "")
	p, bad := compile(`cert.names[3] == "x" or true`, true, false)
	if bad != nil {
		t.Fatal(bad)
	}
	r.Except = []Exception{{Name: "x", Until: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), when: p}}
	if res := r.evaluate(&Env{Cert: Cert{CA: true}}, nil); res == nil || res.Excepted != nil {
		t.Errorf("%+v", res)
	}
}

func TestFunctions(t *testing.T) {
	env := Env{Cert: Cert{Names: []string{"www.example.com", "example.com"}, Addresses: []string{"192.0.2.1", "2001:db8::1"}, Validity: 90 * 24 * time.Hour}}
	for when, want := range map[string]bool{
		`under(cert.names, "example.com")`:                       true,
		`under(cert.names, "EXAMPLE.com.")`:                      true,
		`under(cert.names, "www.example.com")`:                   false,
		`under(cert.common_names, "example.com")`:                false, // no name is under nothing
		`touches(cert.names, "www.example.com")`:                 true,
		`touches(cert.names, "ample.com")`:                       false,
		`under("badexample.com", "example.com")`:                 false,
		`within(cert.addresses, "192.0.2.0/24")`:                 false,
		`within(first(cert.addresses), "192.0.2.1")`:             true,
		`within("192.0.0.0/8", "192.0.2.0/24")`:                  false,
		`first(cert.common_names) == ""`:                         true,
		`registrable("a.b.example.co.uk") == "example.co.uk"`:    true,
		`cert.validity == days(90) and cert.validity > hours(5)`: true,
		`cert.validity > duration("2159h")`:                      true,
		`date("2026-12-15") > date("2026-12-14")`:                true,
		`list(cert.names) == "www.example.com and example.com"`:  true,
	} {
		if res := one(t, when, "").evaluate(&env, nil); (res != nil) != want || res != nil && res.Unsure != "" {
			t.Errorf("%s: %+v, want %v", when, res, want)
		}
	}
}

func TestWhatIsSaidIsSafeAndShort(t *testing.T) {
	names := make([]string, 1000)
	for i := range names {
		names[i] = "\x1b[2J\r\n" + strings.Repeat("é", 300) + "\u202e.example.com"
	}
	r := one(t, "cert.ca", `{{cert.names}} {{cert.subject}} {{cert.not_before}} {{cert.validity}} {{cert.names[5000]}} {{len(cert.names)}} {{map(cert.names, len(#))}}`)
	res := r.evaluate(&Env{Cert: Cert{CA: true, Names: names, Subject: "<b>\x00\xff"}}, nil)
	if res == nil || strings.ContainsAny(res.Say, "\x1b\r\n\x00\u202e") || strings.Contains(res.Say, "\xff") || len(res.Say) > 2*maxSay {
		t.Errorf("%+v", res)
	}
	if !strings.Contains(res.Say, "and 997 more") || !strings.Contains(res.Say, "an unknown time") || !strings.Contains(res.Say, " ? 1000") {
		t.Errorf("%s", res.Say)
	}
}

func TestTheEnvironmentIsDocumented(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "rules.md"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(b), "\r\n", "\n")
	if !strings.Contains(text, Documentation()) {
		t.Errorf("docs/rules.md does not hold the table of fields as it is:\n%s", Documentation())
	}
	for _, f := range Functions() {
		if !strings.Contains(text, "- "+f+"\n") {
			t.Errorf("docs/rules.md does not hold: - %s", f)
		}
	}
	for _, r := range builtin(t).Rules {
		if !strings.Contains(text, "| `"+r.ID+"` | `"+string(r.Severity)+"` | "+r.Title+" |\n") {
			t.Errorf("docs/rules.md does not hold: | `%s` | `%s` | %s |", r.ID, r.Severity, r.Title)
		}
	}
	for _, key := range append(append(ruleKeys, exceptKeys...), "expect", "at") {
		if !strings.Contains(text, "`"+key+"`") {
			t.Errorf("docs/rules.md does not name the key %s", key)
		}
	}
	for _, f := range Fields() {
		if f.Doc == "" {
			t.Errorf("%s has no description", f.Name)
		}
	}
}
