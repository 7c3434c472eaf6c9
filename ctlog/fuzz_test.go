package ctlog

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/tocsin-ct/tocsin/loglist"
)

func FuzzReadTileLeaf(f *testing.F) {
	for _, e := range []Entry{
		{Timestamp: 1, Cert: []byte("c"), Extensions: AppendLeafIndex(nil, 7)},
		{Precert: true, IssuerKeyHash: [32]byte{1}, Cert: []byte("tbs"), PreCert: []byte("pre"), Fingerprints: make([][32]byte, 2)},
	} {
		b, err := AppendTileLeaf(nil, &e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(append(b, b...))
		f.Add(b[:len(b)-1])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		// Leaf by leaf, each must be what its fields encode to.
		var want []Entry
		for rest := b; len(rest) > 0; {
			var e Entry
			after, err := ReadTileLeaf(&e, rest)
			if err != nil {
				want = nil
				break
			}
			again, err := AppendTileLeaf(nil, &e)
			if err != nil || !bytes.Equal(again, rest[:len(rest)-len(after)]) {
				t.Fatalf("%x is read as %+v, which is written as %x (%v)", rest, e, again, err)
			}
			leaf, err := AppendMerkleTreeLeaf(nil, &e)
			if err != nil || !bytes.Equal(leaf, e.Leaf) {
				t.Fatalf("leaf %x, want %x (%v)", e.Leaf, leaf, err)
			}
			want, rest = append(want, e), after
		}
		// The tile reader, which works in place, must agree.
		var batch Batch
		err := ReadDataTile(bytes.Clone(b), 5, &batch)
		if (err == nil) != (len(want) > 0 && len(want) <= TileWidth || len(b) == 0) {
			t.Fatalf("the tile is read with %v, its leaves are %d", err, len(want))
		}
		for i := range batch.Entries {
			if e := &batch.Entries[i]; err == nil && (!bytes.Equal(e.Leaf, want[i].Leaf) || !bytes.Equal(e.Cert, want[i].Cert) ||
				!bytes.Equal(e.PreCert, want[i].PreCert) || len(e.Fingerprints) != len(want[i].Fingerprints) || e.Index != uint64(i)+5) {
				t.Fatalf("entry %d is %+v in the tile, want %+v", i, e, want[i])
			}
		}
	})
}

func FuzzEntriesJSON(f *testing.F) {
	for _, s := range []string{
		`{"entries":[{"leaf_input":"AAAAAAAAAAAAAAAAAAAAAAAA","extra_data":"AAAA"},{"extra_data":"","leaf_input":"AA=="}]}`,
		" {\n\"x\" : [1,{\"entries\":null},\"\\\"\"], \"entries\" : [ { \"leaf_input\" : \"A\\/\\u0041\\u003d\" , \"n\":-1.5e3 } ] } ",
		`{"entries":[]}`, `{"error_message":"no"}`, `{"entries":[{"leaf_input":"AAAA"},{"leaf_in`, `[`, `{"entries":[{"leaf_input":"AAAA","a":[[[[]]]]}]} x`,
		`{"\u0065ntries":[{"leaf_input":"////"}]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, page []byte) {
		before := bytes.Clone(page)
		var b Batch
		err := ReadEntriesPage(page, 3, &b)
		if !bytes.Equal(page, before) {
			t.Fatal("the page was changed")
		}
		for i := range b.Entries {
			if e := &b.Entries[i]; e.Leaf == nil || e.Index != uint64(i)+3 {
				t.Fatalf("entry %d: %+v", i, e)
			}
		}
		// What encoding/json reads we read as well, and the same. Names are compared exactly here, and it folds case,
		// takes the last of several fields and null for "absent": such pages are left out.
		var fields map[string]json.RawMessage
		if json.Unmarshal(page, &fields) != nil || bytes.Contains(page, []byte("null")) || bytes.Count(page, []byte("ntries")) != 1 || bytes.Contains(page, []byte(`\`)) {
			return
		}
		var entries []map[string]json.RawMessage
		if json.Unmarshal(fields["entries"], &entries) != nil || len(entries) == 0 || bytes.Count(page, []byte("leaf_input")) != len(entries) {
			return
		}
		var want []struct {
			Leaf  []byte `json:"leaf_input"`
			Extra []byte `json:"extra_data"`
		}
		raw, _ := json.Marshal(entries)
		if json.Unmarshal(raw, &want) != nil || bytes.Count(page, []byte("extra_data")) > len(entries) || bytes.Count(page, []byte("_")) != bytes.Count(page, []byte("leaf_input"))+bytes.Count(page, []byte("extra_data")) {
			return
		}
		for _, w := range want {
			if w.Leaf == nil {
				return
			}
		}
		if err != nil || len(b.Entries) != len(want) {
			t.Fatalf("%d entries, want %d: %v", len(b.Entries), len(want), err)
		}
		for i := range want {
			if !bytes.Equal(b.Entries[i].Leaf, want[i].Leaf) || !bytes.Equal(b.Entries[i].Extra, want[i].Extra) {
				t.Fatalf("entry %d differs", i)
			}
		}
	})
}

func FuzzMerkleTreeLeaf(f *testing.F) {
	leaf, err := AppendMerkleTreeLeaf(nil, &Entry{Precert: true, Cert: []byte("tbs")})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(leaf)
	f.Add([]byte{0, 1})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, leaf []byte) {
		var e Entry
		ReadMerkleTreeLeaf(&e, leaf)
		if !bytes.Equal(e.Leaf, leaf) {
			t.Fatal("bytes were lost")
		}
		if e.Problem != "" {
			if !bytes.Equal(e.Cert, leaf) {
				t.Fatal("an unreadable leaf is not searched whole")
			}
			return
		}
		if again, err := AppendMerkleTreeLeaf(nil, &e); err != nil || !bytes.Equal(again, leaf) {
			t.Fatalf("written again: %x, %v", again, err)
		}
	})
}

func FuzzExtra(f *testing.F) {
	f.Add(true, []byte{0, 0, 1, 'p', 0, 0, 4, 0, 0, 1, 'c'})
	f.Add(false, []byte{0, 0, 4, 0, 0, 1, 'c'})
	f.Add(false, []byte{0, 0, 0})
	f.Fuzz(func(t *testing.T, precert bool, extra []byte) {
		pre, chain, err := ReadExtra(precert, extra)
		if err != nil {
			return
		}
		var list []byte
		for _, c := range chain {
			list = append(appendUint24(list, len(c)), c...)
		}
		var again []byte
		if precert {
			again = append(appendUint24(again, len(pre)), pre...)
		}
		if again = append(appendUint24(again, len(list)), list...); !bytes.Equal(again, extra) {
			t.Fatalf("written again: %x", again)
		}
	})
}

func FuzzCheckpoint(f *testing.F) {
	for _, kind := range bothKinds {
		fake := newFakeLog(f, kind, 3)
		f.Add(fake.rawHead(3))
		f.Add(fake.rawHead(0))
	}
	f.Add([]byte("log.example.com/2027\n3\nAAAA\n\n— log.example.com/2027 AAAAAAAA\n"))
	other := newFakeLog(f, loglist.Static, 1)
	sth := other.log
	sth.Kind = loglist.RFC6962
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, log := range []loglist.Log{other.log, sth} {
			if h, err := VerifyHead(log, raw); err == nil {
				t.Fatalf("a head that the key never signed was verified: %+v", h)
			}
		}
	})
}
