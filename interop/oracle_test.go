package interop_test

import (
	"bytes"
	"context"
	"crypto"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	ct "github.com/google/certificate-transparency-go"
	"github.com/google/certificate-transparency-go/client"
	"github.com/google/certificate-transparency-go/jsonclient"
	"github.com/google/certificate-transparency-go/tls"
	fnote "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	tclient "github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"

	"github.com/tocsin-ct/tocsin/interop/reallogs"
)

// view is what an independent client says that a log holds. Its head's signature has been verified and its root
// recomputed from the leaves.
type view struct {
	size   uint64
	root   [32]byte
	leaves []oracleLeaf
}

type oracleLeaf struct {
	// input is the MerkleTreeLeaf that is hashed, decoded in leaf.
	input []byte
	leaf  ct.MerkleTreeLeaf
	// extra is the extra_data of RFC 6962, never empty there; nil for static-ct-api.
	extra []byte
	// precert is the submitted precertificate; nil for a certificate.
	precert []byte
	// chain is what was submitted above the leaf; known for RFC 6962 only.
	chain [][]byte
	// fingerprints name the chain's certificates by SHA-256; known for static-ct-api only.
	fingerprints [][32]byte
}

// look reads the whole log with the libraries of its own kind: certificate-transparency-go for RFC 6962, Tessera's fsck
// for static-ct-api.
func look(t testing.TB, l *reallogs.Log) view {
	t.Helper()
	read := lookRFC6962
	if l.Kind == reallogs.Static {
		read = lookStatic
	}
	v, err := read(t.Context(), l)
	if err != nil {
		t.Fatalf("the oracle reads %s: %v", l.Name, err)
	}
	return v
}

// rfcClient verifies the signature of every head that it fetches.
func rfcClient(l *reallogs.Log) (*client.LogClient, error) {
	return client.New(strings.TrimSuffix(l.URL, "/"), l.Client(), jsonclient.Options{PublicKeyDER: l.SPKI})
}

func lookRFC6962(ctx context.Context, l *reallogs.Log) (view, error) {
	c, err := rfcClient(l)
	if err != nil {
		return view{}, fmt.Errorf("making the client: %w", err)
	}
	sth, err := c.GetSTH(ctx)
	if err != nil {
		return view{}, fmt.Errorf("fetching the head: %w", err)
	}
	v := view{size: sth.TreeSize, root: sth.SHA256RootHash}
	for uint64(len(v.leaves)) < v.size {
		page, err := c.GetRawEntries(ctx, int64(len(v.leaves)), int64(v.size)-1)
		if err != nil {
			return view{}, fmt.Errorf("fetching entries: %w", err)
		}
		for _, e := range page.Entries {
			raw, err := ct.RawLogEntryFromLeaf(int64(len(v.leaves)), &e)
			if err != nil {
				return view{}, fmt.Errorf("reading entry %d: %w", len(v.leaves), err)
			}
			leaf := oracleLeaf{input: e.LeafInput, leaf: raw.Leaf, extra: e.ExtraData}
			if raw.Leaf.TimestampedEntry.EntryType == ct.PrecertLogEntryType {
				leaf.precert = raw.Cert.Data
			}
			for _, c := range raw.Chain {
				leaf.chain = append(leaf.chain, c.Data)
			}
			v.leaves = append(v.leaves, leaf)
		}
	}
	return v, v.check()
}

// check recomputes the root.
func (v *view) check() error {
	tree := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
	for _, l := range v.leaves {
		if err := tree.Append(rfc6962.DefaultHasher.HashLeaf(l.input), nil); err != nil {
			return fmt.Errorf("appending to the tree: %w", err)
		}
	}
	root := rfc6962.DefaultHasher.EmptyRoot()
	if v.size > 0 {
		var err error
		if root, err = tree.GetRootHash(nil); err != nil {
			return fmt.Errorf("computing the root: %w", err)
		}
	}
	if !bytes.Equal(root, v.root[:]) {
		return fmt.Errorf("the root over %d leaves is %x, the head says %x", len(v.leaves), root, v.root)
	}
	return nil
}

// staticFetcher is Tessera's HTTP client with the paths where static-ct-api departs from tlog-tiles.
type staticFetcher struct {
	*tclient.HTTPFetcher
	log *reallogs.Log
	// checkpoint freezes the head of one look, since the log may grow meanwhile.
	checkpoint []byte
}

func (f staticFetcher) ReadCheckpoint(context.Context) ([]byte, error) { return f.checkpoint, nil }

