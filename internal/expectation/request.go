package expectation

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/facts"
)

// Request is an announcement as people and programs write it.
type Request struct {
	// Names may be left out with a CSR.
	Names   []string `json:"names,omitempty"`
	Issuers []string `json:"issuers,omitempty"`
	Keys    []string `json:"keys,omitempty"`
	// CSR is a certification request in PEM: it gives names and key.
	CSR string `json:"csr,omitempty"`
	// For is how long it lasts, as "2h" or "7d".
	For           string `json:"for"`
	Count         int    `json:"count,omitempty"` // 0 is 1
	Reason        string `json:"reason"`
	NotifyMissing bool   `json:"notify_missing,omitempty"`
}

// Bounds of an expectation, whoever makes it.
const (
	maxNames       = 100
	maxCount       = 1000
	maxReason      = 300
	minFor, MaxFor = time.Minute, 90 * 24 * time.Hour
	maxCSR         = 64 << 10
	maxIssuers     = 20
	maxKeys        = 20
	maxIssuer      = 200
)

// RequestError says which field is wrong, and what to write instead.
type RequestError struct {
	Field, Problem, HintText string
}

func (e *RequestError) Error() string { return e.Field + ": " + e.Problem }

// Hint is what to do, or "".
func (e *RequestError) Hint() string { return e.HintText }

func refuse(field, problem, hint string) error { return &RequestError{field, problem, hint} }

// New checks a request and makes an expectation of it. by is who asks. owners resolves issuers; nil believes any.
func New(r Request, by string, owners *facts.Owners, now time.Time) (Expectation, error) {
	e := Expectation{ID: newID(), Created: now.UTC().Truncate(time.Millisecond), By: by, Reason: strings.TrimSpace(r.Reason), Count: r.Count, NotifyMissing: r.NotifyMissing}
	if e.Count == 0 {
		e.Count = 1
	}
	if e.Count < 1 || e.Count > maxCount {
		return e, refuse("count", fmt.Sprintf("%d is not from 1 to %d", r.Count, maxCount), "it is how many issuances may use the announcement")
	}
	if e.Reason == "" || len(e.Reason) > maxReason || !Printable(e.Reason) {
		return e, refuse("reason", fmt.Sprintf("a reason of 1 to %d printable characters on one line is needed", maxReason), "people will read it in the digest: say why this certificate is ordered")
	}
	d, err := ParseFor(r.For)
	if err != nil {
		return e, err
	}
	e.Until = e.Created.Add(d)
	if e.Names, err = normalNames(r.Names); err != nil {
		return e, err
	}
	if e.Keys, err = normalKeys(r.Keys); err != nil {
		return e, err
	}
	if r.CSR != "" {
		if err := e.fromCSR(r.CSR); err != nil {
			return e, err
		}
	}
	if e.Issuers, err = normalIssuers(r.Issuers, owners); err != nil {
		return e, err
	}
	switch {
	case len(e.Names) == 0:
		return e, refuse("names", "no name is announced", "name every name and address of the certificate, or give a CSR that does")
	case len(e.Issuers) == 0 && len(e.Keys) == 0:
		return e, refuse("keys", "neither a key nor an issuer: any certificate for these names would pass", "give the CSR or the hash of its key; an issuer alone passes attacks through the same CA")
	}
	for _, n := range e.Names {
		if _, ok := addressOf(n); ok && len(e.Keys) == 0 {
			return e, refuse("keys", n+" is an address, which can be announced only with a key", "give the CSR, or the hash of the certificate's key")
		}
	}
	return e, nil
}

// ParseFor reads how long an expectation lasts: "90m", "2h", "7d".
func ParseFor(text string) (time.Duration, error) {
	t := strings.TrimSpace(text)
	var d time.Duration
	var err error
	if days, ok := strings.CutSuffix(t, "d"); ok {
		var n int
		if n, err = strconv.Atoi(days); err == nil && n >= 0 && n < 10000 {
			d = time.Duration(n) * 24 * time.Hour
		}
	} else {
		d, err = time.ParseDuration(t)
	}
	if err != nil || d < minFor || d > MaxFor {
		return 0, refuse("for", fmt.Sprintf("%q is not from 1m to 90d", clip(text)), "write how long it lasts, as 2h or 7d")
	}
	return d, nil
}

