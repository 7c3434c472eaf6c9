package reallogs

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"sync"
)

// newIssuersAlone is TesseraCT's handler with submissions that bring a new issuer served one at a time and alone.
// TesseraCT v0.1.1 remembers the issuers that it has stored in a map whose length it reads outside its lock whenever it
// adds one: a data race, which the race detector would blame on the test that submits.
type newIssuersAlone struct {
	next http.Handler

	mu sync.Mutex // guards known
	// known holds every chain certificate of a submission that was served.
	known map[string]bool
	gate  sync.RWMutex
}

func (h *newIssuersAlone) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, answerLimit))
	if err != nil {
		http.Error(w, "reading the request", http.StatusBadRequest)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	var submission struct {
		Chain [][]byte `json:"chain"`
	}
	// What is no submission is left to TesseraCT to refuse.
	if json.Unmarshal(body, &submission) != nil || h.allKnown(submission.Chain) {
		h.gate.RLock()
		defer h.gate.RUnlock()
		h.next.ServeHTTP(w, r)
		return
	}
	h.gate.Lock()
	defer h.gate.Unlock()
	answer := &statusWriter{ResponseWriter: w, status: http.StatusOK}
	h.next.ServeHTTP(answer, r)
	if answer.status != http.StatusOK {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range submission.Chain[1:] {
		h.known[string(c)] = true
	}
}

// allKnown says whether the submission brings no new issuer. A leaf alone may bring its root, which TesseraCT adds.
func (h *newIssuersAlone) allKnown(chain [][]byte) bool {
	switch len(chain) {
	case 0:
		return true
	case 1:
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range chain[1:] {
		if !h.known[string(c)] {
			return false
		}
	}
	return true
}

// statusWriter remembers the status of the answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}
