package ctlog

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
)

func FuzzBase64IsThatOfTheStandardLibrary(f *testing.F) {
	for _, s := range []string{"", "QQ==", "QUI=", "QUJD", "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo=", "QUJD\nREVGR0hJSktM", "QUJDREVGR0hJSktMTU5P====",
		"QUJDREVG*0hJSktMTU5P", strings.Repeat("+/", 40) + "A", "QUJDREVGR0hJ\xff", "QUJDRE=GR0hJSktM"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		want := make([]byte, base64.StdEncoding.DecodedLen(len(src)))
		got := make([]byte, len(want))
		n, wantErr := base64.StdEncoding.Decode(want, src)
		if page := []byte(`"` + string(src) + `"`); !bytes.ContainsAny(src, `"\`) {
			s := pageScanner{b: page, into: &Batch{}}
			b, err := s.inPlace()
			if (err == nil) != (wantErr == nil) || err == nil && (b[0] != 0 || !bytes.Equal(want[:n], b[1:])) {
				t.Errorf("%q in its place: %q, %v; want %q, %v", src, b, err, want[:n], wantErr)
			}
		}
		k, err := decodeBase64(got, src)
		if (err == nil) != (wantErr == nil) || err == nil && !bytes.Equal(want[:n], got[:k]) {
			t.Errorf("%q: %q, %v; want %q, %v", src, got[:k], err, want[:n], wantErr)
		}
		long := append(append(bytes.Repeat([]byte("QUJD"), 5), src...), src...)
		want, got = make([]byte, len(long)), make([]byte, len(long))
		n, wantErr = base64.StdEncoding.Decode(want, long)
		k, err = decodeBase64(got, long)
		if (err == nil) != (wantErr == nil) || err == nil && !bytes.Equal(want[:n], got[:k]) {
			t.Errorf("%q: %q, %v; want %q, %v", long, got[:k], err, want[:n], wantErr)
		}
	})
}
