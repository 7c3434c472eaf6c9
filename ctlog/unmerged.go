package ctlog

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// NotMerged is the kind of fault of a log that has not kept the promise of an SCT. No tailer finds it, and so it is not
// among [Kinds]: who meets an SCT asks for [Client.Inclusion].
const NotMerged FaultKind = "sct-not-merged"

// notMerged checks that the log has signed the SCT over the entry, and the head after the time at which the promise was
// due, or that it is said to have given none from after it; and what the evidence shows of the tree.
func (ev *Evidence) notMerged(f *Finding) error {
	if len(f.Heads) == 0 {
		return errNoHead
	}
	head := f.Heads[0]
	log, err := ev.LogFor(ev.Key) // the key is the verifier's: Verify has compared them
	if err != nil {
		return err
	}
	v, err := newVerifier(&log)
	if err != nil {
		return err
	}
	s := reader{b: ev.SCT}
	version, id, timestamp, extensions := s.uint(1), s.take(32), s.uint(8), s.vector(2)
	if s.err != nil || version != 0 || [32]byte(id) != log.ID {
		return errors.New("the SCT cannot be read, or is another log's")
	}
	if err := v.signed(ev.Entry, s.b); err != nil {
		return errors.New("the signature of the SCT over the entry does not verify under the log's key")
	}
	// What an SCT signs is the leaf itself, byte for byte (RFC 6962 sections 3.2 and 3.4).
	var e Entry
	if ReadMerkleTreeLeaf(&e, ev.Entry); e.Problem != "" || e.Timestamp != timestamp || string(e.Extensions) != string(extensions) {
		return errors.New("the entry is not the one of the SCT")
	}
	mmd := ev.Log.MMD
	if !(mmd > 0 && mmd < 1e9) {
		return errors.New("the evidence does not say within which time the log has to merge")
	}
	if f.mmd > 0 { // nobody signed that of the evidence
		mmd = f.mmd.Seconds()
	}
	due := float64(timestamp) + math.Ceil(mmd*1000)
	late := float64(head.Timestamp) >= due
	if !late && (head.Received.IsZero() || float64(head.Received.UnixMilli()) < due) {
		return fmt.Errorf("the head is of %s: the log still had time to merge", head.Time().Format(time.RFC3339))
	}
	leaf := Hash(e.Hash())
	f.Text = fmt.Sprintf("The log signed at %s the promise to merge the leaf %s within %s, and at %s a head of size %d.", e.Time().Format(time.RFC3339), leaf,
		time.Duration(mmd*float64(time.Second)), head.Time().Format(time.RFC3339), head.Size)
	index, ok := leafIndex(extensions)
	switch {
	case !late && !(ok && ev.EntryHash != nil): // what stands at an index stays there, whenever it came
		f.Verdict = Shown
		f.Text += fmt.Sprintf(" That is before the promise was due; that it was still the newest head at %s is the word of who collected this: ask the log for its head. While it has none from after %s, the promise is broken, whether or not the log has merged the leaf out of sight.",
			head.Received.UTC().Format(time.RFC3339), time.UnixMilli(int64(due)).UTC().Format(time.RFC3339))
		return nil
	case ok && index >= head.Size:
		f.Verdict = Proven
		f.Text += fmt.Sprintf(" It promised the index %d, which that tree does not reach.", index)
	case ok && ev.EntryHash != nil:
		if ev.EntryIndex != index {
			return fmt.Errorf("the evidence is about entry %d, the SCT about %d", ev.EntryIndex, index)
		}
		if *ev.EntryHash == leaf {
			return errors.New("the tree holds the leaf that was promised")
		}
		if err := ev.path(f, *ev.EntryHash); err != nil {
			return err
		}
		f.Verdict = Proven
		f.Text += fmt.Sprintf(" It promised the index %d, where that tree holds another leaf, %s.", index, *ev.EntryHash)
	default:
		f.Verdict = Shown
		f.Text += " Nobody can prove an absence: ask the log for a proof that this leaf is in that tree. If it has none, it is convicted."
	}
	if f.mmd <= 0 && f.Verdict == Proven {
		f.Verdict = Shown
		f.Text += " Only the evidence says how much time the log has to merge: compare the log list, or verify with it."
	}
	return nil
}

// leafIndex is the index in the CtExtensions of a static log (static-ct-api, SCT Extension): exactly one of type 0.
func leafIndex(extensions []byte) (index uint64, ok bool) {
	s := reader{b: extensions}
	for len(s.b) > 0 {
		kind := s.uint(1)
		data := reader{b: s.vector(2)}
		switch {
		case s.err != nil || kind == 0 && (ok || len(data.b) != 5):
			return 0, false
		case kind == 0:
			index, ok = data.uint(5), true
		}
	}
	return index, ok
}
