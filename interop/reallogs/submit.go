package reallogs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	ct "github.com/google/certificate-transparency-go"
	"github.com/google/certificate-transparency-go/tls"
)

// answerLimit bounds what is read of any answer; ours are a few hundred bytes.
const answerLimit = 1 << 20

// SCT is the promise of a log to take an entry.
type SCT struct {
	// TLS is the structure as it is embedded in certificates (RFC 6962 section 3.2, without the list's lengths).
	TLS []byte
	*ct.SignedCertificateTimestamp
}

// AddChain submits a final certificate; chain[0] is the certificate, the rest leads to a root, which may be left out.
// The SCT is not verified.
func (l *Log) AddChain(ctx context.Context, chain ...[]byte) (SCT, error) {
	return l.submit(ctx, ct.AddChainPath, chain)
}

// AddPreChain submits a precertificate, as AddChain does a certificate.
func (l *Log) AddPreChain(ctx context.Context, chain ...[]byte) (SCT, error) {
	return l.submit(ctx, ct.AddPreChainPath, chain)
}

func (l *Log) submit(ctx context.Context, path string, chain [][]byte) (SCT, error) {
	body, err := json.Marshal(ct.AddChainRequest{Chain: chain})
	if err != nil {
		return SCT{}, fmt.Errorf("encoding a chain: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(l.URL, "/")+path, bytes.NewReader(body))
	if err != nil {
		return SCT{}, fmt.Errorf("submitting to %s: %w", l.Name, err)
	}
	req.Header.Set("Content-Type", "application/json")
	answer, err := l.do(req)
	if err != nil {
		return SCT{}, fmt.Errorf("submitting to %s: %w", l.Name, err)
	}
	var r ct.AddChainResponse
	if err := json.Unmarshal(answer, &r); err != nil {
		return SCT{}, fmt.Errorf("reading the SCT of %s: %w", l.Name, err)
	}
	sct, err := r.ToSignedCertificateTimestamp()
	if err != nil {
		return SCT{}, fmt.Errorf("reading the SCT of %s: %w", l.Name, err)
	}
	raw, err := tls.Marshal(*sct)
	if err != nil {
		return SCT{}, fmt.Errorf("encoding the SCT of %s: %w", l.Name, err)
	}
	return SCT{TLS: raw, SignedCertificateTimestamp: sct}, nil
}

// Size is the size of the tree in the latest published head, which is not verified.
func (l *Log) Size(ctx context.Context) (uint64, error) {
	url := strings.TrimSuffix(l.URL, "/") + ct.GetSTHPath
	if l.Kind == Static {
		url = l.MonitoringURL + "checkpoint"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, fmt.Errorf("asking %s for its size: %w", l.Name, err)
	}
	answer, err := l.do(req)
	if err != nil {
		return 0, fmt.Errorf("asking %s for its size: %w", l.Name, err)
	}
	if l.Kind == Static {
		lines := strings.SplitN(string(answer), "\n", 3)
		if len(lines) < 3 {
			return 0, errors.New("reading a checkpoint: no second line")
		}
		return strconv.ParseUint(lines[1], 10, 64)
	}
	var sth ct.GetSTHResponse
	if err := json.Unmarshal(answer, &sth); err != nil {
		return 0, fmt.Errorf("reading the head of %s: %w", l.Name, err)
	}
	return sth.TreeSize, nil
}

// WaitSize returns when the log has published a head over at least n entries, or with the context's error.
func (l *Log) WaitSize(ctx context.Context, n uint64) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		size, err := l.Size(ctx)
		if err == nil && size >= n {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("waiting for %s to hold %d entries (has %d): %w", l.Name, n, size, context.Cause(ctx)), err)
		case <-tick.C:
		}
	}
}

func (l *Log) do(req *http.Request) ([]byte, error) {
	resp, err := l.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit))
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", resp.Status, bytes.TrimSpace(body))
	}
	return body, nil
}
