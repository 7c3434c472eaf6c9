package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/bundle"
	"github.com/tocsin-ct/tocsin/internal/egress"
	"github.com/tocsin-ct/tocsin/internal/notify"
	"github.com/tocsin-ct/tocsin/internal/policy"
	"github.com/tocsin-ct/tocsin/internal/store"
)

// reportCmd takes in a warning from outside: whose it is, what tocsin says of it, and which incident it belongs to.
type reportCmd struct {
	Args         []string `arg:"" name:"FILE|HASH|URL" help:"The certificate: a file (its chain may stand in it or in further files), the SHA-256 of one that is filed, or an http or https URL."`
	Config       string   `short:"c" type:"path" help:"Config file."`
	State        string   `type:"path" help:"State file."`
	File         bool     `help:"File it, so that it is decided, told and kept, though no log has shown it."`
	By           string   `help:"Who reported it."`
	Note         string   `help:"What is to be said about it."`
	AllowPrivate bool     `help:"Fetch from private addresses as well."`
	JSON         bool     `help:"Print one JSON object per certificate."`
}

// reportLine is the answer for one certificate.
type reportLine struct {
	Kind     string                `json:"kind"` // "report"
	Source   string                `json:"source"`
	SHA256   string                `json:"sha256"`
	Issuance string                `json:"issuance"`
	Owners   []string              `json:"owners"`
	Watches  []notify.Outcome      `json:"watches"`
	Matched  []notify.Match        `json:"matched"`
	Verdict  string                `json:"verdict"`
	Decided  bool                  `json:"decided"` // the verdict is that of the ledger
	Reasons  []notify.Reason       `json:"reasons"`
	Ledger   *app.Explanation      `json:"ledger"` // null when it is not filed
	Incident []app.IncidentSummary `json:"incidents"`
	Filed    bool                  `json:"filed"` // now, by --file

	text string // for people, of what is not filed
}

// reporting goes through what was reported.
type reporting struct {
	*reportCmd
	p      *process
	st     *app.Stations
	state  string
	shown  int
	rings  bool
	unseen []error
}

func (c *reportCmd) Run(p *process) error {
	cfg, err := loadConfig(c.Config, nil)
	if err != nil {
		return err
	}
	r := &reporting{reportCmd: c, p: p}
	if r.state, err = statePath(c.State, cfg); err != nil {
		return err
	}
	if r.st, _, err = stations(cfg); err != nil {
		return err
	}
	for _, arg := range c.Args {
		if hash, ok := hashOf(arg); ok {
			if err := r.hash(arg, hash); err != nil {
				return err
			}
		}
	}
	if err := r.files(); err != nil {
		return err
	}
	if r.shown == 0 && len(r.unseen) == 0 {
		r.unseen = append(r.unseen, &hintError{err: errors.New("no certificate was found in what was given"), hint: "give it in PEM or DER"})
	}
	p.tell(r.unseen)
	switch {
	case r.rings:
		return exitError(exitSurprise)
	case len(r.unseen) > 0:
		return exitError(exitBlind)
	}
	return nil
}

// hashOf tells a SHA-256 from a file: 64 hex digits, colons and spaces allowed, and no file of that name.
func hashOf(arg string) (string, bool) {
	text := strings.ToLower(strings.TrimPrefix(strings.NewReplacer(":", "", " ", "").Replace(strings.ToLower(arg)), "sha256"))
	if b, err := hex.DecodeString(text); err != nil || len(b) != 32 {
		return "", false
	}
	_, err := os.Stat(arg)
	return text, err != nil
}

func isURL(arg string) bool { return strings.Contains(arg, "://") }

// hash answers for a certificate that is known by its hash alone.
func (r *reporting) hash(arg, hash string) error {
	line := reportLine{Kind: "report", Source: arg, SHA256: hash}
	if err := r.ask(&line, hash); err != nil {
		return err
	}
	if line.Ledger == nil {
		r.unseen = append(r.unseen, &hintError{err: fmt.Errorf("%s is not in the ledger: no log that is followed has shown a certificate with this hash that touches a watch", hash),
			hint: "get the certificate itself, and give it as a file or URL"})
		return nil
	}
	return r.answer(&line)
}

