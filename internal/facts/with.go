package facts

import (
	"fmt"
	"maps"
)

// With returns a table that knows further issuing keys, each with the name of an owner that this table has. The lab
// gives its CAs the names of real ones by it; nothing else should.
func (o *Owners) With(keys map[[32]byte]string) (*Owners, error) {
	out := &Owners{owners: o.owners, keys: maps.Clone(o.keys), domains: o.domains, names: o.names}
	for spki, name := range keys {
		found := o.names[fold(name)]
		if len(found) == 0 {
			return nil, fmt.Errorf("no CA owner is known as %q", name)
		}
		row := keyRow{first: found[0]}
		for _, n := range found {
			if o.owners[n].name == name {
				row.first = n
			}
		}
		out.keys[spki] = row
	}
	return out, nil
}
