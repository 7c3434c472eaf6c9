package ctlog

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/tocsin-ct/tocsin/loglist"
)

// Condition is a state of a log that hinders reading and accuses nobody. It is told once when it has lasted for the
// patience of its kind, and once more, with Resolved, when it is over.
type Condition struct {
	Kind     FaultKind `json:"kind"`
	Log      Hash      `json:"log"` // log id
	LogName  string    `json:"log_name"`
	Severity Severity  `json:"severity"`
	// Text is one sentence for people, bounded, free of control characters.
	Text  string    `json:"text"`
	Since time.Time `json:"since"`
	// At is when it was told.
	At       time.Time `json:"at"`
	Resolved bool      `json:"resolved,omitempty"`
}

// lasting is a condition from its first sign on.
type lasting struct {
	since, last time.Time
	text        string
	told, ended bool
}

// occurs notes a sign of a condition; since is when it began, zero for now.
func (t *tailerStatus) occurs(kind FaultKind, since time.Time, text string) {
	now := time.Now()
	if since.IsZero() {
		since = now
	}
	if t.conditions == nil {
		t.conditions = map[FaultKind]*lasting{}
	}
	c := t.conditions[kind]
	if c == nil || c.ended && !c.told {
		c = &lasting{since: since}
		t.conditions[kind] = c
	}
	c.last, c.text, c.ended = now, disarm(text), false
}

// over notes that a condition does not hold any more.
func (t *tailerStatus) over(kind FaultKind) {
	if c := t.conditions[kind]; c != nil {
		c.ended = true
	}
}

// visible reports whether a condition has lasted for long enough.
func (c *lasting) visible(kind Kind, now time.Time) bool {
	return !c.ended && now.Sub(c.since) >= kind.patience && (kind.calm == 0 || now.Sub(c.last) < kind.calm)
}

func (t *tailerStatus) condition(kind Kind, c *lasting, now time.Time) Condition {
	return Condition{Kind: kind.Name, Log: Hash(t.log.ID), LogName: t.log.Name(), Severity: kind.Severity, Text: c.text, Since: c.since.UTC(), At: now.UTC()}
}

// changed returns what is to be told about conditions now: begun first, then resolved, in the order of the table.
func (t *tailerStatus) changed() (tell []Condition) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	for _, kind := range kinds {
		c := t.conditions[kind.Name]
		if c == nil {
			continue
		}
		if !c.told && c.visible(kind, now) {
			c.told = true
			tell = append(tell, t.condition(kind, c, now))
		}
		if c.ended || kind.calm > 0 && now.Sub(c.last) >= kind.calm {
			delete(t.conditions, kind.Name)
			if c.told {
				done := t.condition(kind, c, now)
				done.Resolved = true
				tell = append(tell, done)
			}
		}
	}
	return tell
}

// holding are the conditions that are visible now. Locked by the caller.
func (t *tailerStatus) holding(now time.Time) (out []Condition) {
	for _, kind := range kinds {
		if c := t.conditions[kind.Name]; c != nil && c.visible(kind, now) {
			out = append(out, t.condition(kind, c, now))
		}
	}
	return out
}

// tellConditions tells what began and what is over.
func (t *Tailer) tellConditions() {
	for _, c := range t.changed() {
		if c.Resolved {
			t.log.Info("condition of a log is over", "kind", c.Kind, "since", c.Since)
		} else {
			t.log.Warn("condition of a log", "kind", c.Kind, "since", c.Since, "text", c.Text)
		}
		if t.opts.Condition != nil {
			t.opts.Condition(c)
		}
	}
}

// tooMany reports an answer that limits the rate: some logs say it with 503.
func tooMany(err error) bool {
	var s *StatusError
	return errors.As(err, &s) && (s.Code == http.StatusTooManyRequests || s.Code == http.StatusServiceUnavailable && s.RetryAfter > 0)
}

// notThere reports an answer that says that there is no such thing, or nothing of it.
func notThere(err error) bool {
	var s *StatusError
	var tile *tileError
	return errors.Is(err, errEmpty) || errors.As(err, &tile) ||
		errors.As(err, &s) && s.Code >= 400 && s.Code < 500 && s.Code != http.StatusTooManyRequests && s.Code != http.StatusRequestTimeout
}

