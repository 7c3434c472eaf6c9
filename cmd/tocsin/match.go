package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/bundle"
	"github.com/tocsin-ct/tocsin/internal/notify"
	"github.com/tocsin-ct/tocsin/internal/policy"
)

// matchCmd runs certificates from files through the stations of the daemon, without any log.
type matchCmd struct {
	Args   []string `arg:"" name:"ITEM|FILE" help:"Arguments before the first existing file are items, the others files or directories: PEM, DER, gzip, get-entries pages, data tiles."`
	Config string   `short:"c" type:"path" help:"Config file, instead of ITEMs."`
	JSON   bool     `help:"Print one JSON object per certificate and one at the end."`
	All    bool     `help:"Show certificates that touch nothing as well (always so with --json)."`
}

// matchLine is the answer for one certificate.
type matchLine struct {
	Index   int             `json:"index"`
	File    string          `json:"file"`
	At      int             `json:"file_index"`
	SHA256  string          `json:"sha256"`
	ID      string          `json:"id"`
	Matched []notify.Match  `json:"matched"`
	Verdict string          `json:"verdict"`
	Reasons []policy.Reason `json:"reasons"`
	Oddity  []cert.Oddity   `json:"oddities"`
}

// matchTotal is the line at the end.
type matchTotal struct {
	Kind         string `json:"kind"` // "total"
	Certificates int    `json:"certificates"`
	Matched      int    `json:"matched"`
	Surprises    int    `json:"surprises"`
	Odd          int    `json:"odd"`
}

func (c *matchCmd) Run(p *process) error {
	items, files := splitArgs(c.Args)
	if len(files) == 0 {
		last := c.Args[len(c.Args)-1]
		return &hintError{err: fmt.Errorf("no file among the arguments: %s does not exist", last), hint: "tocsin match ITEM... FILE..."}
	}
	cfg, err := loadConfig(c.Config, items)
	if err != nil {
		return err
	}
	st, warnings, err := stations(cfg)
	if err != nil {
		return err
	}
	if !c.JSON {
		for _, w := range warnings {
			fmt.Fprintf(p.stderr, "tocsin: note: %s\n", notify.Safe(w, 500))
		}
	}
	m := matching{p: p, st: st, kin: findKin(files), json: c.JSON, all: c.All, enc: json.NewEncoder(p.stdout), now: time.Now()}
	m.enc.SetEscapeHTML(false)
	m.total.Kind = "total"
	var unread []error
	for _, file := range files {
		if err := bundle.Read(file, m.item); err != nil {
			if m.stop != nil {
				return m.stop
			}
			unread = append(unread, err) // the other files are still looked at
		}
	}
	return m.end(c.next(items), errors.Join(unread...))
}

// next is the command that watches what was matched.
func (c *matchCmd) next(items []string) string {
	if len(items) > 0 {
		return "tocsin watch " + strings.Join(items, " ")
	}
	if c.Config != "" {
		return "tocsin watch --config " + c.Config
	}
	return "tocsin watch"
}

// splitArgs parts items from files: the first argument that exists as a file ends the items.
func splitArgs(args []string) (items, files []string) {
	for i, a := range args {
		if _, err := os.Stat(a); err == nil || errors.Is(err, fs.ErrPermission) {
			return args[:i], args[i:]
		}
	}
	return args, nil
}

// matching goes through the certificates of all files.
type matching struct {
	p     *process
	st    *app.Stations
	kin   *kin
	json  bool
	all   bool
	enc   *json.Encoder
	now   time.Time
	total matchTotal
	stop  error // why not everything was looked at: an interrupt, or nobody to tell
}

func (m *matching) item(it bundle.Item) error {
	m.stop = m.p.ctx.Err()
	if m.stop == nil {
		m.stop = m.one(it)
	}
	return m.stop
}

func (m *matching) one(it bundle.Item) error {
	index := m.total.Certificates
	m.total.Certificates++
	sub := app.Subject{Bytes: it.DER}
	if e := it.Entry; e != nil {
		var precert []byte
		var chain [][]byte
		if len(e.Extra) > 0 {
			// What a damaged extra_data still gives is used; the issuer then stays unproven.
			precert, chain, _ = ctlog.ReadExtra(e.Precert, e.Extra)
		} else {
			precert = e.PreCert
		}
		sub = app.FromEntry(e, precert, chain)
	} else {
		sub.Chain = m.kin.chain(parse(it.DER))
	}
	r := m.st.Read(sub)
	v := m.st.Decide(r, m.now)
	odd := r.Cert.Oddities
	if it.Problem != "" {
		odd = append(odd, cert.Oddity{Code: "file", Text: it.Problem})
	}
	if len(odd) > 0 {
		m.total.Odd++
	}
	if len(r.Matches) > 0 {
		m.total.Matched++
	}
	if v.Level >= policy.Alarm {
		m.total.Surprises++
	}
	if m.json {
		return m.enc.Encode(matchLine{
			Index: index, File: it.File, At: it.Index, SHA256: hex.EncodeToString(r.Fingerprint[:]), ID: r.ID.String(),
			Matched: m.st.Matches(r), Verdict: v.Level.String(), Reasons: orEmpty(v.Reasons), Oddity: orEmpty(odd),
		})
	}
	if len(r.Matches) == 0 && !m.all {
		return nil
	}
	doc := m.st.Document(r, &v, m.now)
	if it.Problem != "" {
		doc.Oddities = append(doc.Oddities, notify.Oddity{Code: "file", Text: it.Problem})
	}
	_, err := fmt.Fprintf(m.p.stdout, "%s #%d\n%s\n", notify.Safe(it.File, 500), it.Index, matchText(&doc))
	return err
}

// matchText is the alarm as receivers get it, without what is said of the ledger: nothing was stored.
func matchText(doc *notify.Alarm) string {
	doc.Issuance = ""
	if doc.Level == policy.None.String() {
		return fmt.Sprintf("none   %s, by %q, touches nothing", notify.Safe(orUnreadable(doc.Certificate.Subject), 200), notify.Safe(doc.Certificate.Issuer, 200))
	}
	text := strings.TrimSuffix(doc.Text(), "\nnext: tocsin explain ")
	return strings.TrimPrefix(strings.TrimSuffix(text, "  (tocsin explain )"), "filed  ")
}

// end says what there was. unread are the files that could not be read.
func (m *matching) end(next string, unread error) error {
	if m.json {
		if err := m.enc.Encode(m.total); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(m.p.stdout, "%s, %d touch a watch, %d would ring, %d with oddities\n",
			count(m.total.Certificates, "certificate"), m.total.Matched, m.total.Surprises, m.total.Odd)
		fmt.Fprintf(m.p.stdout, "next: %s\n", notify.Safe(next, 500))
	}
	if unread != nil {
		m.p.say(unread)
	}
	switch {
	case m.total.Surprises > 0:
		return exitError(exitSurprise)
	case unread != nil:
		return exitError(exitBlind)
	}
	return nil
}

func orUnreadable(subject string) string {
	if subject == "" {
		return "no subject"
	}
	return subject
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
