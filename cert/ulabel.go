package cert

import "golang.org/x/net/idna"

// profile maps U-labels to A-labels as browsers do (UTS 46, nontransitional), without the checks that would refuse
// names which exist all the same: underscores, hyphens in the third and fourth place.
var profile = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false),
	idna.CheckHyphens(false), idna.CheckJoiners(false))

// toASCII maps the U-labels of a name to A-labels. It takes quadratic time in the length of a label: callers bound it.
func toASCII(t string) (string, error) { return profile.ToASCII(t) }
