// Package watch holds what is guarded, and finds what touches it.
//
// A [Watch] is a list of items with a name and an owner. An item is a zone (a name and all beneath it), one exact
// name, an address or a network. A [Matcher] tells which items a certificate touches: quickly and without allocating
// for each entry of each log ([Matcher.Touches]), in full for the few that do ([Matcher.Match]), and by searching the
// bytes where package cert could not read them ([Matcher.MatchRaw]).
//
// What it promises: a certificate that could be used for a watched name or address touches it. A wildcard touches
// what it could serve. Where exactness and bounded work cannot both be had (a hostile certificate full of partial
// wildcards against a list of a million names) it reports too much, never too little.
//
// Whom it trusts: the watch list is the operator's. Everything from a certificate is hostile.
package watch

import (
	"net/netip"
	"strconv"

	"github.com/tocsin-ct/tocsin/cert"
)

// Place says where an item was written: line Line (from 1) of File, or argument Line of the command line when File
// is empty. The zero Place is unknown.
type Place struct {
	File string
	Line int
}

// String is "file:line", "argument 2", or "" for an unknown place.
func (p Place) String() string {
	switch {
	case p.File != "" && p.Line > 0:
		return p.File + ":" + strconv.Itoa(p.Line)
	case p.File != "":
		return p.File
	case p.Line > 0:
		return "argument " + strconv.Itoa(p.Line)
	}
	return ""
}

// Item is one thing that is guarded. Exactly one of Name and Prefix is set.
type Item struct {
	// Text is the item as it was written, without surrounding space.
	Text string
	// Name is in normal form (see cert.Name). It stands for itself and all names beneath it, unless Exact.
	Name  string
	Exact bool
	// Prefix is masked and never IPv4-mapped: ::ffff:192.0.2.0/120 is kept as 192.0.2.0/24.
	Prefix netip.Prefix
	Place  Place
}

// Watch is a named list of items with an owner. Name defaults to the text of the first item where [New] is given none.
type Watch struct {
	Name, Owner string
	Items       []Item
}

// Match is one way in which a certificate touches one item.
type Match struct {
	// Watch and Item are indexes into Matcher.Watches and its Items.
	Watch, Item int
	// Where the value stands in the certificate.
	Where cert.Where
	// Value is the value byte for byte as in the certificate: hostile, and not necessarily UTF-8.
	Value string
	// Normal is the name in normal form, or the address or network, as it was compared.
	Normal string
	// Odd is the code of the oddity under which the value had to be read, or "".
	Odd string
}
