// Package facts gathers what is known about a certificate: who issued it, and whether its key is ours.
//
// It promises that "unknown" is a proper answer and that nothing which an attacker wrote counts as knowledge. The
// issuer is a key, never a name: a key is proven when the certificate's signature verifies under it and, for an entry
// of a log, when the leaf names its hash. The owner of a key comes from a table built in (see the README of this
// package), or from the nearest ancestor whose key that table knows, over verified signatures.
//
// Trusted: the built-in table, and the files that the configuration names as holding own keys; whoever can write
// those can make a certificate look expected. Not trusted: the certificate, the chain beside it (a log does not hash
// it) and the leaf's issuer_key_hash on its own.
package facts

import (
	"time"

	"github.com/tocsin-ct/tocsin/cert"
)

// Facts is what is known of one certificate. The zero value knows nothing, and so does the zero value of each field.
//
// [Gather] fills Issuer and Key. The others come from what is kept elsewhere: the journal, the announcements, the
// history of CAA records, and the past of the issuer.
type Facts struct {
	Issuer Issuer
	Key    Key
	// Journal is what our own records say of this issuance.
	Journal Journal
	// Announced are the announcements that this issuance fulfils, and that are still open for it.
	Announced []Announced
	// CAA is what the owner's CAA records said when it was issued, for each DNS name that is watched. A name that is
	// missing is unknown. Addresses have no CAA.
	CAA []CAA
	// Past is how often this issuer issued for this owner before.
	Past Past
	// Revoked is whether the CA has revoked it.
	Revoked Revoked
}

// Journal is what our own records say of an issuance: key directories, CSRs, and what our ACME clients pushed.
type Journal struct {
	// Known says that this very issuance, or its key, is in the journal.
	Known bool
	// Certificate says that it is this very issuance, and not only its key.
	Certificate bool
	// Source is the file, or who pushed it.
	Source string
	// At is when the journal learned of it.
	At time.Time
}

// Announced is one announcement that the issuance fulfils.
type Announced struct {
	// ID is that of the announcement, Reason why it was made, By who made it.
	ID, Reason, By string
	// IssuerAlone says that it names nothing but the CA, so that an attack through the same CA passes.
	IssuerAlone bool
}

// The answers of CAA.
const (
	CAAAllows  = "allows"  // a record names this CA
	CAAForbids = "forbids" // there are records, and none names this CA
	CAANone    = "none"    // there are no records: any CA may issue
	CAAUnknown = "unknown" // the history does not reach so far, or could not be read
)

// CAA is what the records in force for one name said when the certificate was issued (RFC 8659).
type CAA struct {
	// Name is the name of the certificate, Zone where the records stand: it, or a name above it.
	Name, Zone string
	// Answer is one of [CAAAllows], [CAAForbids], [CAANone] and [CAAUnknown]; "" is unknown as well.
	Answer string
	// Wanted are the CA domains of the issue records in force, or of issuewild for a wildcard.
	Wanted []string
	// Since is when these records were first seen.
	Since time.Time
	// DNSSEC is the status of the answer: "secure", "insecure", "bogus" or "" when not known.
	DNSSEC string
	// Note is what cannot be told from the records and the certificate (accounturi, validationmethods), or why the
	// answer is unknown.
	Note string
}

// Past is what the ledger says of the issuer and the owner of the watch before this issuance.
type Past struct {
	// Known says that the ledger reaches back far enough to say anything.
	Known bool
	// FirstUse says that none was seen before this one.
	FirstUse bool
	// Seen is how many there were before, Since when the first of them was seen.
	Seen  int
	Since time.Time
}

// Revoked is whether the CA has revoked the certificate. Known false says nothing, and never "good".
type Revoked struct {
	Known bool
	At    time.Time
}

// Issuer is what is known of the key that issued a certificate.
type Issuer struct {
	// SPKI is the SHA-256 of the issuer's SubjectPublicKeyInfo; zero when unknown. It counts only when Proven.
	SPKI [32]byte
	// Proven says that the certificate's signature verifies under that key and, where a leaf names an
	// issuer_key_hash, that it is the hash of that key. A precertificate that was signed by a precertificate
	// signing certificate (RFC 6962 section 3.1) is proven through it and belongs to the key above it.
	Proven bool
	// Why says in one sentence why the issuer is proven or is not.
	Why string
	// Name is the issuer's name, for people: the certificate's own claim unless Proven.
	Name string
	// Owners are the CA owners that answer for the key; any of them. Empty when unknown or not Proven.
	Owners []string
	// Basis says how the owners are known: one of [BasisCCADB], [BasisOld], [BasisChain], [BasisAncestor], or
	// "" when they are not.
	Basis string
	// Domains are the CAA names that Owners recognise, sorted.
	Domains []string
	// Note says in one sentence how the owners are known, or why they are not.
	Note string
}

// Key is what is known of the key in a certificate.
type Key struct {
	// SPKI is the SHA-256 of the certificate's SubjectPublicKeyInfo; zero when unreadable.
	SPKI [32]byte
	// Owned says that one of the configured sources holds the key.
	Owned bool
	// Source is the file (or the "spki:" entry) that holds it; the first of Holdings.
	Source string
	// Holdings are all sources that hold it. Which of them a watch accepts is for its policy to say.
	Holdings []Holding
	// Observed says that one of our endpoints was seen to serve it, ObservedAt when last. Whoever sits before the
	// endpoint can show us his own, so this never makes it ours.
	Observed   bool
	ObservedAt time.Time
}

// Gather collects the facts of one certificate.
//
// c is the certificate, the precertificate, or the bare TBSCertificate of a log's leaf. In the last case the
// precertificate itself stands anywhere in chain and is believed only when it leads to that very TBSCertificate and
// to leafKeyHash. leafKeyHash is the issuer_key_hash of the leaf of a precertificate, and zero for a final
// certificate. chain holds certificates in DER, in any order; what does not belong to it does no harm. owners and
// keys may be nil, which knows nothing. Gather is safe for concurrent use and does no I/O.
func Gather(c *cert.Certificate, leafKeyHash [32]byte, chain [][]byte, owners *Owners, keys *Keys) Facts {
	f := Facts{Issuer: owners.Issuer(c, leafKeyHash, chain), Key: Key{SPKI: c.SPKI}}
	if c.SPKI != [32]byte{} {
		f.Key.Holdings = keys.Holdings(c.SPKI)
	}
	if len(f.Key.Holdings) > 0 {
		f.Key.Owned, f.Key.Source = true, f.Key.Holdings[0].File
	}
	return f
}
