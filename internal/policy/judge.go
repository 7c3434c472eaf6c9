package policy

import (
	"fmt"
	"slices"
	"time"

	"github.com/tocsin-ct/tocsin/internal/facts"
	"github.com/tocsin-ct/tocsin/internal/policy/rule"
)

// LookAlike marks a match (as its Odd) that touches nothing of a watch and only resembles a name of it. Clauses do not
// concern it; rules do.
const LookAlike = "look-alike"

// never are the clauses that no announcement covers.
var never = []string{RuleProven, RuleUnreadable, RuleCA, RuleBroad}

// judge turns clauses and facts into a level: it asks the rules, and keeps the floors that they cannot lower.
func (c *clauses) judge() Level {
	broken := map[string]bool{}
	for _, r := range c.reasons {
		if !r.Held {
			broken[r.Rule] = true
		}
	}
	if len(broken) > 0 && c.announced(broken) {
		clear(broken)
	}
	level := Expected
	env := c.environment(broken)
	for _, res := range c.in.Rules.Set().Evaluate(env, c.idents()) {
		level = max(level, c.fire(res))
	}
	return c.floor(level, broken)
}

// announced looks for an announcement that covers what is broken.
func (c *clauses) announced(broken map[string]bool) bool {
	all := c.in.Facts.Announced
	if len(all) == 0 {
		return false
	}
	say := func(held bool, observed, wanted, text string) {
		c.add(RuleAnnounced, held, observed, wanted, "", text)
	}
	hard := c.hard()
	for _, r := range never {
		hard = hard || broken[r]
	}
	if hard {
		say(false, announcement(all[0]), "a certificate that can be announced",
			"it was announced, but what is not proven, cannot be read, can issue itself or names a whole top-level domain is never expected")
		return false
	}
	i := slices.IndexFunc(all, func(a facts.Announced) bool { return !a.IssuerAlone })
	if i < 0 {
		if e := c.rule.Expect; e == nil || e.Keys != nil {
			say(false, announcement(all[0]), "an announcement with a key",
				fmt.Sprintf("it was announced by its CA alone (%s), which does not count here: an attack through the same CA would pass", announcement(all[0])))
			return false
		}
		i = 0
	}
	text := "it was announced: " + announcement(all[i])
	if all[i].IssuerAlone {
		text += "; by its CA alone, so same-CA attacks pass"
	}
	say(true, announcement(all[i]), "an announcement", text)
	c.uses = append(c.uses, all[i].ID)
	return true
}

func announcement(a facts.Announced) string {
	text := show(a.ID)
	if a.Reason != "" {
		text += ", " + show(a.Reason)
	}
	if a.By != "" {
		text += ", by " + show(a.By)
	}
	return text
}

// hard tells what is never expected, whatever the clauses of the watch look at.
func (c *clauses) hard() bool {
	for _, r := range c.reasons {
		if !r.Held && (r.Rule == RuleUnreadable || r.Rule == RuleCA) {
			return true
		}
	}
	return !c.in.Facts.Issuer.Proven || c.in.Cert.CA
}

// fire notes a rule that fires and returns the level that it asks for.
func (c *clauses) fire(res rule.Result) Level {
	r := res.Rule
	level := c.level(r.Severity)
	say := res.Say
	if res.More > 0 {
		say += fmt.Sprintf(" (and %d more)", res.More)
	}
	if res.Unsure != "" {
		say += fmt.Sprintf(" (its condition cannot be evaluated, so it counts as true: %s)", res.Unsure)
	}
	where := r.Place()
	if r.Builtin && !r.Overridden {
		where = "built-in rule " + r.ID
	}
	f := Fired{Rule: r.ID, Title: show(r.Title), Watch: c.rule.Name, Severity: r.Severity, Level: level, Say: say, Next: show(r.Next), Config: where}
	switch {
	case res.Excepted != nil:
		f.Level, f.Excepted = None, res.Excepted.String()
		c.add(RuleException, true, r.ID, "no exception", res.Excepted.Place(), fmt.Sprintf("rule %s does not count: exception %s", r.ID, f.Excepted))
	case r.Severity == rule.Simulate || r.Uses("broken"): // its clause is among the reasons already
	default:
		c.add(r.ID, level <= Expected, say, "nothing that this rule finds", where, say)
	}
	c.fired = append(c.fired, f)
	return f.Level
}

// level is what a severity means for this watch.
func (c *clauses) level(s rule.Severity) Level {
	switch s {
	case rule.Surprise:
		return c.surprise()
	case rule.Page:
		return Page
	case rule.Alarm:
		return Alarm
	case rule.Digest:
		return Digest
	case rule.Expected:
		return Expected
	}
	return None
}

// floor keeps what rules and exceptions cannot make quieter: a surprise that touches an address, and what is never
// expected.
func (c *clauses) floor(level Level, broken map[string]bool) Level {
	least, why := None, ""
	if c.touching() && c.hard() {
		least, why = Digest, "what is not proven, cannot be read or can issue itself is never expected"
	}
	if len(broken) > 0 && c.addressed() {
		least, why = Alarm, "a surprise that touches an address never stays below alarm"
	}
	if level >= least {
		return level
	}
	c.add(RuleFloor, false, level.String(), least.String(), "", fmt.Sprintf("rules make it %s, but %s", level, why))
	return least
}

// touching tells whether anything of the watch itself is touched, and not only resembled.
func (c *clauses) touching() bool {
	for i := range c.matches {
		if c.matches[i].Odd != LookAlike {
			return true
		}
	}
	return false
}

// wait is how long the ring may be held back for the journal: as long as the watch says, where it would not ring if the
// journal knew the key.
func (c *clauses) wait(level Level) time.Duration {
	e := c.rule.Expect
	if e == nil || e.Settle <= 0 || level >= Page || c.in.Facts.Journal.Known || c.addressed() {
		return 0
	}
	in := *c.in
	in.Facts.Journal = facts.Journal{Known: true}
	late := clauses{in: &in, rule: c.rule, matches: c.matches}
	if late.decide() >= Alarm {
		return 0
	}
	return e.Settle
}
