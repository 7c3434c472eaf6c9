package config

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/tocsin-ct/tocsin/loglist"
)

func (k *checker) logs(e *logsEntry) {
	l := &k.c.Logs
	if len(e.Written) == 0 {
		k.refuse(e.At, "logs without list and add", "remove it to follow the default list")
	}
	if e.has("list") && e.has("lists") {
		k.refuse(e.Written["lists"], "list and lists exclude each other", "write all lists below lists")
	}
	seen := make(map[string]mark)
	switch {
	case e.List.Value == "none":
		l.None = true
		if e.has("signature_key") {
			k.refuse(e.Written["signature_key"], "a signature_key without a list", "remove it")
		}
	case e.has("list"):
		k.loglist(&listEntry{node: e.node, Source: e.List, SignatureKey: e.SignatureKey}, seen)
	case e.has("signature_key"):
		k.refuse(e.Written["signature_key"], "a signature_key without a list", "the key of the default list is known; for another one name the list, too")
	}
	if e.has("lists") && len(e.Lists) == 0 {
		k.refuse(e.Written["lists"], "lists is an empty list", "remove the key, or write a list: lists: [{source: https://…}]")
	}
	for i := range e.Lists {
		k.loglist(&e.Lists[i], seen)
	}
	l.AllowPrivate = e.AllowPrivate.Value != nil && *e.AllowPrivate.Value
	l.Refresh = k.duration(e.Refresh, "refresh", minRefresh, maxRefresh)
	if e.has("add") && len(e.Add) == 0 {
		k.refuse(e.Written["add"], "add is an empty list", "remove the key, or describe a log")
	}
	if l.None && len(e.Add) == 0 {
		k.refuse(e.List.At, "no list and no log: nothing would be followed", "describe a log under add, or remove list to follow the default list")
	}
	urls := make(map[string]mark)
	for i := range e.Add {
		k.log(&e.Add[i], urls)
	}
}

// loglist checks one log list.
func (k *checker) loglist(e *listEntry, seen map[string]mark) {
	l := List{Source: e.Source.Value, Place: k.place(e.At)}
	switch {
	case l.Source == "":
		k.refuse(e.At, "an entry of lists without source", "write the URL or path of a log list")
		return
	case l.Source == "none":
		k.refuse(e.Source.At, "none is not one of several lists", "write list: none, without lists, to follow only the logs under add")
	case strings.Contains(l.Source, "://"):
		k.url(e.Source, "list")
	default:
		l.Source = k.abs(l.Source)
	}
	if first, dup := seen[l.Source]; dup {
		k.refuse(e.Source.At, fmt.Sprintf("the list at line %d again", first.line), "name each list once")
	}
	seen[l.Source] = e.Source.At
	if e.has("signature_key") {
		l.SignatureKey = k.signatureKey(e.SignatureKey)
	}
	k.c.Logs.Lists = append(k.c.Logs.Lists, l)
}

// maxKeyFile bounds a file with one public key.
const maxKeyFile = 16 << 10

// signatureKey reads a key as written, or from a file.
func (k *checker) signatureKey(t text) []byte {
	raw := []byte(t.Value)
	if path, ok := strings.CutPrefix(t.Value, "file:"); ok {
		f, err := os.Open(k.abs(path))
		if err == nil {
			raw, err = io.ReadAll(io.LimitReader(f, maxKeyFile+1))
			f.Close()
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("there is no file %s", path)
		}
		if err != nil {
			k.refuse(t.At, fmt.Sprintf("signature_key: %v", err), "name a file with the public key of the publisher: file:google.pem")
			return nil
		}
	}
	key, err := loglist.ParseKey(raw)
	if err == nil {
		var der []byte
		if der, err = x509.MarshalPKIXPublicKey(key); err == nil {
			return der
		}
	}
	k.refuse(t.At, fmt.Sprintf("signature_key: %v", err), "write file: and the path of a public key in PEM, or the base64 of its DER SubjectPublicKeyInfo")
	return nil
}
