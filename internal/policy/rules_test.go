package policy_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-ct/tocsin/internal/policy"
)

func TestRulesThatAreRefused(t *testing.T) {
	no := false
	for _, row := range []struct {
		name    string
		watch   policy.Watch
		problem string
		hint    string
	}{
		{"a CA that nobody knows", policy.Watch{Expect: &policy.Expect{Issuers: []string{"digicret.com"}, Places: map[string]string{"issuers": "tocsin.yaml:9"}}},
			`tocsin.yaml:9: watch "example.com": issuers: no CA owner is known as "digicret.com"`, "did you mean digicert.com"},
		{"a CA by half its name", policy.Watch{Expect: &policy.Expect{Issuers: []string{"globalsig"}}}, "no CA owner is known", "GlobalSign"},
		{"an issuing key that is no hash", policy.Watch{Expect: &policy.Expect{Issuers: []string{"spki:9f86d0"}}}, "64 hex digits", "openssl"},
		{"a key that is no hash", policy.Watch{Expect: &policy.Expect{Keys: []string{"spki:" + strings.Repeat("g", 64)}}}, "64 hex digits", ""},
		{"an empty list of issuers", policy.Watch{Expect: &policy.Expect{Issuers: []string{}}}, "issuers is empty", "digicert.com"},
		{"an empty list of keys", policy.Watch{Expect: &policy.Expect{Keys: []string{}}}, "keys is empty", "spki"},
		{"an expectation without conditions", policy.Watch{Expect: &policy.Expect{Config: "tocsin.yaml:8"}},
			"tocsin.yaml:8: ", "add issuers and keys"},
		{"a negative validity", policy.Watch{Expect: &policy.Expect{MaxValidity: -1, AllowWildcard: &no}}, "negative", "90d"},
		{"addresses that are to stay below alarm", policy.Watch{Items: items(t, "192.0.2.0/24"), Surprise: policy.Digest, Config: "tocsin.yaml:3"},
			"tocsin.yaml:3: ", "alarm or page"},
		{"a surprise that is to be expected", policy.Watch{Surprise: policy.Expected}, "surprise is digest, alarm or page", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			if row.watch.Items == nil {
				row.watch.Items = items(t, "example.com")
			}
			_, err := policy.Compile([]policy.Watch{row.watch}, owners(t))
			var refused *policy.Error
			if !errors.As(err, &refused) {
				t.Fatalf("not refused: %v", err)
			}
			if !strings.Contains(err.Error(), row.problem) || !strings.Contains(refused.HintText(), row.hint) {
				t.Errorf("error %q, hint %q", err, refused.HintText())
			}
		})
	}
}

func TestAllRefusedRulesAreToldAtOnce(t *testing.T) {
	bad := policy.Watch{Items: items(t, "example.com"), Expect: &policy.Expect{Issuers: []string{"nobody.example", "noone.example"}}}
	_, err := policy.Compile([]policy.Watch{bad, bad}, owners(t))
	if n := strings.Count(err.Error(), "no CA owner is known"); n != 4 {
		t.Errorf("%d of 4 told: %v", n, err)
	}
}

func TestWarningsAtTheStart(t *testing.T) {
	no := false
	for _, row := range []struct {
		name  string
		watch policy.Watch
		want  []string
	}{
		{"nothing is said where issuers and keys are compared",
			policy.Watch{Expect: &policy.Expect{Issuers: []string{"digicert.com"}, Keys: []string{keysEntry}}}, nil},
		{"nothing is said where nothing is expected", policy.Watch{}, nil},
		{"issuers alone", policy.Watch{Expect: &policy.Expect{Issuers: []string{"digicert.com"}, Config: "tocsin.yaml:8"}},
			[]string{`tocsin.yaml:8: watch "example.com": an expectation by issuer alone cannot see an attack through the same CA; add keys`}},
		{"a CAA name of several owners", policy.Watch{Expect: &policy.Expect{Issuers: []string{"entrust.net"}, Keys: []string{keysEntry}}},
			[]string{`watch "example.com": entrust.net stands for Entrust, Sectigo and SSL.com: a certificate of either is expected`}},
		{"neither issuers nor keys", policy.Watch{Expect: &policy.Expect{AllowWildcard: &no, MaxValidity: 90 * 24 * time.Hour}},
			[]string{`watch "example.com": an expectation without issuers and keys accepts a certificate of any CA for anybody's key`}},
		{"a digest that cannot count for addresses", policy.Watch{Items: items(t, "example.com", "192.0.2.1"), Surprise: policy.Digest},
			[]string{`watch "example.com": surprise: digest counts for its names only; its addresses ring as alarm`}},
	} {
		t.Run(row.name, func(t *testing.T) {
			if row.watch.Items == nil {
				row.watch.Items = items(t, "example.com")
			}
			if diff := cmp.Diff(row.want, policy.Warnings(compile(t, row.watch))); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestKeySourcesAreCollectedOnceInNormalForm(t *testing.T) {
	a := policy.Watch{Items: items(t, "example.com"), Expect: &policy.Expect{Keys: []string{"file:/etc/tocsin/keys/", "spki:" + strings.Repeat("AB", 32)}}}
	b := policy.Watch{Items: items(t, "example.org"), Expect: &policy.Expect{Keys: []string{"/etc/tocsin/keys"}}}
	want := []string{"file:/etc/tocsin/keys", "spki:" + strings.Repeat("ab", 32)}
	if diff := cmp.Diff(want, compile(t, a, b).KeySources()); diff != "" {
		t.Errorf("sources (-want +got):\n%s", diff)
	}
}

func TestSurpriseAndLevelsReadWhatTheyWrite(t *testing.T) {
	for _, l := range []policy.Level{policy.None, policy.Expected, policy.Digest, policy.Alarm, policy.Page} {
		text, err := l.MarshalText()
		var back policy.Level
		if err != nil || back.UnmarshalText(text) != nil || back != l {
			t.Errorf("%s: %v, read as %s", text, err, back)
		}
		if _, err := policy.ParseSurprise(l.String()); (err == nil) != (l >= policy.Digest) {
			t.Errorf("surprise: %s: %v", l, err)
		}
	}
	if _, err := policy.Level(9).MarshalText(); err == nil {
		t.Error("level 9 is written")
	}
	if _, err := policy.ParseSurprise("loud"); err == nil {
		t.Error(`"loud" is read`)
	}
}
