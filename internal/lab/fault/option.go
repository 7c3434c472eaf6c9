package fault

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An Option is the name of one fault in a specification. Its value is written behind an equals sign.
type Option struct {
	Name string
	// Value says what the value is, or is "" when there is none.
	Value string
	// Kind is "rfc6962" or "static" when only such logs have it.
	Kind string
	Help string

	set func(f *Faults, value string) error
	// draw makes a value for [Random]; nil when the option is never drawn.
	draw func(r *rand.Rand) string
}

func flag(set func(*Faults)) func(*Faults, string) error {
	return func(f *Faults, _ string) error {
		set(f)
		return nil
	}
}

func duration(to func(*Faults) *time.Duration) func(*Faults, string) error {
	return func(f *Faults, v string) (err error) {
		if *to(f), err = time.ParseDuration(v); err == nil && *to(f) <= 0 {
			err = fmt.Errorf("%q is no time span above zero", v)
		}
		return err
	}
}

func number[T int | int64 | uint64](to func(*Faults) *T) func(*Faults, string) error {
	return func(f *Faults, v string) error {
		n, err := strconv.ParseUint(v, 10, 62)
		*to(f) = T(n)
		return err
	}
}

func rate(to func(*Faults) *float64) func(*Faults, string) error {
	return func(f *Faults, v string) (err error) {
		if *to(f), err = strconv.ParseFloat(v, 64); err == nil && !(*to(f) > 0) {
			err = fmt.Errorf("%q is no rate above zero", v)
		}
		return err
	}
}

func always(v ...string) func(*rand.Rand) string {
	return func(r *rand.Rand) string { return v[r.IntN(len(v))] }
}

var none = always("")

