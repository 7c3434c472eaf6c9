package notify

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-ct/tocsin/internal/store"
)

func example() Alarm {
	at := time.Date(2025, 5, 16, 20, 41, 7, 0, time.UTC)
	return Alarm{
		At: at, Level: "alarm", Precert: true, Policy: 1,
		Issuance: strings.Repeat("4be1", 16),
		Watches:  []Outcome{{Watch: "public resolver", Owner: "dns-team", Level: "alarm"}},
		Matched: []Match{
			NewMatch("public resolver", "dns-team", "192.0.2.0/24", "san:ip", "\xc0\x00\x02\x01", "192.0.2.1", ""),
			NewMatch("example.com", "", "example.com", "san:dns", "b\xfccher.example.com", "xn--bcher-kva.example.com", "name-latin1"),
		},
		MatchedTotal: 2,
		Certificate: Certificate{Serial: "0badcafe", Subject: "CN=test", Issuer: "CN=Drill CA 2", NotBefore: at, NotAfter: at.AddDate(1, 0, 0),
			DNSNames: []string{"bücher.example.com", "a.example.org"}, DNSNamesTotal: 2, IPs: []string{"192.0.2.1"}, IPsTotal: 1},
		Issuer:    Issuer{Name: "CN=Drill CA 2", Owner: "Drill", SPKI: "aa", Proven: true, Why: "the signature verifies"},
		Key:       Key{Algorithm: "ECDSA P-256", SPKI: "bb"},
		Sightings: []Sighting{{Log: "Lab A", LogID: "01", Index: 17, Time: at, Precert: true}}, SightingsTotal: 3,
		Reasons: []Reason{
			{Rule: "issuer", Watch: "public resolver", Text: `"Drill" may not sign 192.0.2.1`, Observed: "Drill", Wanted: "digicert.com", Config: "tocsin.yaml:7"},
			{Rule: "max_validity", Text: "valid for 365 days", Held: true},
		}, ReasonsTotal: 2,
		Oddities: []Oddity{{Code: "name-latin1", Text: "name in Latin-1"}}, OdditiesTotal: 1,
	}
}

func TestAlarmTextSaysWhatWhoWhenWhyAndWhatNext(t *testing.T) {
	want := `ALARM  192.0.2.1 (and 1 more) is named in a precertificate by Drill
  named    192.0.2.1 (san:ip); watch "public resolver", item 192.0.2.0/24, owner dns-team
  named    b\xfccher.example.com (san:dns), odd: name-latin1; watch "example.com"
  issuer   CN=Drill CA 2; owner Drill; proven: the signature verifies
  key      ECDSA P-256, spki:bb; not one of ours
  valid    2025-05-16 20:41Z to 2026-05-16 20:41Z (365 days)
  names    bücher.example.com, a.example.org, 192.0.2.1
  serial   0badcafe
  seen     Lab A #17, 2025-05-16 20:41:07Z, precertificate
           and 2 more
  why      issuer: "Drill" may not sign 192.0.2.1; observed Drill, wanted digicert.com  (tocsin.yaml:7)
  held     max_validity: valid for 365 days
  odd      name-latin1: name in Latin-1
next: tocsin explain 4be14be14be1`
	if d := cmp.Diff(want, example().Text()); d != "" {
		t.Error(d)
	}
	filed := example()
	filed.Level = "expected"
	want = "filed  expected: 192.0.2.1 (and 1 more), by Drill, valid to 2026-05-16 20:41Z  (tocsin explain 4be14be14be1)"
	if d := cmp.Diff(want, filed.Text()); d != "" {
		t.Error(d)
	}
	unproven := example()
	unproven.Issuer.Proven = false
	if text := unproven.Text(); !strings.Contains(text, `by "CN=Drill CA 2" (not proven)`) || !strings.Contains(text, "NOT proven") {
		t.Errorf("an issuer that is only claimed looks like a fact:\n%s", text)
	}
}

