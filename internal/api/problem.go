package api

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/tocsin-ct/tocsin/internal/expectation"
)

// Problem is an answer that says what is wrong (RFC 9457). It is an error, so that a [Backend] can return it.
type Problem struct {
	Type   string `json:"type"` // "about:blank": the status says the kind
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	// HintText is what to do about it, Field the key of the request that is wrong; "" when there is none.
	HintText string `json:"hint,omitempty"`
	Field    string `json:"field,omitempty"`

	wait time.Duration
}

func (p *Problem) Error() string { return p.Detail }

// Hint is for a command to print under the error.
func (p *Problem) Hint() string { return p.HintText }

func tooMany(wait time.Duration) *Problem {
	return &Problem{Status: http.StatusTooManyRequests, Title: "Too many requests", Detail: fmt.Sprintf("ask again in %s", wait.Round(time.Second)), wait: wait}
}

// problem makes an answer of any error. What went wrong on our side is told to the operator alone.
func problem(err error, operator bool) *Problem {
	var p *Problem
	var request *expectation.RequestError
	var refused *expectation.RefusedError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &request):
		return &Problem{Status: http.StatusUnprocessableEntity, Title: "The request is wrong", Detail: request.Error(), HintText: request.Hint(), Field: request.Field}
	case errors.As(err, &refused):
		return &Problem{Status: http.StatusForbidden, Title: "Beyond the scope of the token", Detail: refused.Why}
	}
	out := &Problem{Status: http.StatusInternalServerError, Title: "tocsin failed", Detail: "the daemon could not do it; its log says why"}
	if operator {
		out.Detail = err.Error()
		var h interface{ Hint() string }
		if errors.As(err, &h) {
			out.HintText = h.Hint()
		}
	}
	return out
}

func (h *handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := *problem(err, h.o.Operator)
	p.Type = "about:blank"
	if p.Status >= 500 {
		h.o.Logger.Error("a request to the API failed", "method", r.Method, "path", r.URL.Path, "err", err)
	}
	switch p.Status {
	case http.StatusTooManyRequests:
		w.Header().Set("Retry-After", strconv.Itoa(int(p.wait/time.Second)+1))
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="tocsin"`)
	}
	write(w, p.Status, "application/problem+json", &p)
}
