package rule

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/tocsin-ct/tocsin/internal/mistake"
)

// File is one file of rules.
type File struct {
	Path string
	Text []byte
}

// Bounds of a file.
const (
	maxFile  = 1 << 20
	maxRules = 500
	maxTests = 200
)

// Read reads the files at the paths and makes the set of them: see [New].
func Read(paths []string) (*Set, error) {
	var files []File
	var errs []error
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			errs = append(errs, fmt.Errorf("reading rules: %w", err))
			continue
		}
		files = append(files, File{path, text})
	}
	s, err := New(files)
	return s, errors.Join(append(errs, err)...)
}

// New returns the built-in rules with those of the files: an entry with the id of a built-in rule overrides it. Without
// a condition it changes only what it names and adds its exceptions; with one it replaces the rule. The error joins all
// mistakes, each a *mistake.Error.
func New(files []File) (*Set, error) {
	builtin, err := Builtin()
	if err != nil {
		return nil, err
	}
	s := &Set{Rules: slices.Clone(builtin.Rules), shipped: builtin.Rules}
	seen := map[string]*Rule{}
	var errs []error
	for _, f := range files {
		d := &reader{path: f.Path, lines: strings.Split(string(f.Text), "\n"), builtin: builtin}
		for _, e := range d.file(f.Text) {
			d.join(s, e, seen)
		}
		errs = append(errs, d.errs...)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for _, r := range s.Rules {
		if !r.Builtin || r.Overridden {
			s.Warnings = append(s.Warnings, r.lint()...)
		}
	}
	return s, nil
}

// entry is a rule of a file as it is written.
type entry struct {
	rule Rule
	has  map[string]scalar
	bad  bool
}

var (
	ruleKeys   = []string{"id", "title", "help", "on", "severity", "when", "except", "say", "next", "tests"}
	exceptKeys = []string{"name", "when", "until", "reason"}
	testKeys   = append([]string{"name", "expect", "at"}, names("")...)
	idForm     = regexp.MustCompile(`^[a-z0-9]+([.-][a-z0-9]+)*$`)
)

// file reads all entries of a file.
func (d *reader) file(text []byte) []entry {
	if len(text) > maxFile {
		d.refuse(mark{1, 1}, fmt.Sprintf("larger than %d bytes", maxFile), "divide it into several files")
		return nil
	}
	body := d.document(text)
	if body == nil {
		return nil
	}
	top, ok := d.entries(body, "the file", []string{"rules"})
	if !ok {
		return nil
	}
	if top["rules"] == nil {
		if len(d.errs) == 0 {
			d.refuse(mark{1, 1}, "no rules", emptyHint)
		}
		return nil
	}
	list := d.list(top["rules"], "rules")
	if len(list) > maxRules {
		d.refuse(startOf(list[maxRules]), fmt.Sprintf("more than %d rules", maxRules), "divide them into several files; each rule costs time for each certificate")
		return nil
	}
	var out []entry
	for i, n := range list {
		end := len(d.lines) + 1
		if i+1 < len(list) {
			end = startOf(list[i+1]).line
		}
		if e := d.rule(n, end); e != nil {
			out = append(out, *e)
		}
	}
	return out
}

// rule reads one entry. end is the line after it.
func (d *reader) rule(n ast.Node, end int) *entry {
	before := len(d.errs)
	values, ok := d.entries(n, "a rule", ruleKeys)
	if !ok {
		return nil
	}
	e := &entry{has: map[string]scalar{}}
	whole := map[string]bool{} // what was read without a complaint
	for _, key := range []string{"id", "title", "help", "on", "severity", "when", "say", "next"} {
		if kv := values[key]; kv != nil {
			told := len(d.errs)
			e.has[key] = d.text(kv, key, key == "when" || key == "say")
			whole[key] = len(d.errs) == told
		}
	}
	at := startOf(n)
	r := &e.rule
	r.File, r.Line = d.path, at.line
	r.ID, r.Title, r.Help = e.has["id"].value, clean(e.has["title"].value), clean(e.has["help"].value)
	r.When, r.Say, r.Next = strings.TrimSpace(e.has["when"].value), e.has["say"].value, clean(e.has["next"].value)
	switch id := e.has["id"]; {
	case values["id"] == nil:
		d.refuse(at, "a rule without id", "give it one: verdicts, overrides and reports name it")
	case id.value != "" && (!idForm.MatchString(id.value) || len(id.value) > 80):
		d.refuse(id.at, fmt.Sprintf("the id %q is not of the form word-word", Clip(id.value)), "lower-case letters, digits, hyphens and dots, such as example.issuer.unlisted")
	}
	r.On = d.on(e.has["on"])
	r.Severity = d.severity(e.has["severity"])
	if r.On == "" && d.builtin != nil && d.builtin.Rule(r.ID) != nil {
		r.On = d.builtin.Rule(r.ID).On // an override looks at the same
	}
	name := r.On == OnName
	if e.has["when"].value != "" && whole["when"] {
		r.when = d.condition(e.has["when"], "when", name)
	}
	if values["except"] != nil {
		for _, n := range d.list(values["except"], "except") {
			d.exception(n, r, name)
		}
	}
	if values["tests"] != nil {
		list := d.list(values["tests"], "tests")
		if len(list) > maxTests {
			d.refuse(startOf(list[maxTests]), fmt.Sprintf("more than %d tests of a rule", maxTests), "divide the rule")
			list = nil
		}
		for _, n := range list {
			d.test(n, r)
		}
	}
	r.source = dedent(d.lines[min(at.line-1, len(d.lines)):min(max(end-1, at.line), len(d.lines))])
	e.bad = len(d.errs) > before
	return e
}

func (d *reader) on(s scalar) string {
	switch s.value {
	case OnCertificate, OnName, "":
		return s.value
	case "log", "root", "self":
		d.refuse(s.at, fmt.Sprintf("on: %s is not offered: rules see certificates and their names", s.value),
			"faults of logs and troubles of tocsin itself are told without rules (docs/coverage.md, docs/output.md); write on: certificate or on: name")
	default:
		d.refuse(s.at, fmt.Sprintf("on is certificate or name, not %q", Clip(s.value)), meant(s.value, []string{OnCertificate, OnName}))
	}
	return s.value
}

func (d *reader) severity(s scalar) Severity {
	if s.value != "" && !has(severities, s.value) {
		d.refuse(s.at, fmt.Sprintf("severity is %s or %s, not %q", strings.Join(severities[:5], ", "), severities[5], Clip(s.value)), meant(s.value, severities))
	}
	return Severity(s.value)
}

func (d *reader) condition(s scalar, key string, ident bool) *program {
	p, bad := compile(s.value, true, ident)
	if bad != nil {
		d.refuse(s.place(bad.at), key+": "+bad.problem, bad.hint)
		return nil
	}
	return p
}

func (d *reader) exception(n ast.Node, r *Rule, ident bool) {
	values, ok := d.entries(n, "an exception", exceptKeys)
	if !ok {
		return
	}
	at := startOf(n)
	x := Exception{Line: at.line, file: d.path}
	x.Name, x.Reason = clean(d.text(values["name"], "name", false).value), clean(d.text(values["reason"], "reason", false).value)
	when := d.text(values["when"], "when", true)
	until := d.text(values["until"], "until", false)
	missing := func(key, hint string) bool {
		if values[key] != nil {
			return false
		}
		d.refuse(at, "an exception without "+key, hint)
		return true
	}
	missing("name", "give it a name: reasons of verdicts say it")
	missing("reason", "say why, and who decided it: reason: CHG-1882, dana@example.com")
	if !missing("when", "say in which case the rule does not count") && when.value != "" {
		x.When = strings.TrimSpace(when.value)
		x.when = d.condition(when, "when", ident)
	}
	if !missing("until", "an exception without an end is a hole that nobody remembers: until: 2026-12-15") && until.value != "" {
		t, err := parseTime(until.value)
		if err != nil {
			d.refuse(until.at, fmt.Sprintf("until is a date, not %q", Clip(until.value)), "write it as 2026-12-15; the exception counts through that day (UTC)")
		} else if len(until.value) == len(time.DateOnly) {
			t = t.AddDate(0, 0, 1)
		}
		x.Until = t
	}
	if slices.ContainsFunc(r.Except, func(o Exception) bool { return o.Name == x.Name && x.Name != "" }) {
		d.refuse(at, fmt.Sprintf("a second exception named %q", Clip(x.Name)), "give each its own name")
	}
	r.Except = append(r.Except, x)
}

// none is what a test expects of a rule that does not fire.
const none = "none"

func (d *reader) test(n ast.Node, r *Rule) {
	values, ok := d.entries(n, "a test", testKeys)
	if !ok {
		return
	}
	at := startOf(n)
	t := Test{Line: at.line, file: d.path}
	t.Name = clean(d.text(values["name"], "name", false).value)
	if values["name"] == nil {
		d.refuse(at, "a test without name", "say what it shows: name: a renewal is silent")
	}
	want := d.text(values["expect"], "expect", false)
	t.Want = want.value
	known := append([]string{none}, severities...)
	if values["expect"] == nil {
		d.refuse(at, "a test without expect", "write what the rule asks for then: expect: alarm, or expect: none")
	} else if want.value != "" && !has(known, want.value) {
		d.refuse(want.at, fmt.Sprintf("expect is one of %s, not %q", strings.Join(known, ", "), Clip(want.value)), meant(want.value, known))
	}
	// What a test does not say is ordinary.
	t.env = ordinary()
	if kv := values["at"]; kv != nil {
		s := d.text(kv, "at", false)
		now, err := parseTime(s.value)
		if err != nil && s.value != "" {
			d.refuse(s.at, fmt.Sprintf("at is a time, not %q", Clip(s.value)), "such as 2026-12-15 or 2026-12-15T08:00:00Z")
		}
		t.env.Now = now
	}
	env := envValue(&t.env)
	for _, key := range names("") {
		kv := values[key]
		if kv == nil {
			continue
		}
		field, _ := byTag(env, key)
		d.fill(kv.Value, field, key)
	}
	t.env.derive()
	r.Tests = append(r.Tests, t)
}

// join puts an entry into the set: a rule of its own, or an override.
func (d *reader) join(s *Set, e entry, seen map[string]*Rule) {
	r := &e.rule
	if r.ID == "" {
		return
	}
	at := mark{r.Line, 1}
	if id := e.has["id"]; id.given() {
		at = id.at
	}
	if first := seen[r.ID]; first != nil {
		d.refuse(at, fmt.Sprintf("a second rule with the id %s (the first is at %s)", r.ID, first.Place()), "give each its own id, or join them")
		return
	}
	seen[r.ID] = r
	i := slices.IndexFunc(s.Rules, func(o *Rule) bool { return o.ID == r.ID })
	if i >= 0 && e.has["when"].value == "" {
		if merged := d.merge(s.Rules[i], &e); merged != nil && !e.bad {
			s.Rules[i] = merged
		}
		return
	}
	d.whole(&e, at, i >= 0)
	if e.bad || len(d.errs) > 0 {
		return
	}
	if i >= 0 {
		r.Builtin, r.Overridden = true, false
		s.Rules[i] = r
		return
	}
	s.Rules = append(s.Rules, r)
}

// whole checks that a rule has all that it needs, and gives it what it may leave out.
func (d *reader) whole(e *entry, at mark, replaces bool) {
	r := &e.rule
	before := len(d.errs)
	_, given := e.has["when"]
	if m := mistake.Closest(r.ID, d.builtin.ids()); !given && m != "" {
		d.refuse(at, fmt.Sprintf("no built-in rule has the id %s, and a rule of your own needs a condition", r.ID), fmt.Sprintf("did you mean to override %s?", m))
		e.bad = true
		return
	}
	if r.Title == "" {
		d.refuse(at, fmt.Sprintf("rule %s has no title", r.ID), "say in a few words what it finds: title: A CA that we do not use signed for example.com")
	}
	if _, given := e.has["severity"]; !given {
		d.refuse(at, fmt.Sprintf("rule %s has no severity", r.ID), "write severity: digest, alarm, page, surprise (the level that the watch gives its surprises), expected, or simulate")
	}
	if !given {
		d.refuse(at, fmt.Sprintf("rule %s has no when", r.ID), "say in which case it fires: when: '…'")
	}
	if r.On == "" {
		r.On = OnCertificate
	}
	if r.Say == "" {
		r.Say, r.say = r.Title, []piece{{text: r.Title}}
	} else {
		r.say = d.template(e.has["say"], r.Say, r.On == OnName)
	}
	e.bad = e.bad || len(d.errs) > before
}

// merge makes a rule with what an entry without condition changes.
func (d *reader) merge(old *Rule, e *entry) *Rule {
	r := *old
	n := &e.rule
	r.Overridden = true
	r.File, r.Line, r.source = n.File, n.Line, old.source+"\n# overridden at "+n.Place()+":\n"+n.source
	if s, given := e.has["on"]; given && s.value != "" && s.value != old.On {
		d.refuse(s.at, fmt.Sprintf("%s looks at each %s, which an override without condition cannot change", old.ID, old.On), "remove on, or replace the rule with a condition of its own (when)")
		return nil
	}
	if n.Title != "" {
		r.Title = n.Title
	}
	if n.Help != "" {
		r.Help = n.Help
	}
	if n.Severity != "" {
		r.Severity = n.Severity
	}
	if n.Next != "" {
		r.Next = n.Next
	}
	if n.Say != "" {
		r.Say = n.Say
		r.say = d.template(e.has["say"], n.Say, old.On == OnName)
	}
	r.Except = append(slices.Clone(old.Except), n.Except...)
	r.Tests = n.Tests
	if len(e.has) == 1 && len(n.Except) == 0 && len(n.Tests) == 0 && !e.bad {
		d.refuse(e.has["id"].at, fmt.Sprintf("the override of %s changes nothing", r.ID), "give it a severity, exceptions, say or next; or a condition (when) of its own")
		return nil
	}
	return &r
}

// template divides a text into what stands as it is and {{expressions}}.
func (d *reader) template(s scalar, text string, ident bool) []piece {
	var out []piece
	offset := 0
	for text != "" {
		before, rest, found := strings.Cut(text, "{{")
		if before != "" {
			out = append(out, piece{text: before})
		}
		if !found {
			break
		}
		inner, after, closed := strings.Cut(rest, "}}")
		offset += len([]rune(before)) + 2
		if !closed {
			d.refuse(s.place(offset-2), "say: {{ without }}", "close it: {{cert.issuer.owner}}")
			return nil
		}
		p, bad := compile(inner, false, ident)
		if bad != nil {
			at := offset
			if bad.at >= 0 {
				at += bad.at
			}
			d.refuse(s.place(at), "say: "+bad.problem, bad.hint)
			return nil
		}
		out = append(out, piece{expr: p})
		offset += len([]rune(inner)) + 2
		text = after
	}
	return out
}

// dedent removes the list's hyphen and the indentation that all lines share, and what stands after the rule.
func dedent(lines []string) string {
	least := -1
	var out []string
	for i, l := range lines {
		l = strings.TrimRight(l, " \r")
		if i == 0 {
			l = strings.Replace(l, "-", " ", 1)
		}
		if n := len(l) - len(strings.TrimLeft(l, " ")); l != "" && !strings.HasPrefix(strings.TrimSpace(l), "#") && (least < 0 || n < least) {
			least = n
		}
		out = append(out, l)
	}
	for i, l := range out {
		out[i] = l[min(max(least, 0), len(l)):]
	}
	return strings.TrimSpace(strings.Join(out, "\n"))
}