func (f staticFetcher) ReadEntryBundle(ctx context.Context, index uint64, width uint8) ([]byte, error) {
	path := fmt.Sprintf("tile/data/%03d", index)
	if index >= 1000 {
		return nil, fmt.Errorf("tile %d: this oracle is for small logs", index)
	}
	if width > 0 {
		path += fmt.Sprintf(".p/%d", width)
	}
	return get(ctx, f.log.Client(), f.log.MonitoringURL+path)
}

func get(ctx context.Context, c *http.Client, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, resp.Status)
	}
	return io.ReadAll(resp.Body)
}

func lookStatic(ctx context.Context, l *reallogs.Log) (view, error) {
	verifier, err := fnote.NewRFC6962Verifier(verifierText(l))
	if err != nil {
		return view{}, fmt.Errorf("reading the log's key: %w", err)
	}
	u, err := url.Parse(l.MonitoringURL)
	if err != nil {
		return view{}, err
	}
	plain, err := tclient.NewHTTPFetcher(u, l.Client())
	if err != nil {
		return view{}, err
	}
	fetcher := staticFetcher{HTTPFetcher: plain, log: l}
	if fetcher.checkpoint, err = plain.ReadCheckpoint(ctx); err != nil {
		return view{}, fmt.Errorf("fetching the checkpoint: %w", err)
	}
	head, _, _, err := tclient.FetchCheckpoint(ctx, fetcher.ReadCheckpoint, verifier, l.Origin())
	if err != nil {
		return view{}, fmt.Errorf("verifying the checkpoint: %w", err)
	}
	v := view{size: head.Size, root: [32]byte(head.Hash)}
	// fsck hands over the tiles in order, and compares every hash tile and the root with what follows from them.
	err = fsck.New(l.Origin(), verifier, fetcher, func(tile []byte) ([][]byte, error) {
		leaves, err := readTile(tile)
		if err != nil {
			return nil, err
		}
		var hashes [][]byte
		for _, leaf := range leaves {
			hashes = append(hashes, rfc6962.DefaultHasher.HashLeaf(leaf.input))
		}
		v.leaves = append(v.leaves, leaves...)
		return hashes, nil
	}, fsck.Opts{N: 1}).Check(ctx)
	if err != nil {
		return view{}, fmt.Errorf("checking the tiles: %w", err)
	}
	for _, leaf := range v.leaves {
		for _, fp := range leaf.fingerprints {
			if _, err := get(ctx, l.Client(), fmt.Sprintf("%sissuer/%x", l.MonitoringURL, fp)); err != nil {
				return view{}, fmt.Errorf("fetching an issuer: %w", err)
			}
		}
	}
	return v, v.check()
}

// readTile decodes a data tile with the TLS reader of certificate-transparency-go.
func readTile(tile []byte) ([]oracleLeaf, error) {
	var leaves []oracleLeaf
	for len(tile) > 0 {
		leaf := oracleLeaf{leaf: ct.MerkleTreeLeaf{Version: ct.V1, LeafType: ct.TimestampedEntryLeafType, TimestampedEntry: new(ct.TimestampedEntry)}}
		rest, err := tls.Unmarshal(tile, leaf.leaf.TimestampedEntry)
		if err != nil {
			return nil, fmt.Errorf("reading leaf %d of a tile: %w", len(leaves), err)
		}
		if leaf.input, err = tls.Marshal(leaf.leaf); err != nil {
			return nil, fmt.Errorf("encoding leaf %d of a tile: %w", len(leaves), err)
		}
		if leaf.leaf.TimestampedEntry.EntryType == ct.PrecertLogEntryType {
			var precert ct.ASN1Cert
			if rest, err = tls.Unmarshal(rest, &precert); err != nil {
				return nil, fmt.Errorf("reading precertificate %d of a tile: %w", len(leaves), err)
			}
			leaf.precert = precert.Data
		}
		var chain struct {
			Prints []ct.LogID `tls:"minlen:0,maxlen:65535"`
		}
		if rest, err = tls.Unmarshal(rest, &chain); err != nil {
			return nil, fmt.Errorf("reading chain %d of a tile: %w", len(leaves), err)
		}
		for _, p := range chain.Prints {
			leaf.fingerprints = append(leaf.fingerprints, p.KeyID)
		}
		leaves = append(leaves, leaf)
		tile = rest
	}
	return leaves, nil
}

func verifierText(l *reallogs.Log) string {
	text, err := fnote.RFC6962VerifierString(l.Origin(), crypto.PublicKey(&l.Key.PublicKey))
	if err != nil {
		panic(fmt.Sprintf("encoding a key of our own making (%s): %v", base64.StdEncoding.EncodeToString(l.SPKI), err))
	}
	return text
}
