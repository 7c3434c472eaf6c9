package ctlog

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tocsin-ct/tocsin/loglist"
)

// Evidence is what is kept of a [Fault]: a document that stands alone. Whoever has the key of the log, from a source of
// his own, verifies it offline: see [Evidence.Verify]. Nothing in it is to be believed for standing there.
type Evidence struct {
	Version int       `json:"version,omitempty"` // 1; 0 in what was kept before versions were counted
	Kind    FaultKind `json:"kind,omitempty"`
	// Text is the fault in one sentence, as it was told at the time At.
	Text string    `json:"text,omitempty"`
	At   time.Time `json:"at,omitzero"`
	// Log says which log is meant: its protocol ("rfc6962", "static"), name and addresses. Key is its public key,
	// whose SHA-256 is the log's id.
	Log EvidenceLog `json:"log,omitzero"`
	Key []byte      `json:"key"`
	// Heads are the heads concerned as the log sent them, and Received when.
	Heads    []string    `json:"heads,omitempty"`
	Received []time.Time `json:"received,omitempty"`
	// OtherKey is the public key of another log that signed the head in place of this one's. See [KeyChange].
	OtherKey []byte `json:"other_key,omitempty"`
	// From and To are the range of entries concerned: From inside, To outside.
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
	// FirstBad is the range (inside, outside) in which the first wrong entry stands, as far as the log's own proofs
	// tell.
	FirstBad *[2]uint64 `json:"first_bad,omitempty"`
	// Want is the root (for a wrong entry, the leaf hash) that was signed, Got the one that was computed.
	Want *Hash `json:"want,omitempty"`
	Got  *Hash `json:"got,omitempty"`
	// Proof is a consistency proof from From to To.
	Proof []Hash `json:"proof,omitempty"`
	// Entry is the MerkleTreeLeaf of the entry concerned as the log served it, EntryIndex its index, EntryHash the leaf
	// hash which the tree of the first head has there, and EntryPath the audit path of that.
	EntryIndex uint64 `json:"entry_index,omitempty"`
	Entry      []byte `json:"entry,omitempty"`
	EntryHash  *Hash  `json:"entry_hash,omitempty"`
	EntryPath  []Hash `json:"entry_path,omitempty"`
	// SCT is the SerializedSCT whose promise is not kept; it signs Entry. See [NotMerged]. Denials is how often the log
	// was asked for the leaf and did not prove it.
	SCT     []byte `json:"sct,omitempty"`
	Denials int    `json:"denials,omitempty"`
	// Tile is the tile concerned, its path below the log's monitoring prefix; TileSize the bytes that came, TileBytes
	// the first of them.
	Tile      string `json:"tile,omitempty"`
	TileSize  int    `json:"tile_size,omitempty"`
	TileBytes []byte `json:"tile_bytes,omitempty"`
	// Since is when the fault was first seen, and Answer what the log last said.
	Since  time.Time `json:"since,omitzero"`
	Answer string    `json:"answer,omitempty"`
}

// EvidenceLog names the log in an [Evidence].
type EvidenceLog struct {
	Kind          string `json:"kind"`
	Name          string `json:"name"`
	URL           string `json:"url"`
	MonitoringURL string `json:"monitoring_url,omitempty"`
	// MMD is the maximum merge delay in seconds, as the list gave it.
	MMD float64 `json:"mmd,omitempty"`
}

// Bounds of evidence.
const (
	maxEvidence  = 4 << 20
	maxTileBytes = 256 << 10
	maxProofLen  = 128
)

// about makes the evidence of a fault that concerns these heads. A head that was not signed is left out.
func (t *Tailer) about(heads ...Head) Evidence { return aboutLog(t.g, heads...) }

func aboutLog(g *loglist.Log, heads ...Head) Evidence {
	ev := Evidence{Version: 1, Key: g.Key, Log: EvidenceLog{Kind: g.Kind.String(), Name: g.Name(), URL: g.URL, MonitoringURL: g.MonitoringURL, MMD: g.MMD.Seconds()}}
	for _, h := range heads {
		if h.Raw != nil {
			ev.Heads = append(ev.Heads, string(h.Raw))
			ev.Received = append(ev.Received, h.Received.UTC())
		}
	}
	return ev
}

// ReadEvidence reads an evidence file: the document itself, or a fault that holds it, as receivers are told.
func ReadEvidence(b []byte) (*Evidence, error) {
	if len(b) > maxEvidence {
		return nil, fmt.Errorf("reading evidence: more than %d bytes", maxEvidence)
	}
	var outer struct {
		Evidence json.RawMessage `json:"evidence"`
		Kind     json.RawMessage `json:"kind"`
		Fault    *struct {
			Evidence json.RawMessage `json:"evidence"`
			Kind     string          `json:"kind"`
		} `json:"fault"`
	}
	if err := json.Unmarshal(b, &outer); err != nil {
		return nil, fmt.Errorf("reading evidence: %w", err)
	}
	kind := ""
	_ = json.Unmarshal(outer.Kind, &kind)
	if outer.Fault != nil {
		b, kind = outer.Fault.Evidence, outer.Fault.Kind
	} else if outer.Evidence != nil {
		b = outer.Evidence
	}
	ev := new(Evidence)
	if err := json.Unmarshal(b, ev); err != nil {
		return nil, fmt.Errorf("reading evidence: %w", err)
	}
	if ev.Kind == "" {
		ev.Kind = kind
	}
	switch {
	case ev.Version > 1:
		return nil, fmt.Errorf("reading evidence: version %d is newer than this program knows", ev.Version)
	case ev.Kind == "":
		return nil, errors.New("reading evidence: it does not say which fault is meant")
	case len(ev.Proof) > maxProofLen || len(ev.EntryPath) > maxProofLen || len(ev.Heads) > 16:
		return nil, errors.New("reading evidence: longer than any true one")
	}
	return ev, nil
}

// LogFor makes the log that the evidence means, with the key of the verifier's choice.
func (ev *Evidence) LogFor(key []byte) (loglist.Log, error) {
	kind := loglist.RFC6962
	if ev.Log.Kind == loglist.Static.String() || ev.Log.Kind == "" && len(ev.Heads) > 0 && ev.Heads[0] != "" && ev.Heads[0][0] != '{' {
		kind = loglist.Static
	}
	url := ev.Log.URL
	if url == "" && kind == loglist.Static { // kept before logs were named: the checkpoint's first line is the origin
		url = "https://" + firstLine(ev.Heads[0])
	} else if url == "" {
		url = "https://log.invalid/"
	}
	log, err := loglist.FromKey(kind, url, ev.Log.MonitoringURL, key, "")
	if err == nil {
		log.Description = disarm(ev.Log.Name)
	}
	return log, err
}

func firstLine(s string) string {
	for i := range s {
		if s[i] == '\n' {
			return s[:i]
		}
	}
	return s
}

// ForkEvidence makes the evidence of a fork that was found by comparing heads of different sources.
func ForkEvidence(log loglist.Log, f *ForkError, at time.Time) *Evidence {
	ev := aboutLog(&log, f.Older, f.Newer)
	ev.Kind, ev.Text, ev.At = Forked, disarm(f.Error()), at.UTC()
	ev.From, ev.To, ev.Want, ev.Got, ev.Proof = f.Older.Size, f.Newer.Size, &f.Older.Root, &f.Computed, f.Proof
	return &ev
}