// classify notes what a failed request is a sign of. Locked by the caller.
func (t *tailerStatus) classify(err error) {
	var own *deliveryError
	var bad *HeadError
	var noHead *notHeadError
	var fork *ForkError
	switch {
	case errors.As(err, &own), errors.As(err, &fork), errors.As(err, &bad) && !errors.As(err, &noHead):
	case notThere(err): // an answer; see skewed and failedHead
	case tooMany(err):
		t.occurs(RateLimited, time.Time{}, "the log refuses requests as too many: "+err.Error())
	default:
		t.occurs(Unreachable, time.Time{}, err.Error())
	}
}

// checkFresh holds the newest head against the maximum merge delay. A log that takes nothing more needs no new heads.
func (t *Tailer) checkFresh(head Head) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.newest = max(t.newest, head.Timestamp)
	mmd := t.g.MMD
	if mmd <= 0 {
		mmd = unknownMMD
	}
	newest := (&Head{Timestamp: t.newest}).Time()
	due := newest.Add(mmd)
	switch t.g.State {
	case loglist.ReadOnly, loglist.Retired, loglist.Rejected:
		return
	}
	if late := time.Since(due); late > 0 {
		t.occurs(Stale, due, fmt.Sprintf("the newest head is of %s by the log's clock, %v older than its maximum merge delay of %v allows by ours",
			newest.Format(time.RFC3339), late.Round(time.Second), mmd))
		return
	}
	t.over(Stale)
}

// skewed notes that an answer came from an older tree than another one.
func (t *Tailer) skewed(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.occurs(Skew, time.Time{}, text)
}

func (t *Tailer) aligned() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over(Skew)
}

// Doubt is something that would accuse the log, if it lasts: since when, and when that was last seen.
type Doubt struct {
	Since time.Time `json:"since"`
	Last  time.Time `json:"last"`
}

// Bounds of doubts.
const (
	maxDoubts   = 64
	doubtRhythm = 5 * time.Minute // in which doubts are stored
)

// lasts notes a doubt and reports since when it holds, and whether that is longer than the patience of its kind. After
// a long time without a sign of it, it begins anew.
func (t *Tailer) lasts(kind FaultKind, about string) (since time.Time, due bool) {
	now := time.Now()
	key := kind + " " + about
	d := t.doubts[key]
	if d == nil || now.Sub(d.Last) > t.forgotten() {
		if len(t.doubts) >= maxDoubts {
			clear(t.doubts)
		}
		d = &Doubt{Since: now}
		t.doubts[key] = d
	}
	d.Last = now
	return d.Since, now.Sub(d.Since) >= mustKind(kind).Patience(t.g.MMD)
}

// forgotten is after which time without a sign a doubt is over.
func (t *Tailer) forgotten() time.Duration { return max(absentAgain, 2*t.opts.Poll) }

// settled forgets a doubt.
func (t *Tailer) settled(kind FaultKind, about string) { delete(t.doubts, kind+" "+about) }

// lastingKinds are those whose doubts outlive a restart.
var lastingKinds = []FaultKind{Rollback, Inconsistent, KeyChange}

// recallDoubts takes over what the cursor holds of the time before a restart.
func (t *Tailer) recallDoubts() {
	for _, kind := range lastingKinds {
		if d, ok := t.cur.Doubts[kind]; ok {
			t.doubts[kind+" "] = &Doubt{d.Since, d.Last}
		}
	}
}

// storeDoubts stores now and then what would accuse the log if it lasts, so that a restart does not forget it.
func (t *Tailer) storeDoubts(ctx context.Context) error {
	if !t.cur.Begun || ctx.Err() != nil {
		return nil
	}
	want, changed := map[FaultKind]Doubt{}, false
	for _, kind := range lastingKinds {
		d, stored := t.doubts[kind+" "], t.cur.Doubts[kind]
		if d == nil || d.Last.Sub(d.Since) < doubtRhythm {
			changed = changed || !stored.Since.IsZero()
			continue
		}
		want[kind] = Doubt{d.Since.UTC(), d.Last.UTC()}
		if d.Last.Sub(stored.Last) < doubtRhythm {
			want[kind] = stored
		} else {
			changed = true
		}
	}
	if !changed {
		return nil
	}
	cur := t.cur
	if cur.Doubts = want; len(want) == 0 {
		cur.Doubts = nil
	}
	return t.deliver(ctx, nil, cur, cur.Target)
}
