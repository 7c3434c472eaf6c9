package app

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/loglist"
)

// budgets are what each operator's logs may be asked together.
type budgets struct {
	mu sync.Mutex
	of map[string]*ctlog.Budget
}

// budget is that of the operator of a log, or nil where nobody says who operates it.
func (b *budgets) budget(l *loglist.Log) *ctlog.Budget {
	if l.Operator == "" {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.of == nil {
		b.of = map[string]*ctlog.Budget{}
	}
	if b.of[l.Operator] == nil {
		b.of[l.Operator] = new(ctlog.Budget)
	}
	return b.of[l.Operator]
}

// OperatorPace is how fast the logs of an operator are asked together, where they stand behind one limit.
type OperatorPace struct {
	Operator string `json:"operator"`
	// Pause is the time between two requests, in seconds. It is learned: refusals lengthen it, answers shorten it.
	Pause float64   `json:"pause"`
	Since time.Time `json:"since"`
}

// paces are those of the operators whose logs are held back together.
func (b *budgets) paces() []OperatorPace {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []OperatorPace
	for name, budget := range b.of {
		if p := budget.Pace(); p.Pause > 0 {
			out = append(out, OperatorPace{name, p.Pause.Seconds(), p.Since.UTC()})
		}
	}
	slices.SortFunc(out, func(a, b OperatorPace) int { return cmp.Compare(a.Operator, b.Operator) })
	return out
}
