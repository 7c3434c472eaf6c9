package entry

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
)

// Roots are the certificates to which a log wants chains to lead. The zero value accepts any chain; it is safe for
// concurrent use.
type Roots struct {
	mu     sync.RWMutex
	all    [][]byte
	byHash map[[32]byte]bool
}

// Add accepts chains to one more root.
func (r *Roots) Add(der []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := sha256.Sum256(der)
	if r.byHash[h] {
		return
	}
	if r.byHash == nil {
		r.byHash = map[[32]byte]bool{}
	}
	r.byHash[h] = true
	r.all = append(r.all, der)
}

// All are the accepted roots in the order of their adding.
func (r *Roots) All() [][]byte {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return append([][]byte(nil), r.all...)
}

// Complete checks chain as a log does, but loosely: each certificate names the next as its issuer and its signature
// verifies where crypto/x509 can tell; the last one is an accepted root or was issued by one, which is then appended.
// Validity, purposes and constraints do not matter, and only the outer frame of the first certificate is read.
func (r *Roots) Complete(chain [][]byte) ([][]byte, error) {
	if len(chain) == 0 || len(chain) > MaxChain {
		return nil, fmt.Errorf("a chain of %d certificates", len(chain))
	}
	certs := make([]*certificate, len(chain))
	for i, der := range chain {
		c, err := parse(der)
		if err != nil {
			return nil, fmt.Errorf("reading certificate %d of the chain: %w", i, err)
		}
		certs[i] = c
		if i == 0 {
			continue
		}
		if err := certs[i-1].issuedBy(c, der); err != nil {
			return nil, fmt.Errorf("certificate %d of the chain: %w", i-1, err)
		}
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	last := len(chain) - 1
	if len(r.all) == 0 || r.byHash[sha256.Sum256(chain[last])] {
		return chain, nil
	}
	for _, root := range r.all {
		c, err := parse(root)
		if err == nil && certs[last].issuedBy(c, root) == nil {
			return append(chain[:len(chain):len(chain)], root), nil
		}
	}
	return nil, errors.New("the chain does not lead to an accepted root")
}

// algorithms are the signatures that crypto/x509 can check, by content of their OID.
var algorithms = map[string]x509.SignatureAlgorithm{
	"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b": x509.SHA256WithRSA,
	"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c": x509.SHA384WithRSA,
	"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d": x509.SHA512WithRSA,
	"\x2a\x86\x48\xce\x3d\x04\x03\x02":     x509.ECDSAWithSHA256,
	"\x2a\x86\x48\xce\x3d\x04\x03\x03":     x509.ECDSAWithSHA384,
	"\x2b\x65\x70":                         x509.PureEd25519,
}

func (c *certificate) issuedBy(parent *certificate, der []byte) error {
	if !bytes.Equal(c.fields[c.issuer].whole, parent.fields[parent.subject].whole) {
		return errors.New("it was issued by another name than that of the next")
	}
	seq, _, err := next(c.algorithm)
	if err != nil {
		return fmt.Errorf("signature algorithm: %w", err)
	}
	oid, _, err := next(seq.content)
	if err != nil {
		return fmt.Errorf("signature algorithm: %w", err)
	}
	alg, known := algorithms[string(oid.content)]
	key, err := x509.ParseCertificate(der)
	if !known || err != nil {
		return nil // loosely: what cannot be checked passes
	}
	if err := key.CheckSignature(alg, c.tbs, c.signature); err != nil {
		return fmt.Errorf("signature: %w", err)
	}
	return nil
}

// Subject is the subject name of a certificate as a complete element, nil when unreadable; Issuer likewise.
func Subject(der []byte) []byte {
	c, err := parse(der)
	if err != nil {
		return nil
	}
	return c.fields[c.subject].whole
}

// Issuer is the issuer name of a certificate as a complete element, nil when unreadable.
func Issuer(der []byte) []byte {
	c, err := parse(der)
	if err != nil {
		return nil
	}
	return c.fields[c.issuer].whole
}

// IssuedBy tells whether child names parent as its issuer and, where it can be checked, its signature verifies.
func IssuedBy(child, parent []byte) bool {
	c, err := parse(child)
	if err != nil {
		return false
	}
	p, err := parse(parent)
	return err == nil && c.issuedBy(p, parent) == nil
}
