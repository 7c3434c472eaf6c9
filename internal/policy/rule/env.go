package rule

import "time"

// Env is what a condition can read. Its fields are named and described by their tags; docs/rules.md is held against them.
// The tag "is" lists all values that a text can have: a condition that compares it with another one is refused.
type Env struct {
	Cert      Cert      `expr:"cert" doc:"the certificate"`
	Ident     Ident     `expr:"ident" doc:"one name or address of the certificate; only in rules on: name"`
	Watch     Watch     `expr:"watch" doc:"the watch that it touches"`
	Policy    Policy    `expr:"policy" doc:"what the watch expects (watch.expect)"`
	Broken    Broken    `expr:"broken" doc:"which clauses of the watch do not hold, and no announcement covers"`
	Journal   Journal   `expr:"journal" doc:"what our own records say of it"`
	Announced Announced `expr:"announced" doc:"announcements that it fulfils"`
	CAA       CAA       `expr:"caa" doc:"what the CAA records said when it was issued, over all names that are watched"`
	Past      Past      `expr:"past" doc:"how often its issuer issued for this owner before"`
	Revoked   Revoked   `expr:"revoked" doc:"whether its CA has revoked it"`
	Now       time.Time `expr:"now" doc:"the time of the decision"`

	// Step counts the rounds of loops: see budget.
	Step func() bool `expr:"__step"`
}

// Cert is what a certificate says.
type Cert struct {
	Names       []string      `expr:"names" doc:"DNS names for which clients take it: of the SAN, the common name, hosts of URIs; normal form (lower case A-labels, no final dot), each once"`
	Addresses   []string      `expr:"addresses" doc:"addresses for which clients take it; IPv4-mapped ones as IPv4"`
	Domains     []string      `expr:"domains" doc:"the registrable domains of names (one label below the public suffix)"`
	Subject     string        `expr:"subject" doc:"the subject, for people"`
	CommonNames []string      `expr:"common_names" doc:"the common names of the subject, as they stand there"`
	Serial      string        `expr:"serial" doc:"the serial number in hexadecimal"`
	Issuer      Issuer        `expr:"issuer" doc:"who issued it"`
	Key         Key           `expr:"key" doc:"its own key"`
	NotBefore   time.Time     `expr:"not_before" doc:"the begin of its validity"`
	NotAfter    time.Time     `expr:"not_after" doc:"the end of its validity"`
	Validity    time.Duration `expr:"validity" doc:"how long it is valid, both ends included; 0 when unreadable"`
	Logged      time.Time     `expr:"logged" doc:"the earliest time that a log gave it (SCT or entry); only when logged_known"`
	LoggedKnown bool          `expr:"logged_known" doc:"whether logged is known"`
	Backdated   time.Duration `expr:"backdated" doc:"the distance between not_before and logged, either way; 0 when unknown"`
	Precert     bool          `expr:"precert" doc:"it is a precertificate"`
	CA          bool          `expr:"ca" doc:"it may issue certificates (CA:TRUE)"`
	Usages      []string      `expr:"usages" doc:"its extended key usages: serverAuth, clientAuth, codeSigning, emailProtection, timeStamping, OCSPSigning, any, or the dotted OID"`
	Wildcards   []string      `expr:"wildcards" doc:"those of names that hold a wildcard"`
	Oddities    []string      `expr:"oddities" doc:"codes of what a strict reader would have refused"`
	Readable    bool          `expr:"readable" doc:"all of it could be read"`
}

// Issuer is who issued a certificate.
type Issuer struct {
	Proven  bool     `expr:"proven" doc:"its signature proves the key; else nothing below is known"`
	Owner   string   `expr:"owner" doc:"the CA owner that answers for the key, \"\" when unknown; the first of owners"`
	Owners  []string `expr:"owners" doc:"all CA owners that answer for the key"`
	Domains []string `expr:"domains" doc:"the domains that the owners recognise in CAA"`
	Name    string   `expr:"name" doc:"the issuer's name, which a CA chooses freely"`
	Key     string   `expr:"key" doc:"SHA-256 of the issuing key in hexadecimal, \"\" when unknown"`
}

// Key is the key of a certificate.
type Key struct {
	SHA256    string `expr:"sha256" doc:"SHA-256 of the SubjectPublicKeyInfo in hexadecimal, \"\" when unreadable"`
	Algorithm string `expr:"algorithm" doc:"RSA 2048, ECDSA P-256, Ed25519, … or the dotted OID"`
	Owned     bool   `expr:"owned" doc:"a configured source of keys holds it, or the journal"`
	Source    string `expr:"source" doc:"the file that holds it"`
	Observed  bool   `expr:"observed" doc:"one of our endpoints was seen to serve it, which proves nothing"`
}

// Ident is one name or address.
type Ident struct {
	Text        string `expr:"text" doc:"the name in normal form, or the address or network"`
	Where       string `expr:"where" is:"none san:dns san:ip san:uri san:email san:dirname san:other subject:cn subject raw" doc:"where it stands in the certificate"`
	Address     bool   `expr:"address" doc:"it is an address or network"`
	Wildcard    bool   `expr:"wildcard" doc:"it holds a wildcard"`
	Domain      string `expr:"domain" doc:"its registrable domain"`
	Ours        bool   `expr:"ours" doc:"it lies within the items of the watch"`
	Reverse     bool   `expr:"reverse" doc:"it was written as a name of a reverse zone (in-addr.arpa, ip6.arpa)"`
	LookAlike   string `expr:"look_alike" doc:"the name of the watch that it resembles without being it, or \"\"; only where the watch asks for look-alikes"`
	LookAlikeBy string `expr:"look_alike_by" doc:"how it resembles it, in words"`
	Odd         string `expr:"odd" doc:"the code of the oddity under which it had to be read, or \"\""`
}

