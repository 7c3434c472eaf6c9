package bundle

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-ct/tocsin/ctlog"
)

// der is a DER element that is as long as a small certificate, and like one in its first bytes.
func der(fill byte) []byte {
	body := append([]byte{0x30, 0x03, 0x02, 0x01, fill}, bytes.Repeat([]byte{fill}, 295)...)
	return append([]byte{0x30, 0x82, 0x01, 0x2c}, body...)
}

func asPEM(kind string, b []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}))
}

func zipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	zw := gzip.NewWriter(&out)
	_, err := zw.Write(b)
	if err := errors.Join(err, zw.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func entry(i int) *ctlog.Entry {
	e := &ctlog.Entry{Index: uint64(i), Timestamp: 1_790_000_000_000 + uint64(i), Cert: der(byte('a' + i))}
	if i%2 == 1 {
		e.Precert, e.PreCert, e.IssuerKeyHash = true, der(byte('A'+i)), [32]byte{1, 2, 3}
	}
	e.Fingerprints = [][32]byte{{9}}
	return e
}

func leaf(t testing.TB, i int) []byte {
	t.Helper()
	b, err := ctlog.AppendMerkleTreeLeaf(nil, entry(i))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func tileOf(t testing.TB, n int) (b []byte) {
	t.Helper()
	for i := range n {
		var err error
		if b, err = ctlog.AppendTileLeaf(b, entry(i)); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func pageOf(t testing.TB, n int) []byte {
	t.Helper()
	var parts []string
	for i := range n {
		parts = append(parts, fmt.Sprintf(`{"leaf_input":%q,"extra_data":"AAAA"}`, base64.StdEncoding.EncodeToString(leaf(t, i))))
	}
	return []byte(`{"entries":[` + strings.Join(parts, ",") + `]}`)
}

// show makes an item readable: what stands in it, and its problem.
func show(it Item) string {
	name := func(b []byte) string {
		if len(b) == len(der(0)) && b[0] == 0x30 {
			return fmt.Sprintf("%c", b[8])
		}
		return fmt.Sprintf("%d bytes", len(b))
	}
	text := ""
	switch e := it.Entry; {
	case e == nil:
		text = name(it.DER)
	case e.Precert:
		text = fmt.Sprintf("precertificate %s at %d", name(e.Cert), e.Index)
	default:
		text = fmt.Sprintf("certificate %s at %d", name(e.Cert), e.Index)
	}
	if it.Problem != "" {
		text += "; " + it.Problem
	}
	return text
}

func read(t testing.TB, b []byte) (list []string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	err := Read(path, func(it Item) error {
		if it.File != path || it.Index != len(list) {
			t.Errorf("item %d is said to be %d of %s", len(list), it.Index, it.File)
		}
		list = append(list, show(it))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestEveryFormIsReadFromItsContent(t *testing.T) {
	three := asPEM("CERTIFICATE", der('a')) + asPEM("X509 CERTIFICATE", der('b')) + asPEM("TRUSTED CERTIFICATE", der('c'))
	indexed := []byte(fmt.Sprintf(`[{"name":"x","cert_index":77,"leaf_input":%q},{"leaf_index":88,"leaf_input":%[1]q,"extra_data":null}]`,
		base64.StdEncoding.EncodeToString(leaf(t, 0))))
	for name, row := range map[string]struct {
		file []byte
		want []string
	}{
		"one certificate in DER":                       {der('a'), []string{"a"}},
		"several in DER, one behind the other":         {bytes.Join([][]byte{der('a'), der('b'), der('c')}, nil), []string{"a", "b", "c"}},
		"DER and PEM behind it":                        {append(der('a'), three...), []string{"a", "a", "b", "c"}},
		"a certificate with bytes behind it stays one": {append(der('a'), bytes.Repeat([]byte{7}, 100)...), []string{"404 bytes"}},
		"PEM blocks of all names":                      {[]byte(three), []string{"a", "b", "c"}},
		"PEM below text that begins like DER":          {[]byte("0 s:CN = example\n" + three), []string{"a", "b", "c"}},
		"PEM with text between and CRLF":               {[]byte(strings.ReplaceAll("# ours\n"+three+"# end\n", "\n", "\r\n")), []string{"a", "b", "c"}},
		"keys and requests in PEM are no certificates": {[]byte(asPEM("PRIVATE KEY", der('k')) + asPEM("CERTIFICATE REQUEST", der('r')) + three), []string{"a", "b", "c"}},
		"PKCS #7 in PEM is searched as bytes":          {[]byte(asPEM("PKCS7", der('p'))), []string{"p; a block of PKCS #7, searched as bytes"}},
		"gzip":                                         {zipped(t, []byte(three)), []string{"a", "b", "c"}},
		"a page of get-entries":                        {pageOf(t, 2), []string{"certificate a at 0", "precertificate b at 1"}},
		"an array of entries with their index":         {indexed, []string{"certificate a at 77", "certificate a at 88"}},
		"a data tile":                                  {tileOf(t, 3), []string{"certificate a at 0", "precertificate b at 1", "certificate c at 2"}},
		"a data tile in gzip":                          {zipped(t, tileOf(t, 1)), []string{"certificate a at 0"}},
		"an empty file":                                {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(row.want, read(t, row.file)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestNothingIsSkippedInADamagedFile(t *testing.T) {
	block := asPEM("CERTIFICATE", der('a'))
	page := string(pageOf(t, 3))
	second := strings.Index(page, `{"leaf_input"`) + strings.Index(page[20:], `{"leaf_input"`) + 8
	tile := tileOf(t, 3)
	bomb := zipped(t, []byte(strings.Repeat(block, 50)))
	for name, row := range map[string]struct {
		file []byte
		want []string
	}{
		"a PEM block that cannot be decoded, between good ones": {
			[]byte(block + "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n" + block),
			[]string{"a", "58 bytes; a PEM block that cannot be decoded", "a"}},
		"a PEM block without its end": {
			[]byte(block + block[:100]), []string{"a", "100 bytes; a PEM block that cannot be decoded"}},
		"bytes before PEM": {
			[]byte("\x01\x02\x03" + block), []string{"3 bytes; bytes around PEM blocks that are no text", "a"}},
		"bytes between PEM blocks": {
			[]byte(block + "\x00evil\n" + block), []string{"a", "6 bytes; bytes around PEM blocks that are no text", "a"}},
		"a certificate that holds the text of a PEM block": {
			append(append([]byte{0x30, 0x82, 0x01, 0x2c, 0x30, 0x03}, "-----BEGIN CERTIFICATE-----"...), der('z')[33:]...),
			[]string{"-"}},
		"a tile that holds the text of a PEM block": {
			func() []byte {
				e := entry(0)
				e.Cert = []byte("-----BEGIN CERTIFICATE-----")
				b, err := ctlog.AppendTileLeaf(nil, e)
				if err != nil {
					t.Fatal(err)
				}
				return append(b, tileOf(t, 1)...)
			}(), []string{"certificate 27 bytes at 0", "certificate a at 1"}},
		"a tile that is cut": {
			tile[:len(tile)-100], []string{"certificate a at 0", "precertificate b at 1", "253 bytes; a data tile that ends within an entry"}},
		"a page that is cut within the second leaf": {
			[]byte(page[:second+100]),
			[]string{"certificate a at 0", "certificate 63 bytes at 1; in a page with a mistake: unexpected EOF"}},
		"a page with an entry that is no object": {
			[]byte(strings.Replace(page, `"entries":[`, `"entries":[17,`, 1)),
			[]string{"2 bytes; an entry that is no object", "certificate a at 1", "precertificate b at 2", "certificate c at 3"}},
		"a page with an entry without a leaf": {
			[]byte(strings.Replace(page, `"entries":[`, `"entries":[{},`, 1)),
			[]string{"2 bytes; an entry without leaf_input", "certificate a at 1", "precertificate b at 2", "certificate c at 3"}},
		"a page with base64 that is damaged": {
			[]byte(strings.Replace(page, `"extra_data":"AAAA"`, `"extra_data":"AA!A"`, 1)),
			[]string{"certificate a at 0; extra_data: damaged base64: the readable part was used", "precertificate b at 1", "certificate c at 2"}},
		"a page with something behind it": {
			[]byte(page + page), nil},
		"JSON that is no page": {
			[]byte(`{"tree_size":1}`), []string{"15 bytes; JSON without entries of a log"}},
		"text": {[]byte("hello\n"), []string{"6 bytes"}},
		"gzip that is cut": {
			bomb[:len(bomb)-9], nil},
		"gzip that is damaged from its start": {
			append(bytes.Clone(bomb[:10]), 0xff, 0xff, 0xff), []string{"13 bytes; the gzip data is damaged: nothing of it can be read"}},
		"gzip that is none": {
			[]byte{0x1f, 0x8b, 0xff}, []string{"3 bytes; not readable as gzip"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := read(t, row.file)
			if row.want != nil {
				if d := cmp.Diff(row.want, got); d != "" {
					t.Error(d)
				}
				return
			}
			switch name {
			case "gzip that is cut":
				if len(got) < 40 || !strings.Contains(got[0], "the gzip data is damaged") {
					t.Errorf("%d items, %q first", len(got), got[:min(1, len(got))])
				}
			default:
				if len(got) != 6 || got[0] != "certificate a at 0" || !strings.HasPrefix(got[3], "certificate a at 3") {
					t.Errorf("got %q", got)
				}
			}
		})
	}
}

func TestADirectoryIsReadWhollyAlthoughAFileCannotBe(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Log("run as root, who may read everything: a link to nowhere stands for the file")
	}
	dir := t.TempDir()
	for name, b := range map[string][]byte{"a/1.der": der('a'), "b/2.pem": []byte(asPEM("CERTIFICATE", der('b'))), "c": zipped(t, der('c'))} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, b, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	locked := filepath.Join(dir, "a", "0")
	if err := errors.Join(os.WriteFile(locked, der('x'), 0o600), os.Chmod(locked, 0)); err != nil {
		t.Fatal(err)
	}
	var got []string
	err := Read(dir, func(it Item) error {
		got = append(got, filepath.Base(it.File)+" "+show(it))
		return nil
	})
	want := []string{"1.der a", "2.pem b", "c c"}
	if os.Geteuid() == 0 {
		want = append([]string{"0 x"}, want...)
	} else if !errors.Is(err, os.ErrPermission) {
		t.Errorf("error %v", err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	n, enough := 0, errors.New("enough")
	if err := Read(dir, func(Item) error { n++; return enough }); !errors.Is(err, enough) || n != 1 {
		t.Errorf("after an error of yield: %v, %d items", err, n)
	}
	if err := Read(filepath.Join(dir, "nowhere"), func(Item) error { return nil }); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

// FuzzRead: whatever a file holds, reading it ends, and each of its bytes that could be part of a certificate is
// yielded or was one of an encoding.
func FuzzRead(f *testing.F) {
	for _, seed := range [][]byte{
		der('a'), []byte(asPEM("CERTIFICATE", der('a')) + "x\x00" + asPEM("PKCS7", der('b'))), pageOf(f, 2), tileOf(f, 3), zipped(f, der('a')),
		[]byte(`[{"leaf_input":"AAAA"},3,{"leaf_input":"`), bytes.Repeat([]byte{0}, 100), append(der('a'), der('b')...),
		[]byte(`{"entries":[{"leaf_input":7}],"entries":[{"leaf_input":"\/\/8="}]}{`),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 2 && b[0] == 0x1f && b[1] == 0x8b {
			return // what is inside is the input of another round
		}
		n := 0
		err := split("file", b, "", func(it Item) error {
			if it.Index != n || it.File != "file" {
				t.Fatalf("item %d is said to be %d", n, it.Index)
			}
			n++
			if (it.Entry == nil) == (it.DER == nil) {
				t.Fatalf("item %d has both or nothing: %+v", n, it)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		text := bytes.Contains(b, pemBegin) || json.Valid(b)
		if n == 0 && !text && len(b) > 0 {
			t.Fatal("a file that is not empty gave nothing")
		}
	})
}
