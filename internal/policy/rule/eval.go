package rule

import (
	"iter"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Result is a rule that fires.
type Result struct {
	Rule *Rule
	// Excepted is the exception for which it does not count, or nil.
	Excepted *Exception
	// Say is its sentence, safe to print.
	Say string
	// Unsure says why its condition could not be evaluated, so that it counts as true; else "".
	Unsure string
	// Ident is the first name or address for which it fires, and More how many others there are, for rules on: name.
	Ident string
	More  int

	seen map[string]bool // texts of idents: a name may stand in several places
}

// Evaluate returns the rules that fire, in order. idents are the names and addresses for the rules on: name, and may be
// nil. The lists of env are cut where they are too long. Evaluate never panics.
func (s *Set) Evaluate(env *Env, idents iter.Seq[Ident]) []Result {
	cut := env.cut()
	results := make([]*Result, len(s.Rules))
	var byName []int
	for i, r := range s.Rules {
		if r.On == OnName {
			byName = append(byName, i)
			continue
		}
		results[i] = r.evaluate(env, cut)
	}
	if len(byName) > 0 && idents != nil {
		for ident := range idents {
			env.Ident = ident
			for _, i := range byName {
				results[i] = join(results[i], s.Rules[i].evaluate(env, cut), ident.Text)
			}
		}
		env.Ident = Ident{}
	}
	var out []Result
	for _, r := range results {
		if r != nil {
			out = append(out, *r)
		}
	}
	return out
}

// join adds what a rule says of one more name. One that counts comes before one that is excepted.
func join(before, r *Result, ident string) *Result {
	switch {
	case r == nil:
		return before
	case before == nil || before.Excepted != nil && r.Excepted == nil:
		r.Ident, r.seen = Safe(ident), map[string]bool{ident: true}
		return r
	case (r.Excepted == nil || before.Excepted != nil) && !before.seen[ident]:
		before.seen[ident] = true
		before.More++
	}
	return before
}

func (r *Rule) evaluate(env *Env, cut []string) *Result {
	held, unsure := r.when.holds(env, cut)
	if !held && unsure == "" {
		return nil
	}
	out := &Result{Rule: r, Unsure: Safe(unsure), Say: render(r.say, env)}
	for i := range r.Except {
		x := &r.Except[i]
		if !env.Now.Before(x.Until) {
			continue
		}
		if held, _ := x.when.holds(env, cut); held {
			out.Excepted = x
			break
		}
	}
	return out
}

// ordinary is the environment of a test that says nothing: a certificate that is as it should be.
func ordinary() Env {
	return Env{
		Cert:   Cert{Readable: true, Issuer: Issuer{Proven: true}},
		Watch:  Watch{Surprise: string(Alarm)},
		Policy: Policy{AllowWildcard: true, AllowForeignNames: true},
		CAA:    CAA{Answer: "unknown"},
		Now:    time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
	}
}

func envValue(e *Env) reflect.Value { return reflect.ValueOf(e).Elem() }

// derive sets what follows from other fields of a test, where the test does not say it.
func (e *Env) derive() {
	c := &e.Cert
	if c.Issuer.Owner == "" && len(c.Issuer.Owners) > 0 {
		c.Issuer.Owner = c.Issuer.Owners[0]
	}
	if len(c.Issuer.Owners) == 0 && c.Issuer.Owner != "" {
		c.Issuer.Owners = []string{c.Issuer.Owner}
	}
	c.Derive()
	e.Watch.Names = e.Watch.Names || slices.ContainsFunc(e.Watch.Touched, func(s string) bool { _, err := parsePrefix(s); return err != nil })
	e.Watch.Addresses = e.Watch.Addresses || slices.ContainsFunc(e.Watch.Touched, func(s string) bool { _, err := parsePrefix(s); return err == nil })
	e.Broken.Derive()
	e.Announced.Known = e.Announced.Known || len(e.Announced.IDs) > 0
	if e.Revoked.Known && e.Revoked.After == 0 && !e.Revoked.At.IsZero() {
		e.Revoked.After = e.Revoked.At.Sub(c.NotBefore)
	}
	i := &e.Ident
	if i.Text != "" {
		i.Wildcard = strings.Contains(i.Text, "*")
		if _, err := parsePrefix(i.Text); err == nil {
			i.Address = true
		} else if i.Domain == "" {
			i.Domain = Registrable(i.Text)
		}
	}
}

// Derive sets the fields that follow from the names and times.
func (c *Cert) Derive() {
	seen := map[string]bool{}
	for _, d := range c.Domains {
		seen[d] = true
	}
	for _, n := range c.Names {
		if strings.Contains(n, "*") && !slices.Contains(c.Wildcards, n) {
			c.Wildcards = append(c.Wildcards, n)
		}
		if d := Registrable(n); !seen[d] {
			seen[d] = true
			c.Domains = append(c.Domains, d)
		}
	}
	if from, to := c.NotBefore, c.NotAfter; c.Validity == 0 && !from.IsZero() && !to.IsZero() && !to.Before(from) {
		c.Validity = to.Sub(from)
		if c.Validity < 1<<63-1-time.Second {
			c.Validity += time.Second // both ends count
		}
	}
	if c.LoggedKnown = c.LoggedKnown || !c.Logged.IsZero(); c.LoggedKnown && !c.NotBefore.IsZero() {
		c.Backdated = c.Logged.Sub(c.NotBefore).Abs()
	}
}

// Derive sets Any.
func (b *Broken) Derive() {
	v := reflect.ValueOf(*b)
	for i := range v.NumField() {
		b.Any = b.Any || v.Field(i).Bool()
	}
}

// Failure is a test that came out otherwise.
type Failure struct {
	Rule, Test, Place string
	Want, Got         string
}

// Outcome of the tests of a rule.
type Outcome struct {
	Rule     string
	Tests    int
	Failures []Failure
}

// Test runs the tests of all rules, those of the built-in rules on these as they are shipped.
func (s *Set) Test() []Outcome {
	var out []Outcome
	done := map[*Rule]bool{}
	for _, r := range slices.Concat(s.shipped, s.Rules) {
		if !done[r] && len(r.Tests) > 0 {
			out = append(out, r.test())
		}
		done[r] = true
	}
	return out
}

func (r *Rule) test() Outcome {
	o := Outcome{Rule: r.ID, Tests: len(r.Tests)}
	for i := range r.Tests {
		t := &r.Tests[i]
		env := t.env
		got := none
		if res := r.evaluate(&env, env.cut()); res != nil && res.Excepted == nil {
			got = string(r.Severity)
		}
		if got != t.Want {
			o.Failures = append(o.Failures, Failure{Rule: r.ID, Test: t.Name, Place: t.Place(), Want: t.Want, Got: got})
		}
	}
	return o
}
