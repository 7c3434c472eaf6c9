package lists

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"time"

	"github.com/tocsin-ct/tocsin/loglist"
)

// signAgain is how long to wait before list and signature are fetched once more: a publisher replaces the two one after
// the other.
const signAgain = 2 * time.Second

// fetched is what a publisher had.
type fetched struct {
	answer    *loglist.Answer
	signature []byte
	list      *loglist.List
	same      bool // as what was accepted before
	err       error
}

// fetch asks a publisher, conditionally when a copy is kept, and checks what can be checked without looking at what is in
// force.
func (s *Set) fetch(ctx context.Context, src Source, m source) (f fetched) {
	opts := &loglist.FetchOptions{Client: s.opts.Client, UserAgent: s.opts.UserAgent}
	if s.opts.Client == nil && loglist.Remote(src.Name) {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 2*time.Minute)
		defer cancel()
	}
	opts.ETag, opts.LastModified = m.ETag, m.LastModified
	for again := false; ; again = true {
		if f.answer, f.err = loglist.Fetch(ctx, src.Name, opts); f.err != nil {
			return f
		}
		if f.answer.Unchanged {
			f.same = true
			return f
		}
		if src.Key != nil {
			if f.signature, f.err = s.signature(ctx, src, opts); f.err != nil {
				return f
			}
		}
		f.list, f.err = check(f.answer.Body, f.signature, src.Key)
		var refused *refusedError
		if again || !errors.As(f.err, &refused) || len(f.signature) == 0 {
			break
		}
		select {
		case <-ctx.Done():
			return f
		case <-time.After(signAgain):
		}
		opts.ETag, opts.LastModified, opts.NoCache = "", "", true
	}
	f.same = f.err == nil && bytes.Equal(f.answer.Body, m.List)
	if f.err != nil {
		f.err = fmt.Errorf("loading log list %s: %w", src.Name, f.err)
	}
	return f
}

// signature fetches the detached signature; nil when there is none.
func (s *Set) signature(ctx context.Context, src Source, list *loglist.FetchOptions) ([]byte, error) {
	a, err := loglist.Fetch(ctx, loglist.SignaturePlace(src.Name), &loglist.FetchOptions{Client: list.Client, UserAgent: list.UserAgent, NoCache: list.NoCache})
	var status *loglist.StatusError
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.As(err, &status) && (status.Code == http.StatusNotFound || status.Code == http.StatusGone):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return a.Body, nil
}

// take judges what a publisher had, and puts it in force or keeps what is. The error is for the start.
func (s *Set) take(src Source, f fetched) error {
	m, now := s.mem.source(src.Name), time.Now()
	var refused *refusedError
	switch {
	case errors.As(f.err, &refused):
		s.trouble(src.Name, m, Refused, f.err.Error(), now)
		s.settle(src.Name, m, Unreachable, now)
		return f.err
	case f.err != nil:
		s.trouble(src.Name, m, Unreachable, f.err.Error(), now)
		return f.err
	case f.answer.Unchanged || f.same && s.inForce[src.Name] != nil && s.inForce[src.Name].from != FromEmbedded:
		if !f.answer.Unchanged {
			m.ETag, m.LastModified, m.Signature = f.answer.ETag, f.answer.LastModified, f.signature
		}
		m.Checked, m.Offered = now, nil
		if in := s.inForce[src.Name]; in != nil && in.from == FromMemory {
			in.from = FromSource
		}
		s.settle(src.Name, m, Unreachable, now)
		s.settle(src.Name, m, Refused, now)
		return nil
	}
	s.settle(src.Name, m, Unreachable, now)
	var before *loglist.List
	if in := s.inForce[src.Name]; in != nil {
		before = in.list
		if in.from == FromEmbedded { // only its date counts: it may be as old as the program
			before = &loglist.List{Timestamp: in.list.Timestamp}
		}
	}
	if no := Judge(before, f.list, m.Accepted, now); no != nil {
		err := &UpdateError{src.Name, no}
		m.Offered = no
		if len(no.Lost) == 0 && !no.Older {
			m.Offered = nil
		}
		s.trouble(src.Name, m, Refused, err.Error(), now)
		return err
	}
	m.New = m.Fetched.IsZero()
	m.List, m.Signature, m.ETag, m.LastModified = f.answer.Body, f.signature, f.answer.ETag, f.answer.LastModified
	m.Fetched, m.Checked, m.Offered, m.Accepted = now, now, nil, nil
	s.inForce[src.Name] = &force{f.list, FromSource}
	s.settle(src.Name, m, Refused, now)
	return nil
}
