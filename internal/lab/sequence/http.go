package sequence

import (
	"encoding/base64"
	"encoding/json"
	"net/http"

	"github.com/tocsin-ct/tocsin/internal/lab/entry"
)

// maxSubmission bounds the body of add-chain: a chain of a few certificates of the largest size that tests make.
const maxSubmission = 32 << 20

// HandleSubmissions adds the endpoints that both kinds of log have, below prefix ("/2026"): add-chain, add-pre-chain
// and get-roots (RFC 6962 sections 4.1, 4.2, 4.7).
func (l *Log) HandleSubmissions(mux *http.ServeMux, prefix string) {
	mux.HandleFunc("POST "+prefix+"/ct/v1/add-chain", func(w http.ResponseWriter, r *http.Request) { l.add(w, r, false) })
	mux.HandleFunc("POST "+prefix+"/ct/v1/add-pre-chain", func(w http.ResponseWriter, r *http.Request) { l.add(w, r, true) })
	mux.HandleFunc("GET "+prefix+"/ct/v1/get-roots", func(w http.ResponseWriter, _ *http.Request) {
		roots := l.Roots.All()
		if roots == nil {
			roots = [][]byte{}
		}
		JSON(w, map[string][][]byte{"certificates": roots})
	})
}

func (l *Log) add(w http.ResponseWriter, r *http.Request, precert bool) {
	var in struct {
		Chain [][]byte `json:"chain"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxSubmission)).Decode(&in); err != nil {
		http.Error(w, "reading submission: "+err.Error(), http.StatusBadRequest)
		return
	}
	e, err := l.Submit(in.Chain, precert)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := l.writeSCT(w, e); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func (l *Log) writeSCT(w http.ResponseWriter, e *entry.Entry) error {
	sig, err := l.Key.digitallySigned(e.MerkleTreeLeaf())
	if err != nil {
		return err
	}
	JSON(w, map[string]any{
		"sct_version": 0,
		"id":          l.Key.ID[:],
		"timestamp":   e.Timestamp,
		"extensions":  base64.StdEncoding.EncodeToString(e.Extensions),
		"signature":   sig,
	})
	return nil
}

// JSON answers with v.
func JSON(w http.ResponseWriter, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(b)
}
