package audit

import (
	"errors"
	"time"

	"github.com/tocsin-ct/tocsin/sct"
)

// Promise is one SCT with the leaf that it promises.
type Promise struct {
	SCT      sct.SCT
	Leaf     []byte // MerkleTreeLeaf
	LeafHash [32]byte
	Due      time.Time
	Progress Progress
}

// maxPromises bounds the SCTs of one certificate that are looked at.
const maxPromises = 16

// Promises are those embedded in a final certificate. issuers are certificates among which its issuer may be; keyHash
// is the key hash of the issuer where it is known otherwise, else zero. An SCT of which the leaf cannot be told, since
// the issuer is not at hand, is left out: it comes again with the next sighting. One that its log has not signed is
// there, as [Invalid], and one of a log that v does not know as [Unaudited].
//
// An error concerns SCTs that cannot be read, beside those that can.
func (r Rules) Promises(v *sct.Verifier, cert []byte, issuers [][]byte, keyHash [32]byte, now time.Time) ([]Promise, error) {
	results, err := v.Embedded(cert, issuers, now)
	if len(results) > maxPromises {
		results = results[:maxPromises]
	}
	var out []Promise
	for i := range results {
		res := &results[i]
		if res.Entry.Cert == nil && keyHash != [32]byte{} && res.SCT.Version == 0 {
			e, perr := sct.PrecertEntry(cert, keyHash)
			if perr != nil {
				continue
			}
			res.Entry, res.Err = e, v.Verify(&res.SCT, e, now)
		}
		if res.Entry.Cert == nil || res.SCT.Version != 0 {
			continue
		}
		p, perr := r.promise(v, res.SCT, res.Entry, res.Err, now)
		if perr != nil {
			err = errors.Join(err, perr)
			continue
		}
		out = append(out, p)
	}
	return out, err
}

// Promise is that of an SCT that came beside a certificate, as in a TLS handshake.
func (r Rules) Promise(v *sct.Verifier, s sct.SCT, e sct.Entry, now time.Time) (Promise, error) {
	return r.promise(v, s, e, v.Verify(&s, e, now), now)
}

func (r Rules) promise(v *sct.Verifier, s sct.SCT, e sct.Entry, verdict error, now time.Time) (Promise, error) {
	leaf, err := s.Leaf(e)
	if err != nil {
		return Promise{}, err
	}
	mmd := time.Duration(0)
	if log := v.Log(s.LogID); log != nil {
		mmd = log.MMD
	}
	due := Due(s.Time(), mmd)
	p := Promise{SCT: s, Leaf: leaf, LeafHash: sct.LeafHash(leaf), Due: due, Progress: r.Begin(due)}
	var why *sct.Error
	switch {
	case verdict == nil:
	case errors.As(verdict, &why) && (why.Reason == sct.UnknownLog || why.Reason == sct.UnusableKey):
		p.Progress = Progress{State: Unaudited, Next: now.Add(r.WithDefaults().Recheck), Note: why.Text}
	default:
		p.Progress = Progress{State: Invalid, Note: verdict.Error()}
	}
	return p, nil
}
