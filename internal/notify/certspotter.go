package notify

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// hookFiles are what a hook of Cert Spotter finds beside its environment. They last as long as the program runs.
type hookFiles struct{ dir string }

func (h *hookFiles) remove() {
	if h != nil && h.dir != "" {
		os.RemoveAll(h.dir)
	}
}

// certSpotter is the environment that hooks written for Cert Spotter read (certspotter-script(8)), and what its older
// versions set beside it, so that such a hook runs unchanged. What tocsin does not have is empty rather than absent,
// since many a hook stops at a variable that is not set. The paths of text and json are given where they were written.
func certSpotter(n Notice, text, doc string) []string {
	var env []string
	set := func(key, value string) { env = append(env, key+"="+Safe(value, maxVariable)) }
	s := tell(n)
	set("SUMMARY", s.subject())
	set("TEXT_FILENAME", text)
	if len(s.Alarms) != 1 {
		event := "error" // what hinders us from seeing everything; Cert Spotter has no other word
		if s.Test || !s.rings() && s.Kind != "trouble" && s.Kind != "fault" {
			event = "tocsin_" + printable(n.Kind, 40) // hooks leave alone what they do not know
		}
		set("EVENT", event)
		return env
	}
	a := s.Alarms[0]
	set("EVENT", "discovered_cert")
	set("WATCH_ITEM", first(a.Matched, func(m Match) string { return m.Item }))
	set("LOG_URI", first(a.Sightings, func(s Sighting) string { return s.Log }))
	set("ENTRY_INDEX", first(a.Sightings, func(s Sighting) string { return strconv.FormatUint(s.Index, 10) }))
	set("TBS_SHA256", a.Issuance)
	set("CERT_SHA256", a.Certificate.SHA256)
	set("FINGERPRINT", a.Certificate.SHA256)
	set("PUBKEY_SHA256", a.Key.SPKI)
	set("PUBKEY_HASH", a.Key.SPKI)
	set("JSON_FILENAME", doc)
	set("CERT_TYPE", map[bool]string{true: "precert", false: "cert"}[a.Precert])
	set("CERT_PARSEABLE", map[bool]string{true: "yes", false: "no"}[!a.raw()])
	set("DNS_NAMES", strings.Join(a.Certificate.DNSNames, ","))
	set("IP_ADDRESSES", strings.Join(a.Certificate.IPs, ","))
	if from, to := a.Certificate.NotBefore, a.Certificate.NotAfter; from.IsZero() || to.IsZero() {
		set("VALIDITY_PARSE_ERROR", "the validity could not be read")
	} else {
		for key, t := range map[string]time.Time{"NOT_BEFORE": from, "NOT_AFTER": to} {
			set(key, t.UTC().String())
			set(key+"_UNIXTIME", strconv.FormatInt(t.Unix(), 10))
			set(key+"_RFC3339", t.UTC().Format(time.RFC3339))
		}
	}
	set("SUBJECT_DN", a.Certificate.Subject)
	set("ISSUER_DN", a.Certificate.Issuer)
	set("SERIAL", a.Certificate.Serial)
	return env
}

// maxVariable bounds one variable in runes, so that all together are far below what a system allows.
const maxVariable = 4000

// raw says that the certificate could not be read, and only its bytes were searched.
func (a Alarm) raw() bool {
	for _, m := range a.Matched {
		if m.Where == "raw" {
			return true
		}
	}
	return false
}

// first is a value of the first element, or "".
func first[T any](list []T, of func(T) string) string {
	if len(list) == 0 {
		return ""
	}
	return of(list[0])
}

// hookDocument is the JSON file of a hook. What is not known is null.
type hookDocument struct {
	TBS          string   `json:"tbs_sha256"`
	Cert         *string  `json:"cert_sha256"`
	Key          string   `json:"pubkey_sha256"`
	IssuerDER    *string  `json:"issuer_der"`
	SubjectDER   *string  `json:"subject_der"`
	DNSNames     []string `json:"dns_names"`
	IPAddresses  []string `json:"ip_addresses"`
	NotBefore    *string  `json:"not_before"`
	NotAfter     *string  `json:"not_after"`
	SerialNumber *string  `json:"serial_number"`
}

func newHookDocument(a Alarm) hookDocument {
	known := func(text string) *string {
		if text == "" {
			return nil
		}
		return &text
	}
	when := func(t time.Time) *string {
		if t.IsZero() {
			return nil
		}
		return known(t.UTC().Format(time.RFC3339))
	}
	c := a.Certificate
	d := hookDocument{TBS: a.Issuance, Cert: known(c.SHA256), Key: a.Key.SPKI, DNSNames: append([]string{}, c.DNSNames...), IPAddresses: []string{},
		NotBefore: when(c.NotBefore), NotAfter: when(c.NotAfter), SerialNumber: known(c.Serial)}
	for _, ip := range c.IPs {
		if _, err := netip.ParseAddr(ip); err == nil {
			d.IPAddresses = append(d.IPAddresses, ip)
		}
	}
	return d
}

// certSpotterHook prepares a run of a hook: its environment, and the files that it names.
func certSpotterHook(n Notice) (env []string, files *hookFiles, err error) {
	dir, err := os.MkdirTemp("", "tocsin-hook-")
	if err != nil {
		return nil, nil, fmt.Errorf("making a place for the files of the hook: %w", err)
	}
	files = &hookFiles{dir}
	defer func() {
		if err != nil {
			files.remove()
		}
	}()
	text, doc := filepath.Join(dir, "message.txt"), ""
	if err := os.WriteFile(text, []byte(n.Text+"\n"), 0o600); err != nil {
		return nil, nil, fmt.Errorf("writing for the hook: %w", err)
	}
	if s := tell(n); len(s.Alarms) == 1 {
		doc = filepath.Join(dir, "certificate.json")
		b, err := json.MarshalIndent(newHookDocument(s.Alarms[0]), "", "    ")
		if err == nil {
			err = os.WriteFile(doc, append(b, '\n'), 0o600)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("writing for the hook: %w", err)
		}
	}
	return certSpotter(n, text, doc), files, nil
}
