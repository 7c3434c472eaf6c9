package expectation

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-ct/tocsin/internal/watch"
)

// Scope is what a token may do.
type Scope struct {
	// Watches are the watches, by name, within which every announced name must lie.
	Watches []string `json:"watches"`
	// MaxCount is how many issuances it may announce: over its whole life, or within any span of Per where that is set.
	// What was announced and not used is not given back.
	MaxCount int      `json:"max_count"`
	Per      Duration `json:"per,omitempty"`
	// MaxFor is the longest that one announcement may last.
	MaxFor Duration `json:"max_for"`
	// Expires ends the token, and with it all that it announced.
	Expires time.Time `json:"expires"`
}

// Duration is a time.Duration that JSON shows as a text ("2h0m0s").
type Duration time.Duration

// MarshalJSON writes the text.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// UnmarshalJSON reads the text.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return err
	}
	v, err := time.ParseDuration(text)
	*d = Duration(v)
	return err
}

func (d Duration) String() string { return time.Duration(d).String() }

// Bounds of tokens.
const (
	maxLife    = 2 * 366 * 24 * time.Hour
	maxInAll   = 100_000
	maxOfScope = 50 // watches
)

// Check says what is wrong with a scope as it is made. watches are the names of the watches there are; nil when not
// known.
func (s *Scope) Check(watches []string, now time.Time) error {
	if len(s.Watches) == 0 || len(s.Watches) > maxOfScope {
		return refuse("watch", "a token is for 1 to 50 watches", "name the watches whose certificates it may announce")
	}
	for _, w := range s.Watches {
		if watches != nil && !slices.Contains(watches, w) {
			return refuse("watch", fmt.Sprintf("there is no watch named %q", clip(w)), "watches are named in the config: "+clip(strings.Join(watches, ", ")))
		}
	}
	switch life := s.Expires.Sub(now); {
	case s.MaxCount < 1 || s.MaxCount > maxInAll:
		return refuse("max-count", fmt.Sprintf("%d is not from 1 to %d", s.MaxCount, maxInAll), "it is how many issuances a thief of the token could hush")
	case s.MaxFor < Duration(minFor) || s.MaxFor > Duration(MaxFor):
		return refuse("max-for", fmt.Sprintf("%s is not from 1m to 90d", s.MaxFor), "it is how long one announcement may last")
	case s.Per != 0 && (s.Per < Duration(time.Minute) || s.Per > Duration(maxLife)):
		return refuse("per", fmt.Sprintf("%s is not from 1m to two years", s.Per), "max-count then counts within any such span")
	case life <= 0 || life > maxLife:
		return refuse("expires", "the token must end, within two years from now", "write a date, or how long from now: 90d")
	}
	return nil
}

// Demand is what somebody wants to do with a token.
type Demand struct {
	Names []string
	// Count is how many issuances it hushes at most.
	Count int
	// Until is when it ends; zero for one certificate that is here already.
	Until time.Time
	// Keyed says that the key is given.
	Keyed bool
}

// Grant is what a token was given before.
type Grant struct {
	At    time.Time
	Count int
}

// RefusedError says why a token may not do what it asked for.
type RefusedError struct{ Why string }

func (e *RefusedError) Error() string { return e.Why }

// Allows is the whole decision whether a token with this scope may do what is demanded. watches are those there are.
func (s *Scope) Allows(d Demand, revoked time.Time, watches []watch.Watch, history []Grant, now time.Time) error {
	no := func(format string, args ...any) error { return &RefusedError{fmt.Sprintf(format, args...)} }
	switch {
	case !revoked.IsZero():
		return no("the token was revoked")
	case !now.Before(s.Expires):
		return no("the token has expired")
	case !d.Keyed:
		return no("a token can announce only with a key or a CSR")
	case d.Count < 1:
		return no("nothing is announced")
	case len(d.Names) == 0:
		return no("no name is announced")
	case d.Until.After(now.Add(time.Duration(s.MaxFor))):
		return no("it would last longer than %s, which is the most for this token", s.MaxFor)
	case d.Until.After(s.Expires):
		return no("it would outlast the token, which ends %s", s.Expires.UTC().Format(time.RFC3339))
	}
	var items []watch.Item
	for i := range watches {
		if slices.Contains(s.Watches, watches[i].Name) {
			items = append(items, watches[i].Items...)
		}
	}
	if out := Outside(d.Names, items); len(out) > 0 {
		return no("%s is not within %s, and the token is for nothing else", clip(out[0]), clip(strings.Join(s.Watches, ", ")))
	}
	granted := 0
	for _, g := range history {
		if s.Per == 0 || now.Sub(g.At) < time.Duration(s.Per) {
			granted += g.Count
		}
	}
	if granted+d.Count > s.MaxCount {
		span := "in all"
		if s.Per != 0 {
			span = "within " + s.Per.String()
		}
		return no("%d more would be more than %d issuances %s, of which %d are announced", d.Count, s.MaxCount, span, granted)
	}
	return nil
}

// Most is how many issuances whoever has the token from now on could hush.
func (s *Scope) Most(now time.Time) int {
	if s.Per == 0 || now.After(s.Expires) {
		return s.MaxCount
	}
	spans := int(s.Expires.Sub(now)/time.Duration(s.Per)) + 1
	return s.MaxCount * spans
}

// Outside returns the names that lie in none of the items.
func Outside(names []string, items []watch.Item) (out []string) {
	for _, n := range names {
		if !slices.ContainsFunc(items, func(i watch.Item) bool { return within(n, &i) }) {
			out = append(out, n)
		}
	}
	return out
}

func within(name string, i *watch.Item) bool {
	if text, ok := addressOf(name); ok {
		return i.Prefix.IsValid() && i.Prefix.Contains(netip.MustParseAddr(text))
	}
	if i.Name == "" {
		return false
	}
	base, star := strings.CutPrefix(name, "*.")
	if i.Exact {
		return !star && base == i.Name
	}
	return base == i.Name || strings.HasSuffix(base, "."+i.Name)
}

// NewToken makes the secret of a token. text is what its holder sends; id and hash are what is kept.
func NewToken() (text, id string, hash [32]byte) {
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // never fails (crypto/rand)
	id = newID()
	text = tokenMark + id + "_" + hex.EncodeToString(secret[:])
	return text, id, sha256.Sum256([]byte(text))
}

const tokenMark = "tocsin_"

var errToken = errors.New("this is no token")

// TokenID reads the id out of a token, without judging it.
func TokenID(text string) (id string, err error) {
	rest, ok := strings.CutPrefix(text, tokenMark)
	id, secret, two := strings.Cut(rest, "_")
	if !ok || !two || len(id) != 12 || len(secret) != 64 {
		return "", errToken
	}
	return id, nil
}

// SameToken compares a token with the hash that was kept, in constant time.
func SameToken(text string, hash [32]byte) bool {
	have := sha256.Sum256([]byte(text))
	return subtle.ConstantTimeCompare(have[:], hash[:]) == 1
}