func normalNames(list []string) (out []string, err error) {
	for _, text := range list {
		t := strings.TrimSpace(text)
		n, ok := addressOf(t)
		if !ok {
			if _, err := facts.ParseSPKI(t); err == nil {
				return nil, refuse("names", "that is the hash of a key", "give it as a key")
			}
			star, base := "", t
			if b, ok := strings.CutPrefix(t, "*."); ok {
				star, base = "*.", b
			}
			normal, err := cert.Name(base)
			if err != nil {
				return nil, refuse("names", fmt.Sprintf("%q: %v", clip(t), err), "announce each name as it will stand in the certificate: www.example.com, *.example.com, 192.0.2.7")
			}
			n = star + normal
		}
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	if len(out) > maxNames {
		return nil, refuse("names", fmt.Sprintf("more than %d names", maxNames), "announce each certificate by itself")
	}
	slices.Sort(out)
	return out, nil
}

func normalKeys(list []string) (out []string, err error) {
	for _, text := range list {
		spki, err := facts.ParseSPKI(strings.TrimPrefix(strings.TrimSpace(text), "spki:"))
		if err != nil || spki == [32]byte{} {
			return nil, refuse("keys", fmt.Sprintf("%q is no hash of a key", clip(text)), "write the SHA-256 of the SubjectPublicKeyInfo in 64 hex digits, or give a CSR")
		}
		if h := hex.EncodeToString(spki[:]); !slices.Contains(out, h) {
			out = append(out, h)
		}
	}
	if len(out) > maxKeys {
		return nil, refuse("keys", fmt.Sprintf("more than %d keys", maxKeys), "announce each certificate by itself")
	}
	return out, nil
}

func normalIssuers(list []string, owners *facts.Owners) (out []string, err error) {
	if len(list) > maxIssuers {
		return nil, refuse("issuers", fmt.Sprintf("more than %d issuers", maxIssuers), "name the one that issues")
	}
	for _, text := range list {
		t := strings.TrimSpace(text)
		if pin, ok := strings.CutPrefix(t, "spki:"); ok {
			spki, err := facts.ParseSPKI(pin)
			if err != nil {
				return nil, refuse("issuers", err.Error(), "write spki: and the SHA-256 of the issuing key in 64 hex digits")
			}
			out = append(out, "spki:"+hex.EncodeToString(spki[:]))
			continue
		}
		if t == "" || len(t) > maxIssuer {
			return nil, refuse("issuers", "an issuer is empty or very long", "write the CA's domain, as in CAA records: letsencrypt.org")
		}
		if owners != nil {
			found := owners.Resolve(t)
			if len(found) == 0 {
				hint := "write the CA's domain, as in CAA records, or spki: and the hash of its issuing key"
				if near := owners.Nearest(t, 3); len(near) > 0 {
					hint = "did you mean " + strings.Join(near, ", or ") + "?"
				}
				return nil, refuse("issuers", fmt.Sprintf("no CA is known as %q", clip(t)), hint)
			}
			// By owner: the facts of a certificate know it by that.
			for _, o := range found {
				if !slices.Contains(out, o) {
					out = append(out, o)
				}
			}
			continue
		}
		out = append(out, t)
	}
	return out, nil
}

// fromCSR takes names and key from a certification request.
func (e *Expectation) fromCSR(text string) error {
	names, key, err := ReadCSR(text)
	if err != nil {
		return err
	}
	if len(e.Names) > 0 && len(names) > 0 && !slices.Equal(e.Names, names) {
		return refuse("names", "they are not those of the CSR ("+clip(strings.Join(names, ", "))+")", "leave the names out: the CSR gives them")
	}
	if len(names) > 0 {
		e.Names = names
	}
	if len(e.Keys) > 0 && !slices.Equal(e.Keys, []string{key}) {
		return refuse("keys", "it is not the key of the CSR", "leave the key out: the CSR gives it")
	}
	e.Keys = []string{key}
	return nil
}

// ReadCSR reads names and key of a certification request in PEM. Its signature must prove the key.
func ReadCSR(text string) (names []string, key string, err error) {
	bad := func(problem string) ([]string, string, error) {
		return nil, "", refuse("csr", problem, "give a certification request in PEM, as the ACME client or openssl req writes it")
	}
	if len(text) > maxCSR {
		return bad("it is far too large")
	}
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return bad("it is not PEM")
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return bad("it cannot be read: " + err.Error())
	}
	if err := csr.CheckSignature(); err != nil {
		return bad("its signature does not prove its key")
	}
	if len(csr.EmailAddresses) > 0 || len(csr.URIs) > 0 {
		return bad("it asks for mail addresses or URIs, which cannot be announced")
	}
	list := slices.Clone(csr.DNSNames)
	for _, ip := range csr.IPAddresses {
		list = append(list, ip.String())
	}
	if cn := csr.Subject.CommonName; host(cn) {
		list = append(list, cn)
	}
	if names, err = normalNames(list); err != nil {
		return bad("it asks for what cannot be announced: " + err.Error())
	}
	spki := sha256.Sum256(csr.RawSubjectPublicKeyInfo)
	return names, hex.EncodeToString(spki[:]), nil
}

// Printable says that a text can be shown to people as it is: valid, on one line, with nothing invisible in it.
func Printable(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

func clip(s string) string {
	if len(s) > 120 {
		return s[:120] + "…"
	}
	return s
}
