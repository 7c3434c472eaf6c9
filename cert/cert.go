// Package cert says what a certificate says: a lenient reader over raw bytes.
//
// It never refuses what can be read. Where crypto/x509 returns an error, or silently loses a name, this reader
// returns the name together with an oddity: a stable code and a text. It judges nothing and trusts nothing: every
// byte of the input is hostile, and all work is bounded by the length of the input.
//
// There are two speeds. [Scan] walks the bytes and yields every name and address without allocating; it is meant for
// each entry of each log. [Parse] is the full reading for what matched.
//
// The normal form of a DNS name lives here and nowhere else: [Name] for what people write, and the Name field of an
// [Ident] for what certificates hold.
package cert

import (
	"net/netip"
	"time"
)

// Where says in which part of a certificate an identity stands. Its String is stable and part of the JSON output.
type Where uint8

// The places where an identity may stand.
const (
	InNone      Where = iota
	InDNS             // subjectAltName dNSName
	InIP              // subjectAltName iPAddress
	InURI             // subjectAltName uniformResourceIdentifier (host part)
	InEmail           // subjectAltName rfc822Name (domain part)
	InDirName         // subjectAltName directoryName
	InOtherName       // subjectAltName otherName
	InCN              // subject commonName
	InSubject         // any other attribute of the subject
	InRaw             // found in bytes that could not be read
)

var whereText = [...]string{"none", "san:dns", "san:ip", "san:uri", "san:email", "san:dirname", "san:other", "subject:cn", "subject", "raw"}

func (w Where) String() string {
	if int(w) < len(whereText) {
		return whereText[w]
	}
	return "unknown"
}

// Ident is one identity that a certificate claims: a DNS name, or an address or network. Exactly one of Name and
// Prefix is set. One value of a certificate may yield several (two addresses in one string, or the part before a NUL
// byte that some clients read beside the whole).
//
// In a [Scan] the slices alias the input or the Scan's own memory and are valid until its next use.
type Ident struct {
	Where Where
	// Raw is the value as it stands in the certificate, cut off after [MaxRaw] bytes.
	Raw []byte
	// Name is the normal form of a DNS name: lower case A-labels, no trailing dot, no surrounding space. It may
	// contain '*' anywhere. Nil when the value is an address.
	Name []byte
	// Prefix is an address (full length) or network. Addresses are unmapped: ::ffff:a.b.c.d is IPv4. The zero
	// Prefix when the value is a name.
	Prefix netip.Prefix
	// Odd is the code of the oddity under which the value had to be read, or "" for a plain value.
	Odd string
}

// Oddity is something that a strict reader would have refused or lost. Code is stable, in kebab case; Text is for
// people and holds no bytes of the certificate that could disturb a terminal.
type Oddity struct {
	Code string `json:"code"`
	Text string `json:"text"`
}

// Extension is one extension in the order of the certificate. ID is the dotted OID, or a hex form where the OID
// itself cannot be read.
type Extension struct {
	ID       string
	Critical bool
	Value    []byte
}

// NameConstraints of RFC 5280 section 4.2.1.10, as far as readable. IP ranges keep their bytes (address and mask).
type NameConstraints struct {
	PermittedDNS, ExcludedDNS []string
	PermittedIP, ExcludedIP   [][]byte
	// Other counts subtrees of other kinds.
	Other int
}

// SCT is one signed certificate timestamp (RFC 6962 section 3.2) as embedded in a certificate, not verified.
type SCT struct {
	Raw        []byte
	Version    uint8
	LogID      [32]byte
	Timestamp  time.Time
	Extensions []byte
	// HashAlg and SigAlg are the TLS 1.2 SignatureAndHashAlgorithm.
	HashAlg, SigAlg uint8
	Signature       []byte
}

// Certificate is the full reading of a certificate, precertificate or bare TBSCertificate. What could not be read is
// left zero and named in Oddities. It aliases the input, which must not change.
type Certificate struct {
	// Raw is the certificate, from its first to its last byte; the TBSCertificate when only that was given.
	Raw []byte
	// RawTBS, RawIssuer, RawSubject and RawSPKI are complete TLVs as they stand in the input.
	RawTBS, RawIssuer, RawSubject, RawSPKI []byte
	// BareTBS is set when the input was a TBSCertificate without a signature (the leaf of a precertificate).
	BareTBS bool
	// Version is 1 for v1 and so on; 0 when unreadable.
	Version int
	// Serial is the content of the INTEGER, unchanged.
	Serial []byte
	// Issuer and Subject are for people: RFC 4514 order as in the certificate, control characters escaped.
	Issuer, Subject     string
	NotBefore, NotAfter time.Time
	// CommonNames are all CNs of the subject, decoded to UTF-8, in order.
	CommonNames []string
	// DNSNames, Emails and URIs hold SAN values byte for byte; IPs holds iPAddress values of any length.
	DNSNames, Emails, URIs []string
	IPs                    [][]byte
	// Idents are all identities, in the order of the certificate, as [Scan] finds them.
	Idents []Ident
	// SPKI is the SHA-256 of RawSPKI; zero when there is none.
	SPKI [32]byte
	// KeyAlgorithm is a short name ("RSA 2048", "ECDSA P-256", "Ed25519") or the dotted OID.
	KeyAlgorithm string
	Extensions   []Extension
	// Poison is set for a precertificate (RFC 6962 section 3.1).
	Poison bool
	SCTs   []SCT
	// BasicConstraints is set when the extension was readable; PathLen is -1 when absent.
	BasicConstraints, CA bool
	PathLen              int
	// ExtKeyUsage holds dotted OIDs.
	ExtKeyUsage                  []string
	NameConstraints              *NameConstraints
	AuthorityKeyID, SubjectKeyID []byte
	// SignatureAlgorithm is the outer AlgorithmIdentifier TLV, Signature the bits of the signature.
	SignatureAlgorithm, Signature []byte
	Oddities                      []Oddity
	// Incomplete is set when some part was so broken that names in it may have been lost: callers then search the
	// bytes.
	Incomplete bool
}

// ID identifies an issuance: see [Identity].
type ID [32]byte
