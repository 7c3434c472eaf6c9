package lab

import (
	"context"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-ct/tocsin/internal/lab/ca"
)

// Want is how a scenario must end.
type Want string

// The two ends of a scenario.
const (
	Ring    Want = "ring"
	Silence Want = "silence"
)

// The rules of internal/policy that scenarios name; the lab does not import it, so that it can judge it.
const (
	RuleIssuer = "issuer"
	RuleKey    = "key"
)

// World is what a scenario may depend on. The zero value is usable.
type World struct {
	// Now is the time at which the certificates are issued; zero means the present.
	Now time.Time
	// Seed makes the same keys each time, except RSA keys; empty makes fresh ones.
	Seed string
	// Dir is the absolute directory into which the runner will write [Plan.Files]. When empty, configurations name
	// keys by their hash only.
	Dir string
	// Renewals is the number of legitimate certificates; 0 means the number of the scenario.
	Renewals int
}

// Plan is a scenario made ready: pure data, nothing has been sent.
type Plan struct {
	// Config is the text of a tocsin.yaml.
	Config string
	// Files belong into World.Dir before the configuration is read; slash-separated names.
	Files map[string][]byte
	// Roots must be accepted by both logs.
	Roots [][]byte
	// Submissions are to be made in this order.
	Submissions []Submission
}

// Submission is one issuance and what is done with it. However many entries it becomes, it rings once or not at all.
type Submission struct {
	Label  string
	Issued *ca.Issued
	// To says which logs; zero means both.
	To Logs
	// AsPrecert and AsFinal say what is logged; both means first the precertificate, then the certificate with the
	// SCTs of those logs.
	AsPrecert, AsFinal bool
	// Rings is set when this issuance must ring.
	Rings bool
	// Neighbour is set when it touches no watch: it is neither told nor filed.
	Neighbour bool
	// Rule is the rule that must stand, not held, among the reasons. Reason is a text that must stand in the alarm
	// beside it: the name of the issuer, or where only the key tells, a matched name. Both are empty when Rings is not
	// set.
	Rule, Reason string
}

// Scenario is one incident to replay.
type Scenario struct {
	Name  string
	About string
	Want  Want
	Build func(*World) (*Plan, error)
}

// Scenarios are all scenarios, the default one first.
func Scenarios() []Scenario {
	return []Scenario{
		{"fina-2025", "a CA of one root program signs test names together with 1.1.1.1, unseen among 200 renewals", Ring, fina2025},
		{"icp-brasil-2024", "a CA of one root program, never chosen, signs a name", Ring, icpBrasil2024},
		{"diginotar-2011", "a breached CA signs a wildcard that stands only in the common name", Ring, diginotar2011},
		{"same-ca-other-key", "somebody on the wire gets certificates from the owner's own CA: only the key tells", Ring, sameCAOtherKey},
		{"cctld-2017", "a registry is taken over and a CA validates the attacker correctly", Ring, ccTLD2017},
		{"ip-as-text", "a watched address written as text into dNSName and common name", Ring, ipAsText},
		{"reverse-zone", "names below in-addr.arpa and ip6.arpa that stand for watched addresses", Ring, reverseZone},
		{"malformed-san", "certificates that strict parsers refuse or read without their names", Ring, malformedSAN},
		{"renewals-only", "nothing but what was promised, and neighbours: must stay silent", Silence, renewalsOnly},
	}
}

// DefaultScenario is what the drill plays when nothing is asked for.
const DefaultScenario = "fina-2025"

