package ctlog

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/tocsin-ct/tocsin/loglist"
)

// Verdict is what a piece of evidence is worth to somebody who was not there.
type Verdict string

// The verdicts, from strong to weak.
const (
	// Proven: the signatures of the log alone convict it.
	Proven Verdict = "proven"
	// Shown: everything in the evidence fits together, but part of it is not signed by the log. Whoever believes that
	// the log served that part, or asks for it and gets the same, has the proof.
	Shown Verdict = "shown"
	// Nothing: evidence of this kind proves nothing to others, however true it is.
	Nothing Verdict = "nothing"
)

// Finding is what the verification of evidence came to.
type Finding struct {
	Kind    FaultKind `json:"kind"`
	Verdict Verdict   `json:"verdict"`
	// Text says what is proven, or what is not and why.
	Text string `json:"text"`
	// Heads are the heads whose signature verified.
	Heads []Head `json:"heads,omitempty"`

	mmd time.Duration // of the log as the verifier knows it; 0 when he does not
}

// Verify checks evidence offline under the key of the log, which the verifier brings himself. An error means that the
// evidence is not what it says: damaged, forged, or of another log.
func (ev *Evidence) Verify(log loglist.Log) (f Finding, err error) {
	f.Kind, f.mmd = ev.Kind, log.MMD
	if !bytes.Equal(ev.Key, log.Key) {
		return f, fmt.Errorf("the evidence is about the log with the key id %x, not about %s", sum(ev.Key), log.Name())
	}
	check := map[FaultKind]func(*Finding) error{
		BadSignature: ev.unsigned, KeyChange: func(f *Finding) error { return ev.keyChange(f, &log) }, WrongRoot: ev.wrongRoot, Forked: ev.forked, Inconsistent: ev.inconsistent,
		Rollback: ev.rollback, NotMerged: ev.notMerged, BadTile: ev.badTile, Withheld: ev.withheld, FalseTime: ev.falseTime, FalseFinal: ev.falseFinal,
	}[ev.Kind]
	if check == nil {
		return f, fmt.Errorf("%q is no kind of fault that can be verified", disarm(ev.Kind))
	}
	unsigned := ev.Kind == BadSignature || ev.Kind == KeyChange
	for i, raw := range ev.Heads {
		h, err := VerifyHead(log, []byte(raw))
		switch {
		case err != nil && !unsigned:
			return f, fmt.Errorf("head %d of the evidence: %w", i+1, err)
		case err == nil && unsigned:
			return f, fmt.Errorf("head %d of the evidence is well signed by the log", i+1)
		case err == nil:
			h.Received = at(ev.Received, i)
			f.Heads = append(f.Heads, h)
		}
	}
	return f, check(&f)
}

func sum(key []byte) []byte {
	h := sha256.Sum256(key)
	return h[:8]
}

func at[T any](list []T, i int) (v T) {
	if i < len(list) {
		v = list[i]
	}
	return v
}

var errNoHead = errors.New("the evidence holds no head of the log")

func (ev *Evidence) unsigned(f *Finding) error {
	if len(ev.Heads) == 0 {
		return errNoHead
	}
	f.Verdict = Nothing
	f.Text = "The head is not signed by the log's key, as the evidence says. Anybody can make such a head: it proves nothing about who did."
	return nil
}

func (ev *Evidence) keyChange(f *Finding, log *loglist.Log) error {
	if err := ev.unsigned(f); err != nil || ev.OtherKey == nil {
		return err
	}
	for i, raw := range ev.Heads {
		h, err := VerifyHead(underKey(log, ev.OtherKey), []byte(raw))
		if err != nil {
			return fmt.Errorf("head %d of the evidence is not signed by the other key in it: %w", i+1, err)
		}
		h.Received = at(ev.Received, i)
		f.Heads = append(f.Heads, h)
	}
	f.Text = fmt.Sprintf("The head is not signed by the log's key but by the one with the id %s, as the evidence says. That it came from this log's address is the word of who collected it: it proves nothing about who gave it.",
		Hash(sha256.Sum256(ev.OtherKey)))
	return nil
}

