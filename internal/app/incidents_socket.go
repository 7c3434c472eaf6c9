package app

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"

	"github.com/tocsin-ct/tocsin/internal/incident"
	"github.com/tocsin-ct/tocsin/internal/store"
)

// incidentRoutes are the addresses of incidents and silences on the socket.
func (a *App) incidentRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /v1/incidents", func(w http.ResponseWriter, r *http.Request) {
		limit, _ := strconv.Atoi(r.FormValue("limit"))
		v, err := Incidents(r.Context(), a.store, IncidentQuery{Closed: r.FormValue("closed") == "true", Owner: r.FormValue("owner"), Status: r.FormValue("status"), AtLeast: r.FormValue("at_least"), Limit: limit})
		reply(w, v, err)
	})
	mux.HandleFunc("GET /v1/incidents/{id}", func(w http.ResponseWriter, r *http.Request) {
		v, err := ShowIncident(r.Context(), a.store, r.PathValue("id"))
		reply(w, v, err)
	})
	word := func(do func(context.Context, string, Word) (IncidentSummary, error)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			v, err := do(r.Context(), r.PathValue("id"), Word{By: r.FormValue("by"), Comment: r.FormValue("comment"), UntilDifferent: r.FormValue("until_different") == "true"})
			reply(w, v, err)
		}
	}
	mux.HandleFunc("POST /v1/incidents/{id}/ack", word(a.Ack))
	mux.HandleFunc("POST /v1/incidents/{id}/resolve", word(a.Resolve))
	mux.HandleFunc("GET /v1/silences", func(w http.ResponseWriter, r *http.Request) {
		v, err := Silences(r.Context(), a.store)
		reply(w, v, err)
	})
	mux.HandleFunc("POST /v1/silences", func(w http.ResponseWriter, r *http.Request) {
		var s incident.Silence
		if err := json.Unmarshal([]byte(r.FormValue("silence")), &s); err != nil {
			reply(w, nil, &AskError{Text: "the silence is not understood: " + err.Error()})
			return
		}
		v, err := a.Silence(r.Context(), s, r.FormValue("dry") == "true")
		reply(w, v, err)
	})
	mux.HandleFunc("POST /v1/silences/{id}/end", func(w http.ResponseWriter, r *http.Request) {
		reply(w, struct{}{}, a.EndSilence(r.Context(), r.PathValue("id"), r.FormValue("by")))
	})
}

// AskIncidents lists the incidents of the given state.
func AskIncidents(ctx context.Context, state string, q IncidentQuery) ([]IncidentSummary, error) {
	v := url.Values{"closed": {strconv.FormatBool(q.Closed)}, "owner": {q.Owner}, "status": {q.Status}, "at_least": {q.AtLeast}, "limit": {strconv.Itoa(q.Limit)}}
	return ask(ctx, state, "/v1/incidents?"+v.Encode(), func(s *store.Store) ([]IncidentSummary, error) { return Incidents(ctx, s, q) })
}

// AskIncident tells all of one incident of the given state.
func AskIncident(ctx context.Context, state, prefix string) (*IncidentDetail, error) {
	return ask(ctx, state, "/v1/incidents/"+url.PathEscape(prefix), func(s *store.Store) (*IncidentDetail, error) { return ShowIncident(ctx, s, prefix) })
}

// AskSay takes the word of a person ("ack" or "resolve") to the daemon.
func AskSay(ctx context.Context, state, prefix, what string, w Word) (IncidentSummary, error) {
	v := url.Values{"by": {w.By}, "comment": {w.Comment}, "until_different": {strconv.FormatBool(w.UntilDifferent)}}
	return ask(ctx, state, "POST /v1/incidents/"+url.PathEscape(prefix)+"/"+what+"?"+v.Encode(), daemonOnly[IncidentSummary])
}

// AskSilences lists the silences of the given state.
func AskSilences(ctx context.Context, state string) ([]SilenceState, error) {
	return ask(ctx, state, "/v1/silences", func(s *store.Store) ([]SilenceState, error) { return Silences(ctx, s) })
}

// AskSilence makes a silence, or with dry only says what it would have muted.
func AskSilence(ctx context.Context, state string, s incident.Silence, dry bool) (*Silencing, error) {
	v := url.Values{"silence": {string(mustJSON(s))}, "dry": {strconv.FormatBool(dry)}}
	return ask(ctx, state, "POST /v1/silences?"+v.Encode(), daemonOnly[*Silencing])
}

// AskEndSilence ends a silence.
func AskEndSilence(ctx context.Context, state, id, by string) error {
	_, err := ask(ctx, state, "POST /v1/silences/"+url.PathEscape(id)+"/end?by="+url.QueryEscape(by), daemonOnly[struct{}])
	return err
}

// daemonOnly refuses what only a daemon can do: it tells people at once.
func daemonOnly[T any](*store.Store) (v T, err error) {
	return v, &AskError{Text: "no daemon runs for this state, and only it can do that", HintText: "start tocsin watch, or name another state with --state"}
}
