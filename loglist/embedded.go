package loglist

import (
	_ "embed"
	"sync"
)

//go:embed embedded.json
var embeddedJSON []byte

// Embedded is a list that is part of the program, for the day on which no other can be had: the logs that Google's
// list of all logs called usable, qualified or read-only on the date in Timestamp (README.md beside this file). It gets
// old with the program; any newer list is better. The caller must not change it.
var Embedded = sync.OnceValue(func() *List {
	l, err := Parse(embeddedJSON)
	if err != nil {
		panic(err) // a file of this package, and a test
	}
	return l
})