func (ev *Evidence) forked(f *Finding) error {
	switch {
	case len(f.Heads) == 0:
		return errNoHead
	case len(f.Heads) == 1:
		f.Verdict = Nothing
		f.Text = "The evidence holds only one signed head: the other tree was known from proofs, not from a head. It proves nothing to others."
		return nil
	}
	a, b := f.Heads[0], f.Heads[1]
	if a.Size > b.Size {
		return errors.New("the heads are not in the order of their sizes")
	}
	if a.Size == b.Size {
		if a.Root == b.Root {
			return errors.New("both heads have the same root: they agree")
		}
		f.Verdict = Proven
		f.Text = fmt.Sprintf("The log signed two heads of size %d with different roots, %s and %s: it showed two trees.", a.Size, a.Root, b.Root)
		return nil
	}
	if ev.Got == nil || *ev.Got == a.Root || a.Size == 0 {
		return errors.New("the evidence names no other root for the smaller size")
	}
	if len(ev.Proof) == 0 {
		f.Verdict = Nothing
		f.Text = "Both heads are signed, but the proof that ties the other root to the larger head is missing: that they contradict each other is not proven."
		return nil
	}
	if err := verifyConsistency(Head{Size: a.Size, Root: *ev.Got}, b, ev.Proof); err != nil {
		return fmt.Errorf("the proof does not hold: %w", err)
	}
	f.Verdict = Proven
	f.Text = fmt.Sprintf("The log signed the root %s for size %d. The tree of the head that it signed for size %d has the root %s there: it showed two trees.",
		a.Root, a.Size, b.Size, *ev.Got)
	return nil
}

func (ev *Evidence) rollback(f *Finding) error {
	if len(f.Heads) < 2 {
		return errNoHead
	}
	small, large := f.Heads[0], f.Heads[1]
	switch {
	case small.Size >= large.Size:
		return errors.New("the heads do not shrink")
	case small.Timestamp > large.Timestamp:
		f.Verdict = Proven
		f.Text = fmt.Sprintf("The log signed a head of size %d at %s and one of size %d later, at %s: its tree shrank.", large.Size,
			large.Time().Format(time.RFC3339), small.Size, small.Time().Format(time.RFC3339))
	default:
		f.Verdict = Nothing
		f.Text = fmt.Sprintf("Both heads are signed, and the smaller one is older, as it should be. That the log still gave it at %s is the word of who collected this: it proves nothing to others.",
			ev.At.UTC().Format(time.RFC3339))
	}
	return nil
}

func (ev *Evidence) inconsistent(f *Finding) error {
	if len(f.Heads) < 2 {
		return errNoHead
	}
	if err := verifyConsistency(f.Heads[0], f.Heads[1], ev.Proof); err == nil {
		return errors.New("the proof verifies: the heads agree")
	}
	f.Verdict = Shown
	f.Text = fmt.Sprintf("Both heads, of sizes %d and %d, are signed, and the proof between them does not verify. A proof is not signed: ask the log for it.", f.Heads[0].Size, f.Heads[1].Size)
	return nil
}

// path checks the audit path of a leaf hash under the first head.
func (ev *Evidence) path(f *Finding, leaf Hash) error {
	h := f.Heads[0]
	if ev.EntryIndex >= h.Size {
		return fmt.Errorf("entry %d is beyond the head of size %d", ev.EntryIndex, h.Size)
	}
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, ev.EntryIndex, h.Size, leaf[:], hashSlices(ev.EntryPath), h.Root[:]); err != nil {
		return fmt.Errorf("the audit path of entry %d does not lead to the signed root: %w", ev.EntryIndex, err)
	}
	return nil
}

func (ev *Evidence) wrongRoot(f *Finding) error {
	if len(f.Heads) == 0 {
		return errNoHead
	}
	if ev.EntryHash == nil || ev.Entry == nil {
		f.Verdict = Nothing
		f.Text = fmt.Sprintf("The head of size %d is signed. The log gave no proofs by which the first wrong entry could be shown: read the entries %d to %d and compare the root with %v.",
			f.Heads[0].Size, ev.From, ev.To, ev.Got)
		return nil
	}
	if err := ev.path(f, *ev.EntryHash); err != nil {
		return err
	}
	var h leafHasher
	got := Hash(h.sum(ev.Entry))
	if got == *ev.EntryHash {
		return fmt.Errorf("entry %d is the one that the head signs", ev.EntryIndex)
	}
	f.Verdict = Shown
	f.Text = fmt.Sprintf("The head of size %d commits to the leaf hash %s at index %d; the entry in the evidence hashes to %s. Entries are not signed: ask the log for entry %d, and if it is this one, the log is convicted.",
		f.Heads[0].Size, *ev.EntryHash, ev.EntryIndex, got, ev.EntryIndex)
	return nil
}

