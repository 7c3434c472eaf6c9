package ctlog

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/tocsin-ct/tocsin/loglist"
)

// honestEvidence makes documents about a log that did nothing wrong: what a liar could make of its heads and proofs.
func honestEvidence(t testing.TB, kind loglist.Kind) (log loglist.Log, out []Evidence) {
	f := newFakeLog(t, kind, 700)
	f.key = fixedKey()
	if l, err := loglist.FromKey(kind, f.log.URL, "", spkiOf(f.key), ""); err != nil {
		t.Fatal(err)
	} else {
		f.log = l
	}
	tail := NewTailer(f.client(t), Cursor{}, &TailOptions{})
	head := func(n uint64) Head {
		h, err := VerifyHead(f.log, f.rawHead(n))
		if err != nil {
			t.Fatal(err)
		}
		h.Received = time.UnixMilli(baseTime)
		return h
	}
	proof, err := tlog.ProveTree(700, 600, f)
	if err != nil {
		t.Fatal(err)
	}
	path, err := tlog.ProveRecord(700, 650, f)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range Kinds() {
		heads := []Head{head(600), head(700)}
		if k.Name == WrongRoot || k.Name == FalseTime || k.Name == Withheld || k.Name == BadTile || k.Name == FalseFinal {
			heads = heads[1:]
		}
		ev := tail.about(heads...)
		got, leaf := f.root(600), Hash(f.entries[650].Hash())
		ev.Kind, ev.Text, ev.From, ev.To = k.Name, "lies", 600, 700
		ev.Want, ev.Got, ev.Proof = &Hash{1}, &got, textHashes(proof)
		ev.EntryIndex, ev.Entry, ev.EntryHash, ev.EntryPath = 650, f.entries[650].Leaf, &leaf, textHashes(path)
		if k.Name == BadTile {
			ev.Tile, ev.TileBytes, ev.TileSize = "tile/0/000", make([]byte, 8192), 8192
		}
		out = append(out, ev)
	}
	return f.log, out
}

func spkiOf(key *ecdsa.PrivateKey) []byte {
	b, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		panic(err)
	}
	return b
}

func fixedKey() *ecdsa.PrivateKey {
	key := newKey()
	d := big.NewInt(0x70c51)
	key, err := ecdsa.ParseRawPrivateKey(key.Curve, d.FillBytes(make([]byte, 32)))
	if err != nil {
		panic(err)
	}
	return key
}

func TestNoEvidenceAgainstAnHonestLogHolds(t *testing.T) {
	for _, kind := range bothKinds {
		log, list := honestEvidence(t, kind)
		for _, ev := range list {
			f, err := ev.Verify(log)
			if err == nil && rank(f.Verdict) > 0 && ev.Kind != FalseFinal { // a list may name any final head
				t.Errorf("%s %s: %s", kind, ev.Kind, f.Text)
			}
		}
	}
}

