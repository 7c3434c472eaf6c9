package config

import (
	"strconv"
	"time"
)

// maxOperators is more than there will be.
const maxOperators = 100

// Limits of patience; docs/config.md says why.
const (
	minPatience, maxPatience               = time.Minute, 30 * day
	minPromisePatience, maxPromisePatience = 100 * time.Millisecond, 30 * day
)

func (k *checker) coverage(e *coverageEntry) {
	if len(e.Written) == 0 {
		k.refuse(e.At, "coverage without min_operators, patience or promise_patience", "remove it, or write min_operators: 2")
	}
	k.c.Coverage.Patience = k.duration(e.Patience, "patience", minPatience, maxPatience)
	k.c.Coverage.PromisePatience = k.duration(e.PromisePatience, "promise_patience", minPromisePatience, maxPromisePatience)
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