func TestRowsTellEachReceiverThatWantsTheLevelUnderAStableId(t *testing.T) {
	exec, err := NewExec("oncall", []string{"x"}, &ExecOptions{Wants: AtLeast("page")})
	if err != nil {
		t.Fatal(err)
	}
	out := NewStdout(nil, nil)
	all := []Receiver{out, exec}
	id := [32]byte{0x4b, 0xe1}
	for _, row := range []struct {
		level, kind string
		rank, rows  int
	}{{"none", "", 0, 0}, {"expected", "filed", 1, 1}, {"digest", "filed", 1, 1}, {"alarm", "alarm", 2, 1}, {"page", "page", 3, 2}, {"unknown", "page", 3, 2}} {
		a := example()
		a.Level = row.level
		rows, err := Rows(a, id, all)
		if err != nil || len(rows) != row.rows {
			t.Errorf("%s: %d rows, %v", row.level, len(rows), err)
		}
		for _, r := range rows {
			var doc Alarm
			if err := json.Unmarshal(r.Payload, &doc); err != nil {
				t.Fatal(err)
			}
			if r.ID != store.AlarmID(id, r.Receiver, row.kind) || doc.ID != r.ID || doc.Kind != row.kind || r.Kind != row.kind || r.Rank != row.rank ||
				doc.Issuance != hex.EncodeToString(id[:]) || !strings.Contains(r.Text, "4be100000000") {
				t.Errorf("%s: %+v", row.level, r)
			}
		}
	}
	a := Messages("fault", "log 1 is down", "alarm", "text", nil, all)
	b := Messages("fault", "log 1 is down", "alarm", "another text", nil, all)
	c := Messages("fault", "log 2 is down", "alarm", "text", nil, all)
	if len(a) != 1 || a[0].ID != b[0].ID || a[0].ID == c[0].ID {
		t.Errorf("%v %v %v", a, b, c)
	}
}

func TestD20AHugeHostileCertificateMakesASmallSafeAlarm(t *testing.T) {
	evil := "\x1b]0;owned\x07\u202e\u2066" + strings.Repeat("a\u0300\u0301\u0302\u0303", 1000) + "\xff\x00\n\r"
	a := example()
	a.At = time.Date(292278994, 1, 1, 0, 0, 0, 0, time.UTC)
	a.Matched, a.Certificate.DNSNames, a.Sightings, a.Oddities, a.Reasons = nil, nil, nil, nil, nil
	a.MatchedTotal, a.Certificate.DNSNamesTotal, a.SightingsTotal, a.OdditiesTotal, a.ReasonsTotal = 0, 0, 0, 0, 0
	match := NewMatch(evil, evil, evil, "san:dns", evil, evil, evil)
	for range 10000 {
		a.Matched = append(a.Matched, match)
		a.Certificate.DNSNames = append(a.Certificate.DNSNames, evil)
		a.Sightings = append(a.Sightings, Sighting{Log: evil, Time: time.UnixMilli(1<<63 - 1)})
		a.Oddities = append(a.Oddities, Oddity{evil, evil})
		a.Reasons = append(a.Reasons, Reason{Rule: evil, Text: evil, Observed: evil, Wanted: evil, Config: evil, Watch: evil, Item: evil})
	}
	a.Certificate.Subject, a.Certificate.Issuer, a.Issuer.Name, a.Issuer.Owner, a.Key.Source = evil, evil, evil, evil, evil
	a.Certificate.NotAfter = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	rows, err := Rows(a, [32]byte{1}, []Receiver{NewStdout(nil, nil)})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(rows[0].Payload); n > 8<<20 {
		t.Errorf("the document has %d bytes", n)
	}
	if n := len(rows[0].Text); n > 256<<10 {
		t.Errorf("the text has %d bytes", n)
	}
	for _, line := range strings.Split(rows[0].Text, "\n") {
		for _, r := range line {
			if !unicode.IsPrint(r) {
				t.Fatalf("%q in the text", r)
			}
		}
	}
	for _, want := range []string{"9950 more", "9980 more"} {
		if !strings.Contains(rows[0].Text, want) {
			t.Errorf("what was cut is not counted: no %q", want)
		}
	}
	var doc Alarm
	if err := json.Unmarshal(rows[0].Payload, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.MatchedTotal != 10000 || len(doc.Matched) != maxRows || doc.Certificate.DNSNamesTotal != 10000 || len(doc.Certificate.DNSNames) != maxList {
		t.Errorf("%d of %d matches, %d of %d names", len(doc.Matched), doc.MatchedTotal, len(doc.Certificate.DNSNames), doc.Certificate.DNSNamesTotal)
	}
}

func TestValuesThatTextCannotCarryComeInHexToo(t *testing.T) {
	for _, row := range []struct{ name, where, raw, normal, value, hex string }{
		{"a plain name", "san:dns", "www.example.com", "www.example.com", "www.example.com", ""},
		{"an address", "san:ip", "\xc0\x00\x02\x01", "192.0.2.1", "192.0.2.1", ""},
		{"an address that looks like text", "san:ip", "abcd", "97.98.99.100", "97.98.99.100", ""},
		{"an address of odd length", "san:ip", "\xc0\x00\x02\x01\xff\xff\xff\x00", "192.0.2.0/24", "192.0.2.0/24", "c0000201ffffff00"},
		{"a name in Latin-1", "san:dns", "b\xfccher", "xn--bcher-kva", `b\xfccher`, "62fc63686572"},
		{"a name with a NUL", "san:dns", "a\x00b", "a", `a\x00b`, "610062"},
		{"a name in UTF-8", "san:dns", "bücher", "xn--bcher-kva", "bücher", ""},
	} {
		m := NewMatch("w", "", "i", row.where, row.raw, row.normal, "")
		if m.Value != row.value || m.ValueHex != row.hex {
			t.Errorf("%s: %q, %q", row.name, m.Value, m.ValueHex)
		}
	}
}

func TestSafeTextMovesNoTerminal(t *testing.T) {
	for _, row := range []struct {
		name, in string
		limit    int
		want     string
	}{
		{"plain text stays", "www.example.com", 100, "www.example.com"},
		{"letters of any script stay", "bücher 例え \U0001f512", 100, "bücher 例え \U0001f512"},
		{"escape sequences", "\x1b[2J\x07\r\n\t\x7f", 100, `\x1b[2J\x07\x0d\x0a\x09\x7f`},
		{"C1 controls", "\u009b31m", 100, `\u{009b}31m`},
		{"direction of writing", "\u202egnp.exe\u2066\u200f", 100, `\u{202e}gnp.exe\u{2066}\u{200f}`},
		{"invisible characters", "pay\u200bpal\ufeff\u00ad\U000e0041", 100, `pay\u{200b}pal\u{feff}\u{00ad}\u{e0041}`},
		{"spaces that are none", "a\u00a0b\u2003c\u2028d", 100, `a\u{00a0}b\u{2003}c\u{2028}d`},
		{"bytes that are not UTF-8", "a\xff\xc3", 100, `a\xff\xc3`},
		{"accents stay, piles of them do not", "e\u0301\u0302\u0303\u0304", 100, "e\u0301\u0302" + `\u{0303}\u{0304}`},
		{"long text is cut with a count", strings.Repeat("x", 50), 10, "xxxxxxxxxx… (40 more bytes)"},
		{"cut between characters", "üüüü", 2, "üü… (4 more bytes)"},
		{"just fitting", "üüüü", 4, "üüüü"},
	} {
		if got := Safe(row.in, row.limit); got != row.want {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
	}
}

func FuzzSafe(f *testing.F) {
	for _, s := range []string{"", "plain", "\x1b[31m\u202e", "\xff\xfe", "e\u0301\u0301\u0301\u0301", "\u2028\u00a0", "…"} {
		f.Add(s, 10)
	}
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = limit & 0xff
		got := Safe(s, limit)
		if !utf8.ValidString(got) {
			t.Fatalf("%q is not UTF-8", got)
		}
		for _, r := range got {
			if !unicode.IsPrint(r) {
				t.Fatalf("%q holds %q", got, r)
			}
		}
		if len(got) > 10*limit+40 {
			t.Fatalf("%d bytes for a limit of %d", len(got), limit)
		}
	})
}

func TestEveryKeyOfAnAlarmIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/output.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]bool)
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z0-9_.\\[\\]]+)` \\|").FindAllStringSubmatch(string(doc), -1) {
		documented[m[1]] = true
	}
	var walk func(prefix string, ty reflect.Type)
	walk = func(prefix string, ty reflect.Type) {
		for f := range ty.Fields() {
			key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if key == "" || key != strings.ToLower(key) {
				t.Errorf("%s.%s has key %q", ty, f.Name, key)
			}
			path := prefix + key
			inner := f.Type
			if inner.Kind() == reflect.Slice {
				path += "[]"
				inner = inner.Elem()
			}
			if !documented[path] {
				t.Errorf("docs/output.md does not describe `%s`", path)
			}
			if inner.Kind() == reflect.Struct && inner != reflect.TypeFor[time.Time]() {
				walk(path+".", inner)
			}
		}
	}
	walk("", reflect.TypeFor[Alarm]())

	// The example in it is what is written.
	_, rest, ok := strings.Cut(string(doc), "```json\n")
	text, _, ok2 := strings.Cut(rest, "```")
	if !ok || !ok2 {
		t.Fatal("docs/output.md has no example")
	}
	var keys func(v any, prefix string, out map[string]bool)
	keys = func(v any, prefix string, out map[string]bool) {
		switch v := v.(type) {
		case map[string]any:
			for k, e := range v {
				out[prefix+k] = true
				keys(e, prefix+k+".", out)
			}
		case []any:
			for _, e := range v {
				keys(e, prefix, out)
			}
		}
	}
	var shown any
	if err := json.Unmarshal([]byte(text), &shown); err != nil {
		t.Fatal(err)
	}
	a := example()
	a.Certificate.SHA256, a.Key.Source, a.Matched[0].ValueHex = "x", "x", "x"
	b, err := encode(a)
	if err != nil {
		t.Fatal(err)
	}
	var real any
	if err := json.Unmarshal(b, &real); err != nil {
		t.Fatal(err)
	}
	want, got := map[string]bool{}, map[string]bool{}
	keys(real, "", want)
	keys(shown, "", got)
	for k := range got {
		if !want[k] {
			t.Errorf("the example in docs/output.md has %q, which is never written", k)
		}
	}
}
