package main

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tocsin-ct/tocsin/internal/lab/ca"
)

func requestCmd(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: request FILE NAME...")
	}
	key, err := ca.NewKey(ca.P256, "script "+args[1])
	ts.Check(err)
	req := &x509.CertificateRequest{}
	for _, name := range args[1:] {
		if ip := net.ParseIP(name); ip != nil {
			req.IPAddresses = append(req.IPAddresses, ip)
		} else {
			req.DNSNames = append(req.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, req, key)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), 0o600))
}

func joinCmd(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: join FILE FROM...")
	}
	var all []byte
	for _, from := range args[1:] {
		all = append(all, ts.ReadFile(from)...)
	}
	path := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(filepath.Dir(path), 0o700))
	ts.Check(os.WriteFile(path, all, 0o600))
}

// portCmd chooses a free port, puts it into a file in place of PORT, and into the environment.
func portCmd(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: port FILE")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	_, port, err := net.SplitHostPort(l.Addr().String())
	ts.Check(err)
	ts.Check(l.Close())
	ts.Setenv("PORT", port)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.ReplaceAll(ts.ReadFile(args[0]), "PORT", port)), 0o600))
}

// revokeCmd revokes the token in a file.
func revokeCmd(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: revoke FILE")
	}
	parts := strings.Split(ts.ReadFile(args[0]), "_")
	if len(parts) != 3 {
		ts.Fatalf("%s holds no token", args[0])
	}
	ts.Check(ts.Exec("tocsin", "token", "revoke", "--config", "tocsin.yaml", parts[1]))
}
