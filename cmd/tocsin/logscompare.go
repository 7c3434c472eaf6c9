package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/notify"
	"github.com/tocsin-ct/tocsin/loglist"
)

// logsCompareCmd holds the views of two instances against each other: a log that shows two networks two trees has to
// sign both.
type logsCompareCmd struct {
	A      string   `arg:"" name:"A.json" type:"existingfile" help:"Output of tocsin logs --json of one instance."`
	B      string   `arg:"" name:"B.json" type:"existingfile" help:"That of another one, elsewhere."`
	Key    []string `help:"Public key of a log, from a source of your own: base64 or a PEM file." placeholder:"KEY" sep:"none"`
	Logs   string   `help:"Log list (a file or https URL) that has the keys and addresses of the logs." placeholder:"LIST"`
	Online bool     `help:"Where one view is ahead, ask the log for the proof that both are of one tree."`
	Out    string   `type:"path" default:"." help:"Where the evidence of a split view is written." placeholder:"DIR"`
	JSON   bool     `help:"Print one JSON object per log."`
}

// comparison is the result for one log.
type comparison struct {
	Kind string `json:"kind"` // "comparison"
	Log  string `json:"log"`
	ID   string `json:"id"`
	// Result is "same", "ahead" (one tree is larger; agreed where both saw a size), "consistent" (ahead, and the log
	// has proven it), "split", or "unknown".
	Result string `json:"result"`
	// A and B are the sizes of the newest heads, Common counts the sizes that both saw, Agreed is the largest at which
	// both have the same root.
	A      uint64 `json:"a"`
	B      uint64 `json:"b"`
	Common int    `json:"common"`
	Agreed uint64 `json:"agreed"`
	// Refused counts heads that the log's key did not sign.
	Refused int    `json:"refused"`
	Text    string `json:"text"`
	// Evidence is the file that convicts the log of a split view.
	Evidence string `json:"evidence,omitempty"`
}

// maxView bounds an output that is read.
const maxView = 256 << 20

func (c *logsCompareCmd) Run(p *process) error {
	keys, err := openKeyring(p.ctx, c.Key, c.Logs)
	if err != nil {
		return err
	}
	a, err := readView(c.A)
	if err != nil {
		return err
	}
	b, err := readView(c.B)
	if err != nil {
		return err
	}
	var results []comparison
	for i := range a.Logs {
		j := slices.IndexFunc(b.Logs, func(l app.LogCoverage) bool { return l.ID == a.Logs[i].ID })
		if j < 0 {
			continue
		}
		r, fork, log := compareLog(&a.Logs[i], &b.Logs[j], keys)
		if r.Result == "ahead" && c.Online {
			fork = ask(p.ctx, &r, log, &a.Logs[i], &b.Logs[j])
		}
		if fork != nil {
			if r.Evidence, err = writeEvidence(c.Out, ctlog.ForkEvidence(log, fork, time.Now())); err != nil {
				return err
			}
		}
		results = append(results, r)
	}
	return c.report(p, results, len(a.Logs), len(b.Logs))
}

func (c *logsCompareCmd) report(p *process, results []comparison, a, b int) error {
	compared, split := 0, 0
	for _, r := range results {
		switch r.Result {
		case "split":
			split++
			compared++
		case "same", "consistent":
			compared++
		case "ahead":
			if r.Common > 0 {
				compared++
			}
		}
		if c.JSON {
			if err := json.NewEncoder(p.stdout).Encode(r); err != nil {
				return err
			}
		} else {
			comparisonText(p.stdout, &r)
		}
	}
	if !c.JSON {
		fmt.Fprintf(p.stdout, "%s in A, %d in B, %d in both, %d compared", count(a, "log"), b, len(results), compared)
		switch {
		case split > 0:
			fmt.Fprintf(p.stdout, ": %s\nnext: tocsin logs verify FILE --logs LIST; and tell others\n", count(split, "SPLIT VIEW"))
		case compared == 0:
			fmt.Fprint(p.stdout, ": nothing can be said\nnext: take both outputs at about the same time, or compare with --online\n")
		default:
			fmt.Fprint(p.stdout, ": no split view\nnext: compare again, with friends in other networks\n")
		}
	}
	switch {
	case split > 0:
		return exitError(exitSurprise)
	case compared == 0:
		return exitError(exitBlind)
	}
	return nil
}

func comparisonText(w io.Writer, r *comparison) {
	fmt.Fprintf(w, "%-36s %-10s %s\n", notify.Safe(r.Log, 36), r.Result, notify.Safe(r.Text, 1000))
	if r.Refused > 0 {
		fmt.Fprintf(w, "    %s not signed by the log: left out\n", count(r.Refused, "head"))
	}
	if r.Evidence != "" {
		fmt.Fprintf(w, "    evidence: %s\n", notify.Safe(r.Evidence, 500))
	}
}

// readView reads the output of logs --json.
func readView(path string) (*app.Coverage, error) {
	notOne := func(err error) error {
		return &hintError{err: fmt.Errorf("%s is no output of logs --json: %w", path, err), hint: "write one with: tocsin logs --json > A.json", code: exitUsage}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading a view: %w", err)
	}
	defer f.Close()
	var c app.Coverage
	if err := json.NewDecoder(io.LimitReader(f, maxView)).Decode(&c); err != nil {
		return nil, notOne(err)
	}
	if c.Logs == nil {
		return nil, notOne(errors.New("it names no logs"))
	}
	return &c, nil
}

