package ctlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tocsin-ct/tocsin/loglist"
)

// Bounds of what is remembered about heads.
const (
	maxChecked = 64
	maxLater   = 16
)

// proofAttempts is how often the proof of a grown head is asked for: enough for a front end that lags, and not so often
// that new entries wait for a proof which reading them makes anyway.
const proofAttempts = 3

// check holds a head against what was verified, whatever its size. Doubtful says that a growing head contradicts it:
// that is reported already, and its entries are still worth reading.
func (t *Tailer) check(ctx context.Context, head Head) (doubtful bool, err error) {
	v := &t.cur.Verified
	known, seen := t.checked[head.Size]
	switch {
	case seen && known.Root == head.Root:
		return false, nil
	case seen:
		return false, t.forked(&ForkError{Older: known, Newer: head, Computed: head.Root})
	case head.Size == v.Size:
		if head.Root != v.Root {
			return false, t.forked(&ForkError{Older: *v, Newer: head, Computed: head.Root})
		}
		return false, nil
	case head.Size < v.Size:
		return false, t.checkOld(ctx, head)
	case head.Size <= t.cur.Size:
		// Reading went past this size without a head to stop at: the next verified head decides.
		if len(t.later) < maxLater {
			t.later = append(t.later, head)
		}
		return false, nil
	}
	return t.checkGrown(ctx, head)
}

// checkOld checks a head of a smaller tree than the verified one (D03): from a front end that lags, or a forked log.
func (t *Tailer) checkOld(ctx context.Context, head Head) error {
	err := t.retry(ctx, func() error { return t.c.Consistent(ctx, head, t.cur.Verified) })
	var fork *ForkError
	var unproven *unprovenError
	switch {
	case err == nil:
		t.remember(head)
		return nil
	case errors.As(err, &fork):
		return t.forked(fork)
	case errors.As(err, &unproven):
		return t.inconsistent(unproven)
	}
	return err
}

// remember keeps a head that is consistent with the verified one.
func (t *Tailer) remember(head Head) {
	if len(t.checked) >= maxChecked {
		clear(t.checked)
	}
	t.checked[head.Size] = head
}

// checkGrown asks for the proof that the verified tree is a prefix of the head's. Reading and hashing the entries will
// prove it again; the proof says it before. A log without a usable answer is therefore read all the same. The tiles of
// a static log are what its entries hash to: no proof is asked for.
func (t *Tailer) checkGrown(ctx context.Context, head Head) (doubtful bool, err error) {
	v := t.cur.Verified
	if t.g.Kind != loglist.RFC6962 || v.Size == 0 {
		return false, nil
	}
	err = t.tries(ctx, min(proofAttempts, t.opts.Attempts), func() error { return t.c.Consistent(ctx, v, head) })
	var fork *ForkError
	var unproven *unprovenError
	switch {
	case errors.As(err, &fork):
		return true, t.forked(fork)
	case errors.As(err, &unproven):
		_ = t.inconsistent(unproven) // told; the entries decide
	case err != nil:
		t.log.Warn("no consistency proof to be had; the entries will show", "err", err)
	}
	return false, nil
}

// checkFinal holds the verified head of a read-only log against the final head that the list gives.
func (t *Tailer) checkFinal(ctx context.Context) error {
	v, final := t.cur.Verified, t.g.Final
	if t.g.State != loglist.ReadOnly || final == nil || v.Size < final.Size || t.cur.Size != v.Size || t.finalDone {
		return nil
	}
	err := t.retry(ctx, func() error { return t.c.Consistent(ctx, Head{Size: final.Size, Root: final.Root}, v) })
	var fork *ForkError
	switch {
	case err == nil:
		t.finalDone = true
		t.setClosed(v.Size == final.Size)
		return nil
	case errors.As(err, &fork):
		want := Hash(final.Root)
		return t.fault(FalseFinal, fmt.Sprintf("the list gives the final head of size %d with root %s, but the log has %s there", final.Size, want, fork.Computed),
			Evidence{Heads: []string{string(v.Raw)}, From: 0, To: final.Size, Want: &want, Got: &fork.Computed, Proof: fork.Proof})
	}
	return err
}

// unread notes that entries could not be read. When the log goes on for long signing heads that it does not serve, or
// serves a broken tile, that is a fault.
func (t *Tailer) unread(target Head, err error) error {
	at := t.cur.Size
	if t.stuck.since.IsZero() || t.stuck.at != at {
		t.stuck.at, t.stuck.since = at, time.Now()
	}
	ev := Evidence{Heads: []string{string(target.Raw)}, From: at, To: target.Size}
	var tile *tileError
	if errors.As(err, &tile) {
		return errors.Join(t.fault(BadTile, fmt.Sprintf("the log serves a broken tile: %v", tile), ev), err)
	}
	var status *StatusError
	answered := errors.Is(err, errEmpty) || errors.As(err, &status) && status.Code < 500 && status.Code != 429
	if since := time.Since(t.stuck.since); answered && since >= max(minWithheld, t.g.MMD) {
		return errors.Join(t.fault(Withheld, fmt.Sprintf("the log signed a head of size %d but does not serve entry %d, for %v now: %v",
			target.Size, at, since.Round(time.Minute), err), ev), err)
	}
	return err
}

func (t *Tailer) forked(f *ForkError) error {
	ev := Evidence{From: f.Older.Size, To: f.Newer.Size, Want: &f.Older.Root, Got: &f.Computed, Proof: f.Proof}
	for _, h := range []Head{f.Older, f.Newer} {
		if h.Raw != nil {
			ev.Heads = append(ev.Heads, string(h.Raw))
		}
	}
	return t.fault(Forked, f.Error(), ev)
}

func (t *Tailer) inconsistent(u *unprovenError) error {
	return t.fault(Inconsistent, u.Error(), Evidence{Heads: []string{string(u.older.Raw), string(u.newer.Raw)},
		From: u.older.Size, To: u.newer.Size, Want: &u.older.Root, Proof: u.proof})
}

// faultError ends a round in which a fault stands between us and the log's head.
type faultError struct{ text string }

func (e *faultError) Error() string { return e.text }

// fault reports a fault, once, and returns it as an error.
func (t *Tailer) fault(kind FaultKind, text string, ev Evidence) error {
	t.faultNote(kind, text, ev)
	return &faultError{text}
}

func (t *Tailer) faultNote(kind FaultKind, text string, ev Evidence) {
	ev.Key = t.g.Key
	raw, err := json.Marshal(ev)
	if err != nil { // cannot be: only strings, bytes and numbers
		raw = nil
	}
	f := Fault{Kind: kind, Log: Hash(t.g.ID), LogName: t.g.Name(), Text: disarm(text), At: time.Now().UTC(), Evidence: raw}
	if !t.newFault(kind, &ev) {
		return
	}
	t.log.Error("log at fault", "kind", kind, "fault", f.Text)
	if t.opts.Fault != nil {
		t.opts.Fault(f)
	}
}
