package ctlog

import (
	"context"
	"errors"

	"github.com/tocsin-ct/tocsin/loglist"
)

var errPending = errors.New("not built yet")

type (
	verifier struct{}
	fetcher  struct{}
)

func newVerifier(*loglist.Log) (*verifier, error)         { return nil, errPending }
func newFetcher(*loglist.Log, *Options) (*fetcher, error) { return nil, errPending }
func newRFC6962(*loglist.Log, *verifier, *fetcher) Client { return nil }
func newStatic(*loglist.Log, *verifier, *fetcher) Client  { return nil }

// ReadDataTile reads a data tile that begins with the entry at index into the batch. The batch aliases tile.
func ReadDataTile(tile []byte, index uint64, into *Batch) error { return errPending }

// ReadEntriesPage reads an answer to get-entries that begins with the entry at index into the batch. After an error
// the batch holds the whole entries before it.
func ReadEntriesPage(page []byte, index uint64, into *Batch) error { return errPending }

// Chain returns the precertificate as its CA issued it (nil for a final certificate) and the chain above it, leaf's
// issuer first. None of it is covered by the log's tree: check it against the leaf.
func Chain(ctx context.Context, c Client, e *Entry) (precert []byte, chain [][]byte, err error) {
	return nil, nil, errPending
}

// A Tailer follows one log.
type Tailer struct{}

// NewTailer returns a tailer that goes on from the cursor.
func NewTailer(c Client, cur Cursor, opts *TailOptions) *Tailer { return &Tailer{} }

// Run follows the log until ctx is done, whatever the log does; then it returns ctx.Err. In Once mode it returns nil
// once the head that was current at the start is verified, and an error wrapping [ErrBlind] when it cannot be.
func (t *Tailer) Run(ctx context.Context) error { return errPending }

// Status may be called at any time from any goroutine.
func (t *Tailer) Status() Status { return Status{} }