// Watch is what is touched.
type Watch struct {
	Name      string   `expr:"name" doc:"its name"`
	Owner     string   `expr:"owner" doc:"its owner"`
	Surprise  string   `expr:"surprise" is:"digest alarm page" doc:"the level of its surprises"`
	Expects   bool     `expr:"expects" doc:"it has an expect"`
	Touched   []string `expr:"touched" doc:"the names and addresses that touch it, as the certificate has them"`
	Items     []string `expr:"items" doc:"the items that are touched, as the configuration has them"`
	Names     bool     `expr:"names" doc:"one of its names is touched"`
	Addresses bool     `expr:"addresses" doc:"one of its addresses or networks is touched"`
	LookAlike bool     `expr:"look_alike" doc:"it asks for look-alike names"`
}

// Policy is what a watch expects.
type Policy struct {
	Issuers           []string      `expr:"issuers" doc:"expect.issuers, as the configuration has them"`
	Keys              []string      `expr:"keys" doc:"expect.keys, likewise"`
	MaxValidity       time.Duration `expr:"max_validity" doc:"expect.max_validity, or 0"`
	AllowWildcard     bool          `expr:"allow_wildcard" doc:"false where expect.allow_wildcard is false"`
	AllowForeignNames bool          `expr:"allow_foreign_names" doc:"false where expect.allow_foreign_names is false"`
}

// Broken are the clauses that do not hold.
type Broken struct {
	Any           bool `expr:"any" doc:"any of those below"`
	Issuer        bool `expr:"issuer" doc:"the issuing key belongs to none of expect.issuers"`
	Proven        bool `expr:"proven" doc:"who issued it is not proven by signature"`
	Key           bool `expr:"key" doc:"its key is none of expect.keys, nor in the journal"`
	Validity      bool `expr:"validity" doc:"it is valid for longer than expect.max_validity, or that could not be read"`
	Wildcard      bool `expr:"wildcard" doc:"it holds a wildcard, against expect.allow_wildcard"`
	WildcardBroad bool `expr:"wildcard_broad" doc:"it holds a wildcard over a whole top-level domain"`
	ForeignName   bool `expr:"foreign_name" doc:"it holds a name or address outside of the watch, against expect.allow_foreign_names"`
	Unreadable    bool `expr:"unreadable" doc:"part of it could not be read"`
	CA            bool `expr:"ca_certificate" doc:"it may issue certificates itself"`
	NoName        bool `expr:"no_expect_name" doc:"it touches a name of a watch that expects nothing"`
	NoAddress     bool `expr:"no_expect_address" doc:"it touches an address of a watch that expects nothing"`
}

// Journal is what our own records say.
type Journal struct {
	Known       bool      `expr:"known" doc:"this issuance or its key is in the journal"`
	Certificate bool      `expr:"certificate" doc:"this very issuance is, not only its key"`
	Source      string    `expr:"source" doc:"the file, or who pushed it"`
	At          time.Time `expr:"at" doc:"when the journal learned of it"`
}

// Announced is what was announced.
type Announced struct {
	Known       bool     `expr:"known" doc:"an announcement covers it"`
	IssuerAlone bool     `expr:"issuer_alone" doc:"all that cover it name nothing but the CA"`
	IDs         []string `expr:"ids" doc:"the ids of the announcements"`
	Reasons     []string `expr:"reasons" doc:"why they were made"`
}

// CAA is the answer of CAA over all watched names: the worst of them.
type CAA struct {
	Answer string    `expr:"answer" is:"allows forbids none unknown" doc:"forbids when the records of any name forbid this CA; else unknown when any is unknown; else none when any has none; else allows"`
	Names  []string  `expr:"names" doc:"the names with this answer"`
	Wanted []string  `expr:"wanted" doc:"the CA domains that their records name"`
	Since  time.Time `expr:"since" doc:"when the records of the first of names were first seen"`
	DNSSEC string    `expr:"dnssec" is:"secure insecure bogus" doc:"the DNSSEC status of the first of names, \"\" when not known"`
	Note   string    `expr:"note" doc:"what cannot be told, in words"`
}

// Past is what the ledger says of issuer and owner.
type Past struct {
	Known    bool      `expr:"known" doc:"the ledger reaches back far enough"`
	FirstUse bool      `expr:"first_use" doc:"none was seen before this one"`
	Seen     int       `expr:"seen" doc:"how many were seen before"`
	Since    time.Time `expr:"since" doc:"when the first of them was seen"`
}

// Revoked is what is known of a revocation.
type Revoked struct {
	Known bool          `expr:"known" doc:"it is known to be revoked"`
	At    time.Time     `expr:"at" doc:"when"`
	After time.Duration `expr:"after" doc:"the time from logged (from not_before where that is unknown) to the revocation"`
}

// maxList bounds the lists of the environment. A certificate may name many thousand; a condition that looks at a list
// that was cut cannot be evaluated, and so counts as true.
const maxList = 4096

// cut names the lists that were cut.
func (e *Env) cut() (names []string) {
	for _, l := range []struct {
		field string
		list  *[]string
	}{
		{"cert.names", &e.Cert.Names}, {"cert.addresses", &e.Cert.Addresses}, {"cert.domains", &e.Cert.Domains}, {"cert.wildcards", &e.Cert.Wildcards},
		{"cert.common_names", &e.Cert.CommonNames}, {"cert.usages", &e.Cert.Usages}, {"cert.oddities", &e.Cert.Oddities},
		{"watch.touched", &e.Watch.Touched}, {"watch.items", &e.Watch.Items},
	} {
		if len(*l.list) > maxList {
			*l.list = (*l.list)[:maxList]
			names = append(names, l.field)
		}
	}
	return names
}
