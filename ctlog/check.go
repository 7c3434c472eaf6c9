package ctlog

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
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
	if head.Size >= v.Size {
		t.settled(Rollback, "")
	}
	known, seen := t.checked[head.Size]
	switch {
	case seen && known.Root != head.Root:
		return false, t.forked(&ForkError{Older: known, Newer: head, Computed: head.Root})
	case head.Size < v.Size:
		return false, t.checkOld(ctx, head, seen)
	case seen:
		return false, nil
	case head.Size == v.Size:
		if head.Root != v.Root {
			return false, t.forked(&ForkError{Older: *v, Newer: head, Computed: head.Root})
		}
		return false, nil
	case head.Size <= t.cur.Size:
		// Reading went past this size without a head to stop at: the next verified head decides.
		t.wait(head)
		return false, nil
	}
	return t.checkGrown(ctx, head)
}

// wait keeps a head until the next one is verified.
func (t *Tailer) wait(head Head) {
	same := func(h Head) bool { return h.Size == head.Size && h.Root == head.Root }
	switch {
	case slices.ContainsFunc(t.later, same):
	case len(t.later) >= maxLater:
		t.log.Warn("too many heads wait for a verified one; this one is forgotten", "size", head.Size, "root", head.Root)
	default:
		t.later = append(t.later, head)
	}
}

// checkOld checks a head of a smaller tree than the verified one (D03): from a front end that lags, or a forked log, or
// one that lost entries. Proven says that it is known to be consistent.
func (t *Tailer) checkOld(ctx context.Context, head Head, proven bool) (err error) {
	v := t.cur.Verified
	t.skewed(fmt.Sprintf("a front end gives a head of size %d, after one of size %d", head.Size, v.Size))
	since, due := t.lasts(Rollback, "")
	if !proven {
		err = t.retry(ctx, func() error { return t.c.Consistent(ctx, head, v) })
	}
	var fork *ForkError
	var unproven *unprovenError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err == nil:
		t.remember(head)
		t.settled(Inconsistent, "")
	case errors.As(err, &fork):
		return t.forked(fork)
	default:
		t.undecided(head)
		if serr := t.storeUnsettled(ctx); serr != nil {
			return serr
		}
	}
	if shrank := v.Raw != nil && head.Timestamp > v.Timestamp; due && (err != nil || shrank) {
		ev := t.about(head, v)
		ev.From, ev.To, ev.Since = head.Size, v.Size, since
		text := fmt.Sprintf("the log signed a head of size %d, but goes on with smaller ones, of size %d", v.Size, head.Size)
		if err != nil {
			text += "; that the smaller tree is the beginning of the larger one cannot be shown: " + err.Error()
			ev.Answer = disarm(err.Error())
		}
		return t.fault(Rollback, text, ev)
	}
	if errors.As(err, &unproven) {
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
	case err == nil:
		t.settled(Inconsistent, "")
	case errors.As(err, &fork):
		return true, t.forked(fork)
	case errors.As(err, &unproven):
		_ = t.inconsistent(unproven) // the entries decide
	default:
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
		ev := t.about(v)
		ev.To, ev.Want, ev.Got, ev.Proof = final.Size, &want, &fork.Computed, fork.Proof
		if final.Size == v.Size {
			ev.Got = &v.Root
		}
		return t.fault(FalseFinal, fmt.Sprintf("the list gives the final head of size %d with root %s, but the log has %s there", final.Size, want, ev.Got), ev)
	}
	return err
}

// checkKey notes heads that are not signed by the log's key. One may be a broken answer; when a list names the key that
// did sign it, or all are signed by another key for long, the log has changed it, or somebody stands in the path.
func (t *Tailer) checkKey(bad *HeadError) error {
	ev := t.about()
	ev.Heads, ev.Received = []string{string(bad.Raw)}, []time.Time{time.Now().UTC()}
	since, due := t.lasts(KeyChange, "")
	t.mu.Lock()
	t.badAt = time.Now()
	t.mu.Unlock()
	if other, ok := t.signer(bad.Raw); ok {
		ev.OtherKey, ev.Since = other.Key, since
		return t.fault(KeyChange, fmt.Sprintf("the head is not signed by the log's key but by another one that a list names: that of %s (log id %s)", other.Name(), Hash(other.ID)), ev)
	}
	err := t.fault(BadSignature, bad.Error(), ev)
	if due {
		ev.Since = since
		err = t.fault(KeyChange, "no head is signed by the log's key any more"+otherKey(bad.Raw, t.g), ev)
	}
	return err
}

// maxKeys bounds the keys under which a head is tried that the log's key did not sign.
const maxKeys = 1000

// signer finds the log of the lists whose key signed a head in the name of this one.
func (t *Tailer) signer(raw []byte) (other loglist.Log, ok bool) {
	if t.opts.Keys == nil {
		return other, false
	}
	known := t.opts.Keys()
	for _, other := range known[:min(len(known), maxKeys)] {
		if other.ID == t.g.ID {
			continue
		}
		if _, err := VerifyHead(underKey(t.g, other.Key), raw); err == nil {
			return other, true
		}
	}
	return other, false
}

// underKey is the log as if it had another key.
func underKey(log *loglist.Log, key []byte) loglist.Log {
	as := *log
	as.Key, as.ID = key, sha256.Sum256(key)
	return as
}

func (t *Tailer) forked(f *ForkError) error {
	t.setAside(f.Older, f.Newer)
	ev := t.about(f.Older, f.Newer)
	ev.From, ev.To, ev.Want, ev.Got, ev.Proof = f.Older.Size, f.Newer.Size, &f.Older.Root, &f.Computed, f.Proof
	return t.fault(Forked, f.Error(), ev)
}

// inconsistent notes a proof that proves nothing: a cached one as likely as a lying log, so it must last.
func (t *Tailer) inconsistent(u *unprovenError) error {
	since, due := t.lasts(Inconsistent, "")
	if !due {
		return u
	}
	ev := t.about(u.older, u.newer)
	ev.From, ev.To, ev.Want, ev.Proof, ev.Since = u.older.Size, u.newer.Size, &u.older.Root, u.proof, since
	if len(ev.Proof) > maxProofLen {
		ev.Proof = ev.Proof[:maxProofLen]
	}
	return t.fault(Inconsistent, u.Error(), ev)
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
	if !t.newFault(kind, &ev) {
		return
	}
	f := Fault{Kind: kind, Log: Hash(t.g.ID), LogName: t.g.Name(), Text: disarm(text), At: time.Now().UTC()}
	ev.Kind, ev.Text, ev.At = kind, f.Text, f.At
	raw, err := json.Marshal(ev)
	if err != nil { // cannot be: only strings, bytes and numbers
		raw = nil
	}
	f.Evidence = raw
	t.log.Error("log at fault", "kind", kind, "fault", f.Text)
	if t.opts.Fault != nil {
		t.opts.Fault(f)
	}
}
