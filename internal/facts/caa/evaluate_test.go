package caa

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-ct/tocsin/internal/facts"
)

// set reads records as zone files write them, one per line.
func set(t testing.TB, lines string) Set {
	t.Helper()
	var out []Record
	for line := range strings.Lines(lines) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		flags, rest, ok := strings.Cut(line, " ")
		tag, value, ok2 := strings.Cut(rest, " ")
		if !ok || !ok2 || flags != "0" && flags != "128" {
			t.Fatalf("no record: %s", line)
		}
		r := Record{Tag: tag, Value: strings.TrimSuffix(strings.TrimPrefix(value, `"`), `"`)}
		if flags == "128" {
			r.Flags = 128
		}
		out = append(out, r)
	}
	return NewSet(out...)
}

func TestRecordsAreEvaluatedAsRFC8659Says(t *testing.T) {
	const allows, forbids, none, unknown = facts.CAAAllows, facts.CAAForbids, facts.CAANone, facts.CAAUnknown
	for _, c := range []struct {
		name     string
		records  string
		wildcard bool
		ca       string // "-" for a CA of which no domain is known
		want     string
	}{
		{"section 4.2: the CA that is named", `0 issue "ca1.example.net"`, false, "ca1.example.net", allows},
		{"section 4.2: a CA that is not named", `0 issue "ca1.example.net"`, false, "ca2.example.org", forbids},
		{"section 4.2: nobody at all", `0 issue ";"`, false, "ca1.example.net", forbids},
		{"section 4.2: nobody at all, written as nothing", `0 issue ""`, false, "ca1.example.net", forbids},
		{"section 4.2: nobody, and an issuer that nobody knows", `0 issue ";"`, false, "-", forbids},
		{"section 4.2: the first of two", "0 issue \"ca1.example.net\"\n0 issue \"ca2.example.org\"", false, "ca1.example.net", allows},
		{"section 4.2: the second of two", "0 issue \"ca1.example.net\"\n0 issue \"ca2.example.org\"", false, "ca2.example.org", allows},
		{"section 4.2: nobody adds nothing to a CA that is named", "0 issue \";\"\n0 issue \"ca2.example.org\"", false, "ca2.example.org", allows},
		{"section 4.2: with parameters", `0 issue "ca1.example.net; account=230123"`, false, "ca1.example.net", allows},
		{"section 4.2: what cannot be read names nobody", `0 issue "%%%%%"`, false, "ca1.example.net", forbids},
		{"section 4.2: unreadable parameters name nobody", `0 issue "ca1.example.net; account"`, false, "ca1.example.net", forbids},
		{"section 4.2: beside what cannot be read", "0 issue \"%%%%%\"\n0 issue \"ca1.example.net\"", false, "ca1.example.net", allows},
		{"section 4.3: a wildcard by issue, where there is no issuewild", `0 issue "ca1.example.net"`, true, "ca1.example.net", allows},
		{"section 4.3: a wildcard by issuewild, not by issue", "0 issue \"ca1.example.net\"\n0 issuewild \"ca2.example.org\"", true, "ca1.example.net", forbids},
		{"section 4.3: the CA of issuewild", "0 issue \"ca1.example.net\"\n0 issuewild \"ca2.example.org\"", true, "ca2.example.org", allows},
		{"section 4.3: issuewild counts for nothing without a wildcard", "0 issue \"ca1.example.net\"\n0 issuewild \"ca2.example.org\"", false, "ca2.example.org", forbids},
		{"section 4.3: only wildcards", "0 issuewild \"ca1.example.net\"\n0 issue \";\"", false, "ca1.example.net", forbids},
		{"section 4.3: only wildcards, and one", "0 issuewild \"ca1.example.net\"\n0 issue \";\"", true, "ca1.example.net", allows},
		{"section 4.3: no wildcards", "0 issuewild \";\"\n0 issue \"ca1.example.net\"", true, "ca1.example.net", forbids},
		{"section 4.3: issuewild alone restricts no other name", `0 issuewild ";"`, false, "ca1.example.net", none},
		{"section 4.4: iodef alone restricts nothing", `0 iodef "mailto:security@example.com"`, false, "ca1.example.net", none},
		{"section 4.4: nor wildcards", `128 iodef "mailto:security@example.com"`, true, "ca1.example.net", none},
		{"section 4.5: an unknown critical property", "0 issue \"ca1.example.net\"\n128 tbs \"Unknown\"", false, "ca1.example.net", forbids},
		{"section 4.5: an unknown property", "0 issue \"ca1.example.net\"\n0 tbs \"Unknown\"", false, "ca1.example.net", allows},
		{"section 4.5: a known critical property", `128 issue "ca1.example.net"`, false, "ca1.example.net", allows},
		{"no records", ``, false, "ca1.example.net", none},
		{"no records, and an issuer that nobody knows", ``, false, "-", none},
		{"names of CAs in any case", `0 ISSUE "CA1.Example.NET"`, false, "ca1.example.net", allows},
		{"a name beneath that of the CA is not it", `0 issue "ca1.example.net"`, false, "sub.ca1.example.net", forbids},
		{"a name above that of the CA is not it", `0 issue "sub.ca1.example.net"`, false, "ca1.example.net", forbids},
		{"an issuer that nobody knows", `0 issue "ca1.example.net"`, false, "-", unknown},
		{"issuemail is for mail (RFC 9495)", `0 issuemail ";"`, false, "ca1.example.net", none},
		{"an escape in the name of a CA", `0 issue "ca1.example.net\000"`, false, "ca1.example.net", forbids},
	} {
		t.Run(c.name, func(t *testing.T) {
			domains := []string{"other.example", c.ca}
			if c.ca == "-" {
				domains = nil
			}
			v := Evaluate(set(t, c.records), "www.example.com", c.wildcard, domains)
			if v.Answer != c.want {
				t.Errorf("%s (%s), want %s", v.Answer, v.Reason, c.want)
			}
			if !strings.Contains(v.Reason, "www.example.com") && !strings.Contains(v.Reason, "critical") {
				t.Errorf("the reason does not say for what: %s", v.Reason)
			}
		})
	}
}

