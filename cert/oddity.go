package cert

// odd numbers the oddities inside the package; the zero value is none. The codes, not the numbers, are stable.
type odd uint8

const (
	oddNone odd = iota
	// The container.
	oddNotCertificate
	oddPEM
	oddTrailing
	oddExtraField
	oddLengthTruncated
	oddLengthIndefinite
	oddLengthNonMinimal
	oddTagHigh
	oddFieldMissing
	oddFieldUnknown
	oddFieldShape
	// Version, serial, validity, key, signature.
	oddVersion
	oddVersionExtensions
	oddSerialEmpty
	oddSerialNegative
	oddSerialZero
	oddSerialLong
	oddSerialNonMinimal
	oddTimeForm
	oddTimeUnreadable
	oddTimeReversed
	oddKeyUnreadable
	oddKeySmall
	oddKeyUnusedBits
	oddSignatureMissing
	oddSignatureForm
	oddAlgorithmMismatch
	// Distinguished names.
	oddRDNEmpty
	oddNameForm
	oddStringInvalid
	oddStringType
	// Extensions.
	oddExtensionsForm
	oddExtensionsEmpty
	oddExtensionDuplicate
	oddExtensionForm
	oddCriticalForm
	oddOctetsConstructed
	oddPoisonForm
	oddPoisonAndSCTs
	oddSCTForm
	oddSCTVersion
	oddBasicConstraintsForm
	oddEKUForm
	oddNameConstraintsForm
	oddKeyIDForm
	// Subject alternative names.
	oddSANDuplicate
	oddSANEmpty
	oddSANForm
	oddSANSet
	oddSANWrapped
	oddSANSecondSequence
	oddSANUniversalTag
	oddSANUnknownTag
	oddSANConstructedTag
	oddSANSwallowed
	oddTooManyNames
	// Names.
	oddEmptyName
	oddTrailingDot
	oddLeadingDot
	oddEmptyLabel
	oddLabelLong
	oddEdgeSpace
	oddInnerSpace
	oddNUL
	oddInvisible
	oddWide
	oddUTF8Name
	oddLatin1Name
	oddBadCharacter
	oddTypePrefix
	oddURLInName
	oddPort
	oddUserPart
	oddPercent
	oddBackslash
	oddNameInText
	oddWildcard
	// Addresses.
	oddIPInDNS
	oddIPInSubject
	oddIPInText
	oddIPAsText
	oddIPLength
	oddIPMask
	oddIPMapped
	oddIP6to4
	oddIPNAT64
	oddIPCompatible
	oddIPLeadingZeros
	oddIPOctal
	oddIPHex
	oddIPShort
	oddIPDecimal
	oddIPBrackets
	oddIPNetwork
	oddIPPort
	oddIPTrailingDot
	oddIPZone
	oddIPWildcard
	oddIPArpa
	oddCount
)