func TestEvidenceIsReadAsItIsToldAndAsItWasKept(t *testing.T) {
	log, list := honestEvidence(t, loglist.Static)
	inner, err := json.Marshal(list[len(list)-1])
	if err != nil {
		t.Fatal(err)
	}
	kind := list[len(list)-1].Kind
	old := `{"heads":["` + strings.ReplaceAll(list[6].Heads[0], "\n", `\n`) + `"],"key":` + string(mustJSON(log.Key)) + `,"from":0,"to":0}`
	for name, tc := range map[string]struct{ doc, kind string }{
		"the document":                    {string(inner), kind},
		"a fault":                         {`{"kind":"` + kind + `","log":"x","evidence":` + string(inner) + `}`, kind},
		"a message to receivers":          {`{"kind":"fault","fault":{"kind":"` + kind + `","evidence":` + string(inner) + `}}`, kind},
		"a fault of before versions were": {`{"kind":"withheld","evidence":` + old + `}`, Withheld},
	} {
		ev, err := ReadEvidence([]byte(tc.doc))
		if err != nil || ev.Kind != tc.kind || len(ev.Key) == 0 {
			t.Errorf("%s: %+v, %v", name, ev, err)
			continue
		}
		if _, err := ev.LogFor(ev.Key); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, doc := range map[string]string{
		"nothing": "", "no kind": `{"key":"AA=="}`, "a later version": `{"version":2,"kind":"forked"}`, "no JSON": "forked", "null": "null",
		"a proof without end": `{"kind":"forked","proof":[` + strings.Repeat(`"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",`, 200) + `"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]}`,
	} {
		if ev, err := ReadEvidence([]byte(doc)); err == nil {
			t.Errorf("%s is read: %+v", name, ev)
		}
	}
}

func TestTheMergeDelayIsTheVerifiersNotTheEvidences(t *testing.T) {
	f, ev := brokenPromise(t, loglist.Static)
	log := f.log
	log.MMD = 24 * time.Hour
	if got, err := ev.Verify(log); err == nil {
		t.Errorf("a promise that was not yet due is broken: %+v", got)
	}
	log.MMD = 0 // a key alone
	if got, err := ev.Verify(log); err != nil || got.Verdict != Shown {
		t.Errorf("%s, %v, want shown", got.Verdict, err)
	}
}

// Whatever is made of an honest log's heads: nothing is proven against it.
func FuzzEvidence(f *testing.F) {
	logs := map[loglist.Kind]loglist.Log{}
	for _, kind := range bothKinds {
		log, list := honestEvidence(f, kind)
		logs[kind] = log
		for _, ev := range list {
			f.Add(mustJSON(ev))
			f.Add([]byte(`{"kind":"fault","fault":{"evidence":` + string(mustJSON(ev)) + `}}`))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		ev, err := ReadEvidence(b)
		if err != nil {
			return
		}
		for _, log := range logs {
			finding, err := ev.Verify(log)
			if err == nil && finding.Verdict == Proven {
				t.Errorf("proven against an honest log: %s", finding.Text)
			}
			if err == nil && finding.Text == "" {
				t.Error("a finding without a word")
			}
		}
		if log, err := ev.LogFor(ev.Key); err == nil {
			_, _ = ev.Verify(log)
		}
	})
}

// Which log's key signed is named, for logs of both kinds, and the evidence holds it; another key in it is refused.
func TestTheKeyThatSignedInPlaceOfTheLogsIsNamed(t *testing.T) {
	forBoth(t, func(t *testing.T, kind loglist.Kind) {
		f := newFakeLog(t, kind, 600)
		other := f.fork(600)
		other.key = newKey()
		f.fault, f.known = headsOf(f, other), knownAs("Neighbour 2027", other.key)
		r := newReceiver(t, nil)
		_, stop := follow(t, r, f.client(t), TailOptions{Keys: f.keys})
		pass(time.Minute)
		stop()
		if d := cmp.Diff([]string{KeyChange}, r.kinds()); d != "" {
			t.Fatal(d)
		}
		id := Hash(f.known[2].ID)
		if text := r.of(KeyChange).Text; !strings.Contains(text, "Neighbour 2027") || !strings.Contains(text, id.String()) {
			t.Errorf("the key is not named: %s", text)
		}
		ev, err := ReadEvidence(r.of(KeyChange).Evidence)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(ev.OtherKey, f.known[2].Key) {
			t.Errorf("the evidence holds the key %x", ev.OtherKey)
		}
		if got, err := ev.Verify(f.log); err != nil || got.Verdict != Nothing || len(got.Heads) != 1 || !strings.Contains(got.Text, id.String()) {
			t.Errorf("%+v, %v", got, err)
		}
		ev.OtherKey = f.known[0].Key
		if got, err := ev.Verify(f.log); err == nil {
			t.Errorf("a key that did not sign was accepted: %+v", got)
		}
	})
}