// FindScenario looks a scenario up by name.
func FindScenario(name string) (Scenario, error) {
	var names []string
	for _, s := range Scenarios() {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return Scenario{}, fmt.Errorf("no scenario %q; there are: %s", name, strings.Join(names, ", "))
}

// Play makes one submission over HTTP. The SCTs are those of the precertificate, or of the certificate when only that
// is logged.
func (l *Lab) Play(ctx context.Context, s Submission) (scts [][]byte, err error) {
	if !s.AsPrecert && !s.AsFinal {
		return nil, errors.New("a submission of nothing")
	}
	if s.AsPrecert {
		if scts, err = l.AddPreChain(ctx, s.To, s.Issued.Precert, s.Issued.Chain); err != nil {
			return nil, fmt.Errorf("submission %q: %w", s.Label, err)
		}
		if !s.AsFinal {
			return scts, nil
		}
		if _, err = s.Issued.Finish(scts); err != nil {
			return nil, fmt.Errorf("submission %q: %w", s.Label, err)
		}
	}
	final, err := l.SubmitFinal(ctx, s.To, s.Issued)
	if err != nil {
		return nil, fmt.Errorf("submission %q: %w", s.Label, err)
	}
	if scts == nil {
		scts = final
	}
	return scts, nil
}

// stage is a plan in the making. Its first error sticks, so that scenarios read as lists.
type stage struct {
	w    World
	plan Plan
	err  error
	keys int
}

func newStage(w *World) *stage {
	s := &stage{plan: Plan{Files: map[string][]byte{}}}
	if w != nil {
		s.w = *w
	}
	if s.w.Now.IsZero() {
		s.w.Now = time.Now()
	}
	return s
}

func (s *stage) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

func (s *stage) seed(name string) string {
	if s.w.Seed == "" {
		return ""
	}
	return s.w.Seed + "/" + name
}

// authority makes a root and an issuing CA below it, and has the logs accept the root.
func (s *stage) authority(root, issuing, org, country string, t ca.KeyType) *ca.Authority {
	if s.err != nil {
		return nil
	}
	from := s.w.Now.Add(-5 * 365 * 24 * time.Hour)
	r, err := ca.NewRoot(root, &ca.Options{Org: org, Country: country, From: from, For: 15 * 365 * 24 * time.Hour, Seed: s.seed(root)})
	if err != nil {
		s.fail(err)
		return nil
	}
	a, err := r.NewIntermediate(issuing, &ca.Options{Org: org, Country: country, From: from, Type: t, NoSubCAs: true, Seed: s.seed(issuing)})
	if err != nil {
		s.fail(err)
		return nil
	}
	s.plan.Roots = append(s.plan.Roots, r.Cert)
	return a
}

// ownKeys are keys of the owner, from which renewals take turns.
type ownKeys []ca.Leaf

func (s *stage) ownKeys(n int) ownKeys {
	var out ownKeys
	for range n {
		s.keys++
		k, err := ca.NewKey(ca.P256, s.seed(fmt.Sprintf("own key %d", s.keys)))
		if err != nil {
			s.fail(err)
			return nil
		}
		out = append(out, ca.Leaf{Key: k})
	}
	return out
}

func (s *stage) spki(l ca.Leaf) string {
	h, err := ca.KeyHash(l.Key)
	if err != nil {
		s.fail(err)
	}
	return "spki:" + hex.EncodeToString(h[:])
}

// guard writes one watch of the configuration.
type guard struct {
	name, owner     string
	networks, names []string
	issuer          *ca.Authority
	keys            ownKeys
	keyDir          bool // name the keys by a directory, when there is one
	surprise        string
}

func (s *stage) watch(g guard) {
	if s.err != nil {
		return
	}
	var b strings.Builder
	if s.plan.Config == "" {
		b.WriteString("watch:\n")
	}
	fmt.Fprintf(&b, "  - name: %s\n    owner: %s\n", g.name, g.owner)
	list := func(indent, key string, items []string) {
		if len(items) == 0 {
			return
		}
		fmt.Fprintf(&b, "%s%s:\n", indent, key)
		for _, it := range items {
			fmt.Fprintf(&b, "%s  - %s\n", indent, strconv.Quote(it))
		}
	}
	list("    ", "networks", g.networks)
	list("    ", "names", g.names)
	b.WriteString("    expect:\n")
	h := g.issuer.KeyHash()
	list("      ", "issuers", []string{"spki:" + hex.EncodeToString(h[:])})
	var keys []string
	if g.keyDir && s.w.Dir != "" {
		keys = []string{"file:" + s.w.Dir + "/keys"}
		for i, k := range g.keys {
			spki, err := ca.SPKI(k.Key)
			if err != nil {
				s.fail(err)
			}
			s.plan.Files[fmt.Sprintf("keys/own-%d.pem", i+1)] = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})
		}
	} else {
		for _, k := range g.keys {
			keys = append(keys, s.spki(k))
		}
	}
	list("      ", "keys", keys)
	fmt.Fprintf(&b, "      max_validity: 100d\n    surprise: %s\n", g.surprise)
	s.plan.Config += b.String()
}

// issue fills in the time and issues.
func (s *stage) issue(a *ca.Authority, l ca.Leaf) *ca.Issued {
	if s.err != nil {
		return nil
	}
	if l.From.IsZero() {
		l.From = s.w.Now.Add(-time.Hour).Truncate(time.Second)
	}
	if l.Key == nil && l.KeySeed == "" {
		s.keys++
		l.KeySeed = s.seed(fmt.Sprintf("other key %d", s.keys))
	}
	i, err := a.Issue(l)
	if err != nil {
		s.fail(err)
	}
	return i
}

func (s *stage) submit(sub Submission) {
	if !sub.AsPrecert && !sub.AsFinal {
		sub.AsPrecert = true
	}
	s.plan.Submissions = append(s.plan.Submissions, sub)
}

// rings submits an issuance that must ring.
func (s *stage) rings(label, rule, reason string, a *ca.Authority, l ca.Leaf) {
	s.submit(Submission{Label: label, Issued: s.issue(a, l), Rings: true, Rule: rule, Reason: reason})
}

// renewals submits n legitimate certificates made by turn, which takes the number of the renewal. Every fourth is
// logged as final certificate as well, so that one issuance has four entries.
func (s *stage) renewals(n int, a *ca.Authority, keys ownKeys, turn func(i int, l *ca.Leaf)) {
	if s.w.Renewals > 0 {
		n = s.w.Renewals
	}
	for i := range n {
		if s.err != nil {
			return
		}
		l := keys[i%len(keys)]
		turn(i, &l)
		s.submit(Submission{Label: fmt.Sprintf("renewal %d", i+1), Issued: s.issue(a, l), AsPrecert: true, AsFinal: i%4 == 3})
	}
}

func (s *stage) done() (*Plan, error) {
	if s.err != nil {
		return nil, s.err
	}
	return &s.plan, nil
}
