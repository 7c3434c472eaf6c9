package config

import "strconv"

// maxOperators is more than there will be.
const maxOperators = 100

func (k *checker) coverage(e *coverageEntry) {
	if len(e.Written) == 0 {
		k.refuse(e.At, "coverage without min_operators", "remove it, or write min_operators: 2")
	}
	if !e.has("min_operators") {
		return
	}
	n, err := strconv.Atoi(e.MinOperators.Value)
	if err != nil || n < 1 || n > maxOperators {
		k.refuse(e.MinOperators.At, "min_operators is a number from 1 to "+strconv.Itoa(maxOperators), "2 is what browsers ask for: each certificate is in the logs of two operators")
		return
	}
	k.c.Coverage.MinOperators = n
}