// files answers for all certificates of the files and URLs. Their chains may stand in any of them.
func (r *reporting) files() error {
	var paths []string
	names := map[string]string{}
	for _, arg := range r.Args {
		if _, ok := hashOf(arg); ok {
			continue
		}
		if !isURL(arg) {
			paths, names[arg] = append(paths, arg), arg
			continue
		}
		path, err := r.fetch(arg)
		if err != nil {
			r.unseen = append(r.unseen, err)
			continue
		}
		defer os.RemoveAll(filepath.Dir(path))
		paths, names[path] = append(paths, path), arg
	}
	kin := findKin(paths)
	for _, path := range paths {
		var stop error
		err := bundle.Read(path, func(it bundle.Item) error {
			if stop = r.p.ctx.Err(); stop == nil {
				stop = r.item(it, kin, names[path])
			}
			return stop
		})
		if stop != nil {
			return stop
		}
		if err != nil {
			r.unseen = append(r.unseen, err)
		}
	}
	return nil
}

// fetch brings a URL into a file of its own.
func (r *reporting) fetch(from string) (string, error) {
	body, err := egress.Fetch(r.p.ctx, from, &egress.Options{AllowPrivate: r.AllowPrivate, UserAgent: "tocsin"})
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "tocsin-report-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "certificate")
	return path, os.WriteFile(path, body, 0o600)
}

// item answers for one certificate. CA certificates are the chain of others, unless they touch something themselves.
func (r *reporting) item(it bundle.Item, kin *kin, source string) error {
	sub := app.Subject{Bytes: bytes.Clone(it.DER)}
	if e := it.Entry; e != nil {
		precert, chain := e.PreCert, [][]byte(nil)
		if len(e.Extra) > 0 {
			precert, chain, _ = ctlog.ReadExtra(e.Precert, e.Extra) // as for match: what a damaged one still gives
		}
		sub = app.FromEntry(e, precert, chain)
	} else {
		sub.Chain = kin.chain(parse(it.DER))
	}
	read := r.st.Read(sub)
	if len(read.Matches) == 0 && (read.Cert.CA || len(read.Cert.RawSPKI) == 0) {
		return nil
	}
	v := r.st.Decide(read, time.Now())
	doc := r.st.Document(read, &v, time.Now())
	line := reportLine{
		Kind: "report", Source: source, SHA256: hex.EncodeToString(read.Fingerprint[:]), Issuance: read.ID.String(),
		Watches: doc.Watches, Matched: doc.Matched, Verdict: v.Level.String(), Reasons: doc.Reasons, text: matchText(&doc),
	}
	for _, id := range []string{line.Issuance, line.SHA256} {
		if err := r.ask(&line, id); err != nil {
			return err
		}
		if line.Ledger != nil {
			break
		}
	}
	if r.File && line.Ledger == nil && len(read.Matches) > 0 {
		if err := r.file(&line, read); err != nil {
			return err
		}
	}
	return r.answer(&line)
}

// file files what is not known yet.
func (r *reporting) file(line *reportLine, read *app.Reading) error {
	if read.Cert.BareTBS {
		return &hintError{err: errors.New("an entry of a log is not filed by hand"), hint: "follow the log: see logs.add in the configuration"}
	}
	got, err := app.AskFileReport(r.p.ctx, r.state, r.st, &app.Report{Certificate: read.Bytes, Chain: read.Chain, By: r.By, Note: r.Note})
	if err != nil {
		return err
	}
	line.Filed, line.Issuance = true, got.Issuance
	return nil
}

