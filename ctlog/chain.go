package ctlog

import (
	"context"
	"fmt"
)

// Chain returns the precertificate as its CA issued it (nil for a final certificate) and the chain above it, the
// issuer first. None of it is covered by the log's tree: check it against the leaf. From a static log the chain's
// certificates are fetched, and checked against their fingerprints; when one cannot be had, what is known comes with
// the error.
func Chain(ctx context.Context, c Client, e *Entry) (precert []byte, chain [][]byte, err error) {
	if err := e.LoadExtra(); err != nil {
		return nil, nil, err
	}
	if len(e.Extra) > 0 {
		return ReadExtra(e.Precert, e.Extra)
	}
	for _, fp := range e.Fingerprints {
		cert, err := c.Issuer(ctx, fp)
		if err != nil {
			return e.PreCert, chain, err
		}
		chain = append(chain, cert)
	}
	return e.PreCert, chain, nil
}

// ReadExtra decodes the extra_data of an RFC 6962 entry (section 4.6): for a certificate its chain, for a
// precertificate that itself and its chain. The results alias extra. What was read before an error comes with it.
func ReadExtra(isPrecert bool, extra []byte) (precert []byte, chain [][]byte, err error) {
	s := reader{b: extra}
	if isPrecert {
		precert = s.vector(3)
	}
	list := reader{b: s.vector(3), err: s.err}
	for list.err == nil && len(list.b) > 0 {
		if cert := list.vector(3); list.err == nil {
			chain = append(chain, cert)
		}
	}
	switch {
	case list.err != nil:
		return precert, chain, fmt.Errorf("reading extra_data: %w", list.err)
	case len(s.b) > 0:
		return precert, chain, fmt.Errorf("reading extra_data: %d bytes at its end", len(s.b))
	}
	return precert, chain, nil
}