func TestTheConditionsOfRFC8657AreKeptAndSaidToBeUnverifiable(t *testing.T) {
	account := "https://example.net/account/1234"
	v := Evaluate(set(t, `0 issue "example.net; accounturi=`+account+`; validationmethods=dns-01,ca-x"`), "example.com", false, []string{"example.net"})
	if diff := cmp.Diff([]string{"accounturi=" + account, "validationmethods=dns-01,ca-x"}, v.Unverifiable); v.Answer != facts.CAAAllows || diff != "" {
		t.Errorf("%+v\n%s", v, diff)
	}
	// A second record that asks for nothing lets the CA issue for anybody.
	v = Evaluate(set(t, "0 issue \"example.net; accounturi="+account+"\"\n0 issue \"example.net\""), "example.com", false, []string{"example.net"})
	if v.Answer != facts.CAAAllows || v.Unverifiable != nil {
		t.Errorf("%+v", v)
	}
}

func TestGrantsAreReadByTheGrammarOfRFC8659(t *testing.T) {
	for _, c := range []struct {
		value string
		want  Grant
	}{
		{"ca.example", Grant{Domain: "ca.example"}},
		{" \tca.example \t", Grant{Domain: "ca.example"}},
		{"ca.example;", Grant{Domain: "ca.example"}},
		{"; policy=ev", Grant{Parameters: []Parameter{{"policy", "ev"}}}},
		{"ca.example; a=1 ;b=", Grant{Domain: "ca.example", Parameters: []Parameter{{"a", "1"}, {"b", ""}}}},
		{"ca.example; ACCOUNTURI=urn:X", Grant{Domain: "ca.example", AccountURI: "urn:X", Parameters: []Parameter{{"accounturi", "urn:X"}}}},
		{`ca.example; a=\"b\\`, Grant{Domain: "ca.example", Parameters: []Parameter{{"a", `"b\`}}}},
		{"ca.example; a=b=c", Grant{Domain: "ca.example", Parameters: []Parameter{{"a", "b=c"}}}},
		{"ca.example; a=1;", Grant{Malformed: true}},
		{"ca.example; a b=1", Grant{Malformed: true}},
		{"ca.example; a=1 2", Grant{Malformed: true}},
		{"ca.example.", Grant{Malformed: true}},
		{"-ca.example", Grant{Malformed: true}},
		{"ca example", Grant{Malformed: true}},
		{"ca..example", Grant{Malformed: true}},
		{`ca.example; a=\195\164`, Grant{Malformed: true}},
	} {
		if diff := cmp.Diff(c.want, ParseGrant(c.value)); diff != "" {
			t.Errorf("%q (-want +got)\n%s", c.value, diff)
		}
	}
}

func TestAChangeIsSaidInWordsWithWhatItOpens(t *testing.T) {
	const one = `0 issue "ca1.example.net"`
	for _, c := range []struct{ name, prev, next, want string }{
		{"nothing", one, one, ""},
		{"another order", one + "\n0 iodef \"mailto:a@example.com\"", "0 iodef \"mailto:a@example.com\"\n" + one, ""},
		{"a tag in other letters", one, `0 ISSUE "ca1.example.net"`, ""},
		{"all gone", one, "", "all CAA records are gone"},
		{"the first records", "", one, "there are CAA records now"},
		{"a new CA", one, one + "\n0 issue \"ca2.example.org\"", "issue names a CA that was not named before: ca2.example.org"},
		{"another CA", one, `0 issue "ca2.example.org"`, "issue no longer names ca1.example.net"},
		{"a new CA for wildcards", one, one + "\n0 issuewild \"ca2.example.org\"", "issuewild names a CA that was not named before: ca2.example.org"},
		{"only iodef is left", one + "\n0 iodef \"mailto:a@example.com\"", `0 iodef "mailto:a@example.com"`, "issue is gone: it restricts no CA any more"},
		{"another account", `0 issue "ca1.example.net; accounturi=https://x/1"`, `0 issue "ca1.example.net; accounturi=https://x/2"`, "issue for ca1.example.net has other conditions: accounturi=https://x/2 in place of accounturi=https://x/1"},
		{"the account is gone", `0 issue "ca1.example.net; accounturi=https://x/1"`, one, "has other conditions: none in place of accounturi"},
		{"a second record without the account", `0 issue "ca1.example.net; accounturi=https://x/1"`, `0 issue "ca1.example.net; accounturi=https://x/1"` + "\n" + one, "has other conditions: "},
		{"nobody is no longer said", "0 issue \";\"\n" + one, one, "issue no longer says that no CA may issue"},
		{"where reports go", `0 iodef "mailto:a@example.com"`, `0 iodef "mailto:b@evil.example"`, `new: 0 iodef "mailto:b@evil.example"`},
		{"a flag", one, `128 issue "ca1.example.net"`, "written in another way"},
	} {
		t.Run(c.name, func(t *testing.T) {
			what, level := Changed(set(t, c.prev), set(t, c.next))
			said := strings.Join(what, "\n")
			if c.want == "" {
				if said != "" || level != "" {
					t.Errorf("it is a change: %q %s", said, level)
				}
				return
			}
			if !strings.Contains(said, c.want) || level != LevelAlarm {
				t.Errorf("%s:\n%s\nlacks %q", level, said, c.want)
			}
		})
	}
}

func FuzzValuesAreReadAndEscapedWithoutLoss(f *testing.F) {
	for _, s := range []string{"", ";", "ca.example", `ca.example; accounturi=https://x/"1\2"`, "\x00\xff\x1b[2J", `\256\25`, "%%%%"} {
		f.Add(s, "issue", byte(0))
		f.Add(s, "issuewild", byte(128))
	}
	f.Fuzz(func(t *testing.T, raw, tag string, flags byte) {
		e := escape(raw)
		if strings.ContainsFunc(e, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("%q holds what a terminal would obey", e)
		}
		if back := unescape(e); back != raw {
			t.Fatalf("%q became %q", raw, back)
		}
		g := ParseGrant(e)
		if g.Malformed && (g.Domain != "" || g.Parameters != nil) {
			t.Fatalf("%+v grants something", g)
		}
		s := NewSet(Record{Flags: flags, Tag: clean(tag), Value: e})
		for _, wildcard := range []bool{false, true} {
			v := Evaluate(s, "example.com", wildcard, []string{"ca.example"})
			if v.Answer == facts.CAAAllows && (g.Domain != "ca.example" || flags&128 != 0 && g.Malformed) {
				t.Fatalf("%q allows: %+v", raw, v)
			}
		}
		if what, _ := Changed(s, Set{}); len(what) == 0 {
			t.Fatal("losing it is no change")
		}
	})
}
