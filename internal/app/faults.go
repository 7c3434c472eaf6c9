package app

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"github.com/tocsin-ct/tocsin/internal/store"
)

// pageFaults is how many faults are asked for at once: each may have megabytes of evidence.
const pageFaults = 8

// FaultPage is some of the faults that are kept, the last first.
type FaultPage struct {
	Faults []FaultCount `json:"faults"`
	// Before continues: the next page holds those before. 0 when there are no more.
	Before int64 `json:"before,omitempty"`
}

func faultPage(ctx context.Context, s *store.Store, before int64) (page FaultPage, err error) {
	faults, err := s.FaultsBefore(ctx, before, pageFaults)
	for _, f := range faults {
		page.Faults = append(page.Faults, faultCount(&f.Fault))
		page.Before = f.Seq
	}
	if len(faults) < pageFaults {
		page.Before = 0
	}
	return page, err
}

func faultCount(f *store.Fault) FaultCount {
	return FaultCount{Kind: f.Kind, Log: f.LogName, Text: f.Text, First: f.First, Last: f.Last, Count: f.Count, Evidence: rawJSON(f.Evidence)}
}

func (a *App) answerFaults(w http.ResponseWriter, r *http.Request) {
	before, err := strconv.ParseInt(r.FormValue("before"), 10, 64)
	if err != nil {
		reply(w, nil, fmt.Errorf("before which fault: %w", err))
		return
	}
	page, err := faultPage(r.Context(), a.store, before)
	reply(w, page, err)
}

// EachFault calls with every fault that the given state keeps, the last first, a few in memory at a time. It ends at the
// first error.
func EachFault(ctx context.Context, state string, call func(*FaultCount) error) error {
	for before := int64(0); ; {
		page, err := ask(ctx, state, fmt.Sprint("/v1/faults?before=", before), func(s *store.Store) (FaultPage, error) {
			return faultPage(ctx, s, before)
		})
		if err != nil {
			return err
		}
		for i := range page.Faults {
			if err := call(&page.Faults[i]); err != nil {
				return err
			}
		}
		if before = page.Before; before == 0 {
			return nil
		}
	}
}
