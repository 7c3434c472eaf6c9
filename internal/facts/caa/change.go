package caa

import (
	"fmt"
	"slices"
	"strings"
)

// LevelAlarm is how a change of records rings: each of them may open the way for somebody. The addresses in iodef and
// contact properties do so, too: to them go the warnings, and domain validation by mail.
const LevelAlarm = "alarm"

// Changed says in words what is different between two sets, the worst first, and how that rings; nothing and "" when
// they are equal. It is pure.
func Changed(prev, next Set) (what []string, level string) {
	if prev.Equal(next) {
		return nil, ""
	}
	if len(next) == 0 {
		what = append(what, "all CAA records are gone: any CA may issue, unless records above this name say otherwise")
	}
	if len(prev) == 0 {
		what = append(what, "there are CAA records now, where there were none")
	}
	for _, tag := range []string{tagIssue, tagIssueWild, tagIssueMail} {
		what = append(what, grantsChanged(tag, prev, next)...)
	}
	others := func(s Set) (out Set) {
		for _, r := range s {
			if r.Tag != tagIssue && r.Tag != tagIssueWild && r.Tag != tagIssueMail {
				out = append(out, r)
			}
		}
		return out
	}
	was, is := others(prev), others(next)
	for _, r := range is {
		if !slices.Contains(was, r) {
			what = append(what, fmt.Sprintf("new: %s", shortened(r)))
		}
	}
	for _, r := range was {
		if !slices.Contains(is, r) {
			what = append(what, fmt.Sprintf("gone: %s", shortened(r)))
		}
	}
	if len(what) == 0 { // only spelling, or flags
		what = append(what, fmt.Sprintf("the records are written in another way: %s", clip(next.String(), 300)))
	}
	return what, LevelAlarm
}

// grantsChanged compares the properties of one tag.
func grantsChanged(tag string, prev, next Set) (what []string) {
	was, is := granted(prev, tag), granted(next, tag)
	for _, d := range sorted(is) {
		if _, known := was[d]; !known && d != "" {
			what = append(what, fmt.Sprintf("%s names a CA that was not named before: %s", tag, d))
		}
	}
	switch {
	case len(is) == 0 && len(was) > 0 && len(next) > 0:
		what = append(what, fmt.Sprintf("%s is gone: it restricts no CA any more", tag))
	case len(is) > 0 && len(was) == 0 && len(prev) > 0:
		what = append(what, fmt.Sprintf("%s is new: it restricts which CA may issue", tag))
	}
	for _, d := range sorted(was) {
		now, known := is[d]
		switch {
		case !known && d != "":
			what = append(what, fmt.Sprintf("%s no longer names %s", tag, d))
		case !known && len(is) > 0:
			what = append(what, fmt.Sprintf("%s no longer says that no CA may issue", tag))
		case known && now != was[d]:
			what = append(what, fmt.Sprintf("%s for %s has other conditions: %s in place of %s", tag, or(d, "no CA"), or(clip(now, 300), "none"), or(clip(was[d], 300), "none")))
		}
	}
	return what
}

// granted maps the CAs of a tag, "" for none, to their conditions.
func granted(s Set, tag string) map[string]string {
	out := map[string]string{}
	for _, r := range s {
		if r.Tag != tag {
			continue
		}
		g := ParseGrant(r.Value)
		var conditions []string
		for _, p := range g.Parameters {
			conditions = append(conditions, p.Tag+"="+p.Value)
		}
		text := strings.Join(conditions, "; ")
		if g.Malformed {
			text = "unreadable: " + r.Value
		}
		if have, twice := out[g.Domain]; twice && have != text {
			text = or(have, "none") + " or " + or(text, "none")
		}
		out[g.Domain] = text
	}
	return out
}

func sorted(m map[string]string) []string {
	out := make([]string, 0, len(m))
	for d := range m {
		out = append(out, d)
	}
	slices.Sort(out)
	return out
}

func shortened(r Record) string { return clip(r.String(), 300) }

// clip cuts plain ASCII.
func clip(s string, most int) string {
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

func or(s, instead string) string {
	if s == "" {
		return instead
	}
	return s
}