// oddities is the one table of codes and texts.
var oddities = [oddCount]Oddity{
	oddNone:              {"", ""},
	oddNotCertificate:    {"not-certificate", "the bytes are not a certificate"},
	oddPEM:               {"pem-text", "the certificate is PEM text instead of DER"},
	oddTrailing:          {"trailing-data", "bytes follow the certificate"},
	oddExtraField:        {"extra-field", "the certificate has a field after its signature"},
	oddLengthTruncated:   {"length-truncated", "a length runs past the end of what holds it"},
	oddLengthIndefinite:  {"length-indefinite", "a length is indefinite (BER, not DER)"},
	oddLengthNonMinimal:  {"length-nonminimal", "a length is written with more bytes than needed (BER, not DER)"},
	oddTagHigh:           {"tag-high", "a tag has a number above 30"},
	oddFieldMissing:      {"field-missing", "a mandatory field is missing"},
	oddFieldUnknown:      {"field-unknown", "the certificate has a field that no standard knows; crypto/x509 may lose the names after it"},
	oddFieldShape:        {"field-shape", "the fields are not in the order of the standard"},
	oddVersion:           {"version", "the version is unreadable or not 1, 2 or 3"},
	oddVersionExtensions: {"version-extensions", "a version 1 or 2 certificate has extensions; crypto/x509 loses the names in them"},
	oddSerialEmpty:       {"serial-empty", "the serial number is missing or has no bytes"},
	oddSerialNegative:    {"serial-negative", "the serial number is negative"},
	oddSerialZero:        {"serial-zero", "the serial number is zero"},
	oddSerialLong:        {"serial-long", "the serial number has more than 20 bytes"},
	oddSerialNonMinimal:  {"serial-nonminimal", "the serial number has superfluous leading bytes"},
	oddTimeForm:          {"time-form", "a time is not in the form of RFC 5280"},
	oddTimeUnreadable:    {"time-unreadable", "a time cannot be read"},
	oddTimeReversed:      {"time-reversed", "the certificate ends before it begins"},
	oddKeyUnreadable:     {"key-unreadable", "the public key cannot be read"},
	oddKeySmall:          {"key-small", "the RSA key has fewer than 2048 bits"},
	oddKeyUnusedBits:     {"key-unused-bits", "the public key has unused bits"},
	oddSignatureMissing:  {"signature-missing", "the signature is missing"},
	oddSignatureForm:     {"signature-form", "the signature is not a BIT STRING of whole bytes"},
	oddAlgorithmMismatch: {"algorithm-mismatch", "the signature algorithm inside the signed part differs from the one outside"},

	oddRDNEmpty:      {"rdn-empty", "a distinguished name has an empty part"},
	oddNameForm:      {"name-form", "a distinguished name is not built as X.501 says"},
	oddStringInvalid: {"string-invalid", "a string holds bytes that its type does not allow"},
	oddStringType:    {"string-type", "a string has a type that RFC 5280 does not allow there"},

	oddExtensionsForm:       {"extensions-form", "the extensions field is not one SEQUENCE of extensions"},
	oddExtensionsEmpty:      {"extensions-empty", "the extensions field is empty"},
	oddExtensionDuplicate:   {"extension-duplicate", "an extension is there more than once"},
	oddExtensionForm:        {"extension-form", "an extension is not built as RFC 5280 says"},
	oddCriticalForm:         {"critical-form", "the criticality of an extension is not DER"},
	oddOctetsConstructed:    {"octets-constructed", "a string is cut into pieces (BER, not DER)"},
	oddPoisonForm:           {"poison-form", "the precertificate poison is not critical or not NULL"},
	oddPoisonAndSCTs:        {"poison-and-scts", "the precertificate already holds SCTs"},
	oddSCTForm:              {"sct-form", "the SCT list cannot be read in full"},
	oddSCTVersion:           {"sct-version", "an SCT has an unknown version"},
	oddBasicConstraintsForm: {"basic-constraints-form", "the basic constraints cannot be read in full"},
	oddEKUForm:              {"eku-form", "the extended key usage cannot be read in full"},
	oddNameConstraintsForm:  {"name-constraints-form", "the name constraints cannot be read in full"},
	oddKeyIDForm:            {"key-id-form", "a key identifier cannot be read"},

	oddSANDuplicate:      {"san-duplicate", "there is more than one subject alternative name extension"},
	oddSANEmpty:          {"san-empty", "the subject alternative name extension is empty"},
	oddSANForm:           {"san-form", "the subject alternative names are not one SEQUENCE"},
	oddSANSet:            {"san-set", "the subject alternative names are a SET instead of a SEQUENCE"},
	oddSANWrapped:        {"san-wrapped", "the subject alternative names are wrapped once more"},
	oddSANSecondSequence: {"san-second-sequence", "more subject alternative names follow the first SEQUENCE"},
	oddSANUniversalTag:   {"san-universal-tag", "a subject alternative name has a universal tag, so that no client reads it"},
	oddSANUnknownTag:     {"san-unknown-tag", "a subject alternative name has an unknown tag"},
	oddSANConstructedTag: {"san-constructed-tag", "a subject alternative name has a constructed tag; crypto/x509 loses it"},
	oddSANSwallowed:      {"san-swallowed", "the length of a subject alternative name swallows the next one"},
	oddTooManyNames:      {"too-many-names", "there are more names than are read"},

	oddEmptyName:    {"empty-name", "a name is empty"},
	oddTrailingDot:  {"trailing-dot", "the name ends with a dot"},
	oddLeadingDot:   {"leading-dot", "the name begins with a dot"},
	oddEmptyLabel:   {"empty-label", "the name has an empty label"},
	oddLabelLong:    {"label-long", "the name or a label of it is longer than DNS allows"},
	oddEdgeSpace:    {"edge-space", "space or control characters stand around the name"},
	oddInnerSpace:   {"inner-space", "space stands inside the name"},
	oddNUL:          {"nul-byte", "the name holds a NUL byte; some clients stop reading there"},
	oddInvisible:    {"invisible-character", "the name holds invisible characters"},
	oddWide:         {"wide-character", "the name is written with fullwidth characters or dots"},
	oddUTF8Name:     {"utf8-name", "the name is UTF-8 instead of an A-label"},
	oddLatin1Name:   {"latin1-name", "the name is Latin-1 instead of an A-label"},
	oddBadCharacter: {"bad-character", "the name holds characters that no host name has"},
	oddTypePrefix:   {"type-prefix", "the name begins with its kind, such as DNS: or IP:"},
	oddURLInName:    {"url-in-name", "the name is a URL"},
	oddPort:         {"port", "a port follows the name"},
	oddUserPart:     {"user-part", "the name has a user part"},
	oddPercent:      {"percent-encoded", "the name is percent-encoded"},
	oddBackslash:    {"backslash", "the name holds a backslash"},
	oddWildcard:     {"wildcard-form", "the wildcard is not the whole first label of a name with at least two more"},
	oddNameInText:   {"name-in-text", "the name stands in other text"},

	oddIPInDNS:        {"ip-in-dns", "an address stands in a dNSName"},
	oddIPInSubject:    {"ip-in-subject", "an address stands in a subject attribute other than the common name"},
	oddIPInText:       {"ip-in-text", "an address stands in other text"},
	oddIPAsText:       {"ip-as-text", "an iPAddress holds text instead of bytes"},
	oddIPLength:       {"ip-length", "an iPAddress has neither 4 nor 16 bytes"},
	oddIPMask:         {"ip-mask", "an iPAddress has a mask, as only name constraints do"},
	oddIPMapped:       {"ip-mapped", "an IPv4 address is written as IPv6 (::ffff:0:0/96)"},
	oddIP6to4:         {"ip-6to4", "an IPv4 address stands inside a 6to4 address"},
	oddIPNAT64:        {"ip-nat64", "an IPv4 address stands inside a NAT64 address"},
	oddIPCompatible:   {"ip-compatible", "an IPv4 address stands inside an IPv4-compatible IPv6 address"},
	oddIPLeadingZeros: {"ip-leading-zeros", "an address has leading zeros, read as decimal"},
	oddIPOctal:        {"ip-octal", "an address has leading zeros, read as octal"},
	oddIPHex:          {"ip-hex", "an address is written in hexadecimal"},
	oddIPShort:        {"ip-short", "an address is written with two or three parts"},
	oddIPDecimal:      {"ip-decimal", "an address is written as one number"},
	oddIPBrackets:     {"ip-brackets", "an address is written in brackets"},
	oddIPNetwork:      {"ip-network", "a network stands where an address belongs"},
	oddIPPort:         {"ip-port", "a port follows the address"},
	oddIPTrailingDot:  {"ip-trailing-dot", "an address ends with a dot"},
	oddIPZone:         {"ip-zone", "an address has a zone"},
	oddIPWildcard:     {"ip-wildcard", "an address has a wildcard before it"},
	oddIPArpa:         {"ip-arpa", "the reverse name of an address or network"},
}

// code is the stable code, "" for none.
func (o odd) code() string { return oddities[o].Code }

// or keeps the oddity that was seen first.
func (o odd) or(later odd) odd {
	if o != oddNone {
		return o
	}
	return later
}

// Oddities returns every oddity there is: code to text. The documentation is made from it.
func Oddities() map[string]string {
	m := make(map[string]string, len(oddities)-1)
	for _, o := range oddities[1:] {
		m[o.Code] = o.Text
	}
	return m
}

// notes collects what was odd while reading, without allocating.
type notes struct {
	set  [2]uint64
	lost bool // names may have been lost
}

func (n *notes) note(o odd) { n.set[o>>6] |= 1 << (o & 63) }

// lose notes an oddity under which names may have been lost.
func (n *notes) lose(o odd) {
	n.note(o)
	n.lost = true
}

func (n *notes) list() []Oddity {
	var l []Oddity
	for o := odd(1); o < oddCount; o++ {
		if n.set[o>>6]&(1<<(o&63)) != 0 {
			l = append(l, oddities[o])
		}
	}
	return l
}
