package config

import (
	"fmt"
	"strings"
)

const witnessHint = "write the verifier key that the witness publishes: name+hash+key"

// witnesses checks the shape of verifier keys, and that none stands twice.
func (k *checker) witnesses(f *file) {
	seen := make(map[string]mark)
	for _, w := range f.Witnesses {
		name, rest, ok := strings.Cut(w.Value, "+")
		hash, key, ok2 := strings.Cut(rest, "+")
		if !ok || !ok2 || name == "" || len(hash) != 8 || key == "" || strings.ContainsAny(w.Value, " \t") {
			k.refuse(w.At, fmt.Sprintf("%.100q is no verifier key of a witness", w.Value), witnessHint)
			continue
		}
		k.unique("witness", w.Value, w.At, seen)
		k.c.Witnesses = append(k.c.Witnesses, Witness{VerifierKey: w.Value, Place: k.place(w.At)})
	}
	if f.has("witnesses") && len(f.Witnesses) == 0 {
		k.refuse(f.Written["witnesses"], "witnesses is an empty list", "remove the key, or name a witness")
	}
}