func (ev *Evidence) falseTime(f *Finding) error {
	if len(f.Heads) == 0 {
		return errNoHead
	}
	if ev.Entry == nil {
		f.Verdict = Nothing
		f.Text = fmt.Sprintf("The head is signed, but entry %d with its audit path is missing: ask the log for it.", ev.From)
		return nil
	}
	var e Entry
	ReadMerkleTreeLeaf(&e, ev.Entry)
	if e.Problem != "" {
		return fmt.Errorf("the entry cannot be read: %s", disarm(e.Problem))
	}
	if err := ev.path(f, e.Hash()); err != nil {
		return err
	}
	if e.Timestamp <= f.Heads[0].Timestamp {
		return fmt.Errorf("entry %d is not later than the head", ev.EntryIndex)
	}
	f.Verdict = Proven
	f.Text = fmt.Sprintf("The head of size %d has the timestamp %d and covers entry %d with the later timestamp %d: %d ms.", f.Heads[0].Size,
		f.Heads[0].Timestamp, ev.EntryIndex, e.Timestamp, e.Timestamp-f.Heads[0].Timestamp)
	return nil
}

func (ev *Evidence) badTile(f *Finding) error {
	if len(f.Heads) == 0 {
		return errNoHead
	}
	if ev.Tile == "" || ev.TileSize != len(ev.TileBytes) {
		f.Verdict = Nothing
		f.Text = "The head is signed, but the tile is not in the evidence: ask the log for it."
		return nil
	}
	n, whole := ev.TileSize/32, ev.TileSize%32 == 0
	if strings.HasPrefix(ev.Tile, "tile/data/") {
		var b Batch
		whole = ReadDataTile(bytes.Clone(ev.TileBytes), 0, &b) == nil
		n = len(b.Entries)
	}
	if whole && n == TileWidth {
		return errors.New("the tile is a full one")
	}
	f.Verdict = Shown
	f.Text = fmt.Sprintf("The head of size %d is signed; the tile %s in the evidence, of %d bytes, holds %d that can be read where %d belong. A tile is not signed: ask the log for it.",
		f.Heads[0].Size, disarm(ev.Tile), ev.TileSize, n, TileWidth)
	return nil
}

func (ev *Evidence) withheld(f *Finding) error {
	if len(f.Heads) == 0 {
		return errNoHead
	}
	if ev.From >= f.Heads[0].Size {
		return fmt.Errorf("entry %d is beyond the head of size %d", ev.From, f.Heads[0].Size)
	}
	f.Verdict = Nothing
	f.Text = fmt.Sprintf("The log signed a head of size %d, which covers the entries from %d on. That it does not serve them cannot be proven to others: ask the log for them.", f.Heads[0].Size, ev.From)
	return nil
}

func (ev *Evidence) falseFinal(f *Finding) error {
	if len(f.Heads) == 0 {
		return errNoHead
	}
	if ev.Want == nil || ev.Got == nil || *ev.Want == *ev.Got {
		return errors.New("the evidence names no other root")
	}
	h := f.Heads[0]
	if ev.To == 0 || ev.To > h.Size {
		return fmt.Errorf("size %d is not within the head of size %d", ev.To, h.Size)
	}
	if ev.To == h.Size && *ev.Got != h.Root {
		return errors.New("the root is not that of the head")
	}
	if ev.To != h.Size {
		if err := verifyConsistency(Head{Size: ev.To, Root: *ev.Got}, h, ev.Proof); err != nil {
			return fmt.Errorf("the proof does not hold: %w", err)
		}
	}
	f.Verdict = Shown
	f.Text = fmt.Sprintf("The log's signed tree has the root %s at size %d; the list is said to give %s. A list's head is not signed by the log: compare the list.", *ev.Got, ev.To, *ev.Want)
	return nil
}