// ask finds out what the ledger and the incidents have.
func (r *reporting) ask(line *reportLine, id string) error {
	x, err := app.AskExplain(r.p.ctx, r.state, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case err != nil:
		if _, serr := os.Stat(r.state); serr != nil {
			return nil // no state: nothing is filed
		}
		return err
	}
	line.Ledger, line.Issuance = x, x.ID
	if n := len(x.Verdicts); n > 0 {
		line.Verdict, line.Reasons, line.Decided = x.Level, x.Verdicts[n-1].Reasons, true
	}
	if line.Verdict == "" {
		line.Verdict = x.Level
	}
	if line.Matched == nil {
		if err := json.Unmarshal(x.Matched, &line.Matched); err != nil {
			return err
		}
	}
	line.Incident, err = app.AskIncidentsOf(r.p.ctx, r.state, x.ID)
	return err
}

// answer prints one answer.
func (r *reporting) answer(line *reportLine) error {
	r.shown++
	var level policy.Level
	if level.UnmarshalText([]byte(line.Verdict)) == nil && level >= policy.Alarm {
		r.rings = true
	}
	for _, m := range line.Matched {
		if m.Owner != "" && !slices.Contains(line.Owners, m.Owner) {
			line.Owners = append(line.Owners, m.Owner)
		}
	}
	line.Owners, line.Watches, line.Matched = orEmpty(line.Owners), orEmpty(line.Watches), orEmpty(line.Matched)
	line.Reasons, line.Incident = orEmpty(line.Reasons), orEmpty(line.Incident)
	if r.JSON {
		enc := json.NewEncoder(r.p.stdout)
		enc.SetEscapeHTML(false)
		return enc.Encode(line)
	}
	return r.say(line)
}

// say is the answer for people: owner, verdict, ledger, incident, and what to do next.
func (r *reporting) say(line *reportLine) error {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	safe := func(s string) string { return notify.Safe(s, 300) }
	say("%s", safe(line.Source))
	if line.text != "" {
		say("%s", line.text)
	} else {
		say("%s  sha256 %s", line.Verdict, line.SHA256)
		for _, m := range line.Matched {
			say("  named    %s (%s); watch %q", safe(m.Value), safe(m.Where), safe(m.Watch))
		}
	}
	if len(line.Matched) == 0 {
		say("  owner    nobody here: it touches no watch")
	} else {
		owners := "not named in the configuration"
		if len(line.Owners) > 0 {
			owners = strings.Join(line.Owners, ", ")
		}
		say("  owner    %s", safe(owners))
	}
	next := "tocsin match " + line.Source
	switch x := line.Ledger; {
	case line.Filed:
		say("  ledger   filed now as %s, to be decided and told", line.Issuance)
		next = "tocsin explain " + line.Issuance[:12]
	case x != nil:
		next = "tocsin explain " + x.ID[:12]
		say("  ledger   %s as %s, first seen %s%s", x.Level, x.ID, x.FirstSeen.UTC().Format(time.RFC3339), seenIn(x))
	case len(line.Matched) == 0:
	default:
		say("  ledger   not filed: no log that is followed has shown it")
		next = "tocsin report --file " + strings.Join(r.Args, " ")
	}
	for _, i := range line.Incident {
		say("  incident %s, %s, %s since %s: %s", i.ID, i.Level, i.Status, i.Updated.UTC().Format(time.RFC3339), safe(i.Title))
	}
	if len(line.Incident) > 0 {
		next = "tocsin incidents show " + line.Incident[0].ID
	} else if line.Ledger != nil {
		say("  incident none")
	}
	say("next: %s", safe(next+withState(r.State, r.Config)))
	_, err := r.p.stdout.Write([]byte(b.String()))
	return err
}

// seenIn says in which logs it was seen.
func seenIn(x *app.Explanation) string {
	if len(x.Sightings) == 0 {
		var odd []cert.Oddity
		if json.Unmarshal(x.Oddities, &odd) == nil {
			for _, o := range odd {
				if o.Code == "reported" {
					return "; " + notify.Safe(o.Text, 300) + "; no log has shown it"
				}
			}
		}
		return "; no log has shown it"
	}
	s := x.Sightings[0]
	text := fmt.Sprintf("; in %s #%d", notify.Safe(s.Log, 100), s.Index)
	if n := len(x.Sightings) - 1; n > 0 {
		text += " and " + count(n, "more sighting")
	}
	return text
}
