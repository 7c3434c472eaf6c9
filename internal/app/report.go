package app

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/notify"
	"github.com/tocsin-ct/tocsin/internal/store"
)

// Report is a certificate of which somebody tells us, without any log.
type Report struct {
	Certificate []byte   `json:"certificate"` // DER
	Chain       [][]byte `json:"chain"`
	By          string   `json:"by"`
	Note        string   `json:"note"`
}

// oddReported is the code of the oddity of what was filed after a report.
const oddReported = "reported"

// maxReport bounds a report on its way over the socket, in bytes.
const maxReport = 8 << 20

// FileReport files a certificate as an issuance without a sighting. It is decided like any other, and may ring; when a
// log shows it later, that is a sighting of the same issuance. What touches no watch is refused.
func FileReport(ctx context.Context, s *store.Store, st *Stations, r *Report, now time.Time) (id string, err error) {
	read := st.Read(Subject{Bytes: r.Certificate, Chain: r.Chain})
	if len(read.Matches) == 0 {
		return "", &AskError{Text: "it touches no watch, and nothing else is filed", HintText: "tocsin match says what a certificate touches"}
	}
	text := "reported from outside on " + now.UTC().Format(time.DateOnly)
	if r.By != "" {
		text += " by " + notify.Safe(r.By, 100)
	}
	if r.Note != "" {
		text += ": " + notify.Safe(r.Note, 300)
	}
	oddities := append([]cert.Oddity{{Code: oddReported, Text: text}}, read.Cert.Oddities...)
	filing := store.Filing{
		Issuance:     store.Issuance{ID: read.ID, Cert: r.Certificate, Chain: r.Chain, Matches: mustJSON(st.Matches(read)), Oddities: mustJSON(oddities)},
		Fingerprints: [][32]byte{read.Fingerprint},
	}
	if read.Cert.Poison { // a precertificate: by its TBSCertificate, as a log would have it
		if tbs, key, err := cert.FinalTBS(r.Certificate, r.Chain); err == nil && read.Facts.Issuer.Proven {
			is := &filing.Issuance
			is.Cert, is.Precert, is.IssuerKeyHash, is.Chain = tbs, true, key, append([][]byte{r.Certificate}, r.Chain...)
		}
	}
	if err := s.Commit(ctx, store.Commit{Filings: []store.Filing{filing}}); err != nil {
		return "", err
	}
	return hex.EncodeToString(read.ID[:]), nil
}

// reportRoutes are the addresses of reports on the socket.
func (a *App) reportRoutes(mux *http.ServeMux) {
	mux.HandleFunc("POST /v1/reports", func(w http.ResponseWriter, r *http.Request) {
		var rep Report
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxReport)).Decode(&rep); err != nil {
			reply(w, nil, &AskError{Text: "the report is not understood: " + err.Error()})
			return
		}
		id, err := FileReport(r.Context(), a.store, a.stations.Load(), &rep, time.Now())
		reply(w, Reported{id}, err)
	})
	mux.HandleFunc("GET /v1/issuances/{prefix}/incidents", func(w http.ResponseWriter, r *http.Request) {
		list, err := IncidentsOf(r.Context(), a.store, r.PathValue("prefix"))
		reply(w, list, err)
	})
}

// Reported is what came of a report.
type Reported struct {
	Issuance string `json:"issuance"`
}

// AskFileReport files a report with the daemon of the given state, which decides it at once, or into the state itself for
// the next daemon when none runs; st is then used.
func AskFileReport(ctx context.Context, state string, st *Stations, r *Report) (Reported, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return Reported{}, err
	}
	if len(body) > maxReport {
		return Reported{}, &AskError{Text: fmt.Sprintf("the report is larger than %d bytes", maxReport)}
	}
	return askWith(ctx, state, "POST /v1/reports", bytes.NewReader(body), func(*store.Store) (Reported, error) {
		s, err := store.Open(state, nil)
		if err != nil {
			return Reported{}, err
		}
		id, err := FileReport(ctx, s, st, r, time.Now())
		return Reported{id}, errors.Join(err, s.Close())
	})
}

// notFiled is what the daemon says of something that it does not have.
type notFiled struct{ *AskError }

func (notFiled) Unwrap() error { return store.ErrNotFound }

// IncidentsOf lists the incidents to which an issuance belongs, the newest first.
func IncidentsOf(ctx context.Context, s *store.Store, prefix string) ([]IncidentSummary, error) {
	rec, err := s.Find(ctx, prefix)
	if err != nil {
		return nil, err
	}
	members, err := s.IncidentsOf(ctx, rec.Issuance.ID)
	if err != nil {
		return nil, err
	}
	out := []IncidentSummary{}
	for _, m := range members {
		i, err := s.Incident(ctx, m.Incident)
		if err != nil {
			return nil, err
		}
		out = append(out, summary(&i))
	}
	return out, nil
}

// AskIncidentsOf lists the incidents of an issuance of the given state.
func AskIncidentsOf(ctx context.Context, state, prefix string) ([]IncidentSummary, error) {
	return ask(ctx, state, "/v1/issuances/"+url.PathEscape(prefix)+"/incidents", func(s *store.Store) ([]IncidentSummary, error) {
		return IncidentsOf(ctx, s, prefix)
	})
}