// compareLog holds the signed heads of one log against each other. Whatever is not signed by the log counts for
// nothing.
func compareLog(a, b *app.LogCoverage, keys *keyring) (r comparison, fork *ctlog.ForkError, log loglist.Log) {
	r = comparison{Kind: "comparison", Log: notify.Safe(a.Name, 200), ID: notify.Safe(a.ID, 100), Result: "unknown"}
	log, err := viewedLog(a, b, keys)
	if err != nil {
		r.Text = err.Error()
		return r, nil, log
	}
	r.Log = log.Name()
	left, right := signed(log, a, &r.Refused), signed(log, b, &r.Refused)
	if len(left) == 0 || len(right) == 0 {
		r.Text = "one of them has no head that the log signed"
		return r, nil, log
	}
	newestA, newestB := newest(left), newest(right)
	r.A, r.B = newestA.Size, newestB.Size
	// Each side against itself as well: an instance may have seen both trees.
	all := slices.Concat(left, right)
	for i, x := range all {
		for _, y := range all[i+1:] {
			if x.Size == y.Size && x.Root != y.Root {
				r.Result = "split"
				r.Text = fmt.Sprintf("the log signed two roots for size %d: %s and %s", x.Size, x.Root, y.Root)
				return r, &ctlog.ForkError{Older: x, Newer: y, Computed: y.Root}, log
			}
		}
	}
	for _, x := range left {
		if slices.ContainsFunc(right, func(y ctlog.Head) bool { return x.Size == y.Size }) {
			r.Common++
			r.Agreed = max(r.Agreed, x.Size)
		}
	}
	if r.A == r.B {
		r.Result = "same"
		r.Text = fmt.Sprintf("both at size %d, with the same root; %s in common", r.A, count(r.Common, "size"))
		return r, nil, log
	}
	who, by := "A", r.A-r.B
	if r.B > r.A {
		who, by = "B", r.B-r.A
	}
	r.Result = "ahead"
	r.Text = fmt.Sprintf("%s is %d entries ahead", who, by)
	if r.Common > 0 {
		r.Text += fmt.Sprintf("; both agree at %s, up to size %d", count(r.Common, "size"), r.Agreed)
	} else {
		r.Text += "; that one tree is the beginning of the other cannot be told from the heads alone"
	}
	return r, nil, log
}

// viewedLog finds the log with its key: the verifier's own, or one of a view that fits the log's id, which is the hash
// of the key.
func viewedLog(a, b *app.LogCoverage, keys *keyring) (loglist.Log, error) {
	raw, err := base64.StdEncoding.DecodeString(a.ID)
	if err != nil || len(raw) != 32 {
		return loglist.Log{}, errors.New("its id cannot be read")
	}
	id := [32]byte(raw)
	if log, ok := keys.logs[id]; ok {
		return log, nil
	}
	key, v := keys.keys[id], a
	if sha256.Sum256(a.Key) != id && b.URL != "" { // the one that knows the log knows where it is
		v = b
	}
	if key == nil && sha256.Sum256(v.Key) == id {
		key = v.Key
	}
	if key == nil {
		return loglist.Log{}, errors.New("its key is in neither of them: give it with --key or --logs")
	}
	kind := loglist.RFC6962
	if v.Kind == loglist.Static.String() {
		kind = loglist.Static
	}
	log, err := loglist.FromKey(kind, v.URL, v.MonitoringURL, key, "")
	if err != nil {
		return loglist.Log{}, fmt.Errorf("what is said of it is not a log: %w", err)
	}
	log.Description = notify.Safe(v.Name, 200)
	return log, nil
}

// maxCompared bounds the heads of one log in one view.
const maxCompared = 1024

// signed are the heads of a view that the log's key signed, as signed, not as the view says.
func signed(log loglist.Log, v *app.LogCoverage, refused *int) (out []ctlog.Head) {
	for _, h := range v.Heads[:min(len(v.Heads), maxCompared)] {
		head, err := ctlog.VerifyHead(log, h.Raw)
		if err != nil {
			*refused++
			continue
		}
		head.Received = h.Received
		out = append(out, head)
	}
	return out
}

func newest(heads []ctlog.Head) ctlog.Head {
	return slices.MaxFunc(heads, func(x, y ctlog.Head) int {
		if x.Size < y.Size {
			return -1
		}
		return 1
	})
}

// ask asks the log whether the smaller of the newest heads is the beginning of the larger one.
func ask(ctx context.Context, r *comparison, log loglist.Log, a, b *app.LogCoverage) *ctlog.ForkError {
	client, err := ctlog.NewClient(log, &ctlog.Options{Version: buildVersion().Version})
	if err != nil {
		r.Text += "; the log cannot be asked: " + err.Error()
		return nil
	}
	defer client.Close()
	n := 0
	older, newer := newest(signed(log, a, &n)), newest(signed(log, b, &n))
	if older.Size > newer.Size {
		older, newer = newer, older
	}
	err = client.Consistent(ctx, older, newer)
	var fork *ctlog.ForkError
	switch {
	case err == nil:
		r.Result = "consistent"
		r.Text += "; the log has proven that it is one tree"
	case errors.As(err, &fork):
		r.Result = "split"
		r.Text = fork.Error()
		return fork
	default:
		r.Text += "; the log does not prove that it is one tree: " + err.Error()
	}
	return nil
}
