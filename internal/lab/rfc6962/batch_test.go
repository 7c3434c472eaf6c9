package rfc6962

import (
	"fmt"
	"testing"

	"github.com/tocsin-ct/tocsin/internal/lab/fault"
)

// D01: the number of entries per answer changes per call and is cut to multiples of 256.
func TestBatchesInTurnAndAligned(t *testing.T) {
	l, err := New(start(t, nil).log.Key.Signer, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []uint64
	for _, at := range []uint64{0, 256, 288, 500} {
		got = append(got, l.batch(&fault.Faults{Batches: []int{256, 32, 7}, Aligned: true}, at))
	}
	if want := []uint64{32, 7, 224, 12}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
}
