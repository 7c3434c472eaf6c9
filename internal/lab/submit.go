package lab

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/tocsin-ct/tocsin/internal/lab/ca"
)

// Logs is a set of the lab's logs. The zero value means both.
type Logs uint8

// The two logs.
const (
	ToRFC6962 Logs = 1 << iota
	ToStatic
	ToBoth = ToRFC6962 | ToStatic
)

func (s Logs) String() string {
	switch s {
	case ToRFC6962:
		return "log A"
	case ToStatic:
		return "log B"
	}
	return "both logs"
}

func (s Logs) urls(l *Lab) []string {
	if s == 0 {
		s = ToBoth
	}
	var out []string
	if s&ToRFC6962 != 0 {
		out = append(out, "http://"+l.RFC6962Addr+prefix)
	}
	if s&ToStatic != 0 {
		out = append(out, "http://"+l.StaticAddr+prefix)
	}
	return out
}

// Submit sends the precertificate to both logs over HTTP, finishes the certificate with their SCTs and returns these.
// The final certificate is not submitted: see [Lab.SubmitFinal].
func (l *Lab) Submit(ctx context.Context, i *ca.Issued) ([][]byte, error) {
	scts, err := l.AddPreChain(ctx, ToBoth, i.Precert, i.Chain)
	if err != nil {
		return nil, err
	}
	if _, err := i.Finish(scts); err != nil {
		return nil, fmt.Errorf("finishing certificate: %w", err)
	}
	return scts, nil
}

// SubmitFinal sends the final certificate to logs. Before [ca.Issued.Finish] it finishes it without SCTs: a
// certificate that came to the logs only later.
func (l *Lab) SubmitFinal(ctx context.Context, to Logs, i *ca.Issued) ([][]byte, error) {
	if i.Final == nil {
		if _, err := i.Finish(nil); err != nil {
			return nil, fmt.Errorf("finishing certificate: %w", err)
		}
	}
	return l.AddChain(ctx, to, i.Final, i.FinalChain)
}

// AddPreChain submits a precertificate with its chain and returns the SCTs, serialized as in RFC 6962 section 3.2.
func (l *Lab) AddPreChain(ctx context.Context, to Logs, precert []byte, chain [][]byte) ([][]byte, error) {
	return l.submit(ctx, to, "add-pre-chain", precert, chain)
}

// AddChain submits a certificate with its chain.
func (l *Lab) AddChain(ctx context.Context, to Logs, cert []byte, chain [][]byte) ([][]byte, error) {
	return l.submit(ctx, to, "add-chain", cert, chain)
}

func (l *Lab) submit(ctx context.Context, to Logs, method string, cert []byte, chain [][]byte) ([][]byte, error) {
	body, err := json.Marshal(map[string][][]byte{"chain": append([][]byte{cert}, chain...)})
	if err != nil {
		return nil, fmt.Errorf("encoding submission: %w", err)
	}
	var scts [][]byte
	for _, url := range to.urls(l) {
		sct, err := l.post(ctx, url+"/ct/v1/"+method, body)
		if err != nil {
			return scts, fmt.Errorf("submitting to %s: %w", url, err)
		}
		scts = append(scts, sct)
	}
	return scts, nil
}

func (l *Lab) post(ctx context.Context, url string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := l.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", resp.Status, strings.TrimSpace(string(answer)))
	}
	return readSCT(answer)
}

// readSCT turns the answer of add-chain (RFC 6962 section 4.1) into the serialized SCT.
func readSCT(answer []byte) ([]byte, error) {
	var in struct {
		Version    int    `json:"sct_version"`
		ID         []byte `json:"id"`
		Timestamp  uint64 `json:"timestamp"`
		Extensions string `json:"extensions"`
		Signature  []byte `json:"signature"`
	}
	if err := json.Unmarshal(answer, &in); err != nil {
		return nil, fmt.Errorf("reading SCT: %w", err)
	}
	ext, err := base64.StdEncoding.DecodeString(in.Extensions)
	if err != nil || in.Version != 0 || len(in.ID) != 32 || len(ext) > 0xffff {
		return nil, errors.Join(errors.New("reading SCT: not of version 1"), err)
	}
	out := append([]byte{0}, in.ID...)
	out = binary.BigEndian.AppendUint64(out, in.Timestamp)
	out = binary.BigEndian.AppendUint16(out, uint16(len(ext)))
	out = append(out, ext...)
	return append(out, in.Signature...), nil
}