// Options are all faults by name, in the order of [Faults].
var Options = []Option{
	{Name: "slow", Value: "SPAN", Help: "wait so long before each answer", set: duration(func(f *Faults) *time.Duration { return &f.Delay }), draw: always("2s", "30s", "90s")},
	{Name: "down", Help: "503 to everything", set: flag(func(f *Faults) { f.Down = true }), draw: none},
	{Name: "refuse", Help: "reset every connection", set: flag(func(f *Faults) { f.Refuse = true }), draw: none},
	{Name: "too-many", Help: "429 to everything", set: flag(func(f *Faults) { f.TooMany = true }), draw: none},
	{Name: "retry-after", Value: "SPAN", Help: "Retry-After with each 429", set: duration(func(f *Faults) *time.Duration { return &f.RetryAfter })},
	{Name: "retry-date", Help: "write Retry-After as a date", set: flag(func(f *Faults) { f.RetryDate = true })},
	{Name: "rate", Value: "NUMBER", Help: "429 above so many requests per second", set: rate(func(f *Faults) *float64 { return &f.Rate }), draw: always("0.05", "0.2", "1")},
	{Name: "rate-errors", Help: "refused requests count against the rate, too", set: flag(func(f *Faults) { f.RateErrors = true })},
	{Name: "rate-reused", Value: "NUMBER", Help: "the rate of requests on a connection that was used before", set: rate(func(f *Faults) *float64 { return &f.RateReused })},
	{Name: "every", Value: "N", Help: "the faults of single answers meet each Nth of them", set: number(func(f *Faults) *int { return &f.Every })},
	{Name: "status", Value: "CODE", Help: "that status for entries and tiles", set: number(func(f *Faults) *int { return &f.Status }), draw: always("500", "408", "400", "404", "502")},
	{Name: "html", Help: "an HTML page with status 200 for entries and tiles", set: flag(func(f *Faults) { f.HTML = true }), draw: none},
	{Name: "empty", Help: "no entries in answers for entries", set: flag(func(f *Faults) { f.Empty = true }), draw: none},
	{Name: "cut", Value: "BYTES", Help: "break off after so many bytes of entries or a tile", set: number(func(f *Faults) *int { return &f.Cut }), draw: always("1", "700", "5000")},
	{Name: "short", Value: "BYTES", Help: "end after so many bytes of entries or a tile", set: number(func(f *Faults) *int { return &f.Short }), draw: always("1", "700", "5000")},
	{Name: "drip", Value: "SPAN", Help: "send entries and tiles byte by byte, with this pause", set: duration(func(f *Faults) *time.Duration { return &f.Drip }), draw: always("1s")},
	{Name: "bad-gzip", Help: "say gzip and send none", set: flag(func(f *Faults) { f.BadGzip = true }), draw: none},
	{Name: "endless", Value: "BYTES", Help: "bodies of so much garbage", set: number(func(f *Faults) *int64 { return &f.Endless })},
	{Name: "bomb", Value: "BYTES", Help: "gzip that unpacks to so many bytes", set: number(func(f *Faults) *int64 { return &f.Bomb })},
	{Name: "endless-head", Value: "BYTES", Help: "heads of so much garbage", set: number(func(f *Faults) *int64 { return &f.EndlessHead })},
	{Name: "wrong-root", Help: "sign a root that is not that of the entries", set: flag(func(f *Faults) { f.WrongRoot = true }), draw: none},
	{Name: "bad-signature", Help: "heads that the key did not sign", set: flag(func(f *Faults) { f.BadSignature = true }), draw: none},
	{Name: "other-key", Help: "heads signed by another key", set: flag(func(f *Faults) { f.OtherKey = true }), draw: none},
	{Name: "freeze", Help: "the head stays as it is, with its date", set: flag(func(f *Faults) { f.Freeze = true }), draw: none},
	{Name: "early-head", Value: "SPAN", Help: "heads dated so much before their newest entry", set: duration(func(f *Faults) *time.Duration { return &f.EarlyHead }), draw: always("161ms", "1h")},
	{Name: "skew", Value: "N", Help: "one of N front ends still has the tree before the last growth", set: number(func(f *Faults) *int { return &f.Skew }), draw: always("1", "2", "3")},
	{Name: "rollback", Value: "N", Help: "the tree as it was N entries ago, under a new date", set: number(func(f *Faults) *uint64 { return &f.Rollback }), draw: always("1", "10", "100")},
	{Name: "fork", Value: "N", Help: "a second tree under the same key, other in the last N entries", set: number(func(f *Faults) *uint64 { return &f.Fork })},
	{Name: "batch", Value: "N", Kind: "rfc6962", Help: "at most N entries per answer", set: number(func(f *Faults) *int { return &f.MaxBatch }), draw: always("1", "7")},
	{Name: "batches", Value: "N/N/…", Kind: "rfc6962", Help: "such limits in turn", set: setBatches, draw: always("256/32/7", "1/1000", "7/1/3")},
	{Name: "aligned", Kind: "rfc6962", Help: "answers end before a multiple of 256", set: flag(func(f *Faults) { f.Aligned = true }), draw: none},
	{Name: "alter-entry", Value: "INDEX", Help: "another entry than the hashed one at that index", set: setAltered, draw: func(r *rand.Rand) string { return strconv.Itoa(r.IntN(200)) }},
	{Name: "never-merge", Help: "SCTs for what never gets into the tree", set: flag(func(f *Faults) { f.NeverMerge = true })},
	{Name: "closed", Help: "take no submissions", set: flag(func(f *Faults) { f.Closed = true })},
	{Name: "wrong-issuer", Kind: "static", Help: "another certificate as issuer", set: flag(func(f *Faults) { f.WrongIssuer = true }), draw: none},
	{Name: "missing-tile", Value: "PATH", Kind: "static", Help: "404 for this tile", set: func(f *Faults, v string) error { f.MissingTile = v; return nil }, draw: always("tile/data/000", "tile/0/000", "tile/data/001")},
	{Name: "partials-gone", Kind: "static", Help: "404 for partial tiles whose full tile exists", set: flag(func(f *Faults) { f.PartialsGone = true }), draw: none},
	{Name: "short-tile", Value: "N", Kind: "static", Help: "only N entries in full tiles", set: number(func(f *Faults) *int { return &f.ShortTile }), draw: always("24", "255")},
	{Name: "short-cached", Value: "N", Kind: "static", Help: "the same for who does not ask past caches", set: number(func(f *Faults) *int { return &f.ShortCached }), draw: always("24")},
	{Name: "listed", Value: "STATE", Help: "what the list says of the log: usable, readonly, retired, absent", set: setListed},
}

func setBatches(f *Faults, v string) error {
	f.Batches = nil
	for s := range strings.SplitSeq(v, "/") {
		n, err := strconv.ParseUint(s, 10, 31)
		if err != nil || n == 0 {
			return fmt.Errorf("%q is no list of numbers as 256/32/7", v)
		}
		f.Batches = append(f.Batches, int(n))
	}
	return nil
}

func setAltered(f *Faults, v string) error {
	n, err := strconv.ParseUint(v, 10, 62)
	f.AlterEntry = &n
	return err
}

func setListed(f *Faults, v string) error {
	if !slices.Contains([]string{"usable", "readonly", "retired", "absent"}, v) {
		return fmt.Errorf("%q is not usable, readonly, retired or absent", v)
	}
	f.Listed = v
	return nil
}

// Parse reads faults as "OPTION[=VALUE]" joined by plus signs.
func Parse(text string) (f Faults, err error) {
	for one := range strings.SplitSeq(text, "+") {
		name, value, valued := strings.Cut(one, "=")
		i := slices.IndexFunc(Options, func(o Option) bool { return o.Name == name })
		if i < 0 {
			return f, fmt.Errorf("there is no fault %q", name)
		}
		if o := &Options[i]; valued != (o.Value != "") {
			return f, fmt.Errorf("fault %q: write it as %s", one, o)
		} else if err := o.set(&f, value); err != nil {
			return f, fmt.Errorf("fault %q: %w", one, err)
		}
	}
	return f, nil
}

// String is how the option is written.
func (o *Option) String() string {
	if o.Value == "" {
		return o.Name
	}
	return o.Name + "=" + o.Value
}
