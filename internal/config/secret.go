package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strings"
)

// Secret is a password, token or key: where it is to be found, never what it is. It is read anew each time, so that a
// file may be changed while tocsin runs.
type Secret struct {
	file, env string
	key       string // for messages
}

// maxSecret bounds the file of a secret.
const maxSecret = 64 << 10

// Given reports whether there is one.
func (s Secret) Given() bool { return s.file != "" || s.env != "" }

// Value reads it. A line break at its end is not part of it. Errors name the place, and nothing of the content.
func (s Secret) Value() (string, error) {
	value, where := "", ""
	switch {
	case s.env != "":
		value, where = os.Getenv(s.env), "the environment variable "+s.env
	case s.file != "":
		where = s.file
		f, err := os.Open(s.file)
		if err != nil {
			return "", fmt.Errorf("%s: %w", s.key, err)
		}
		defer f.Close()
		b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
		if err != nil {
			return "", fmt.Errorf("%s: %w", s.key, err)
		}
		if len(b) > maxSecret {
			return "", fmt.Errorf("%s: %s is larger than %d bytes", s.key, where, maxSecret)
		}
		value = string(b)
	default:
		return "", errors.New("there is no secret")
	}
	value = strings.TrimRight(value, "\r\n")
	switch {
	case value == "":
		return "", fmt.Errorf("%s: %s is empty", s.key, where)
	case strings.ContainsAny(value, "\r\n\x00"):
		return "", fmt.Errorf("%s: %s has several lines", s.key, where)
	}
	return value, nil
}

// String says where it is. So do all formats: what it is can be had from [Secret.Value] alone.
func (s Secret) String() string {
	switch {
	case s.env != "":
		return "(secret in ${env:" + s.env + "})"
	case s.file != "":
		return "(secret in " + s.file + ")"
	}
	return "(no secret)"
}

var envName = regexp.MustCompile(`^\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}$`)

// secret checks the two ways of giving one: a key with _file, or the name of an environment variable. The value itself
// does not stand in a configuration, which is copied, shown and checked in.
func (k *checker) secret(value, file text, key string) Secret {
	s := Secret{key: key}
	switch {
	case value.Value != "" && file.Value != "":
		k.refuse(file.At, fmt.Sprintf("both %s and %s_file", key, key), "remove one of them")
	case value.Value != "":
		m := envName.FindStringSubmatch(value.Value)
		if m == nil {
			k.refuseUnseen(value.At, fmt.Sprintf("%s stands in the configuration itself", key),
				fmt.Sprintf(`write it into a file that only tocsin can read, and the path into %s_file; or name an environment variable: %s: "${env:NAME}"`, key, key))
			return s
		}
		s.env = m[1]
	case file.Value != "":
		s.file = k.abs(file.Value)
		info, err := os.Stat(s.file)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			k.refuse(file.At, fmt.Sprintf("%s_file: there is no file %s", key, file.Value), "relative paths are taken from the directory of the configuration")
		case err == nil && info.IsDir():
			k.refuse(file.At, fmt.Sprintf("%s_file: %s is a directory", key, file.Value), "name the file itself")
		}
	}
	return s
}

// refuseUnseen refuses without showing the line, which holds what nobody should see.
func (d *decoder) refuseUnseen(at mark, problem, hint string) {
	if len(d.errs) < maxErrors {
		d.errs = append(d.errs, &Error{File: d.path, Line: at.line, Column: at.column, Problem: problem, HintText: hint})
	}
}

// secretValue finds what follows a key that sounds like a secret, wherever somebody wrote one by mistake.
var secretValue = regexp.MustCompile(`(?i)([\w-]*(?:pass?w|secret|token)[\w-]*["']?\s*:\s*)([^\s,}][^,}]*)`)

// masked is a line of the file without what looks like a secret. It keeps its length.
func masked(line string) string {
	return secretValue.ReplaceAllStringFunc(line, func(found string) string {
		m := secretValue.FindStringSubmatch(found)
		key, _, _ := strings.Cut(m[1], ":")
		if strings.HasSuffix(strings.TrimRight(key, ` "'`), "_file") || strings.Contains(m[2], "${env:") || strings.HasPrefix(m[2], "[") || strings.HasPrefix(m[2], "{") {
			return found
		}
		return m[1] + strings.Repeat("*", len([]rune(m[2])))
	})
}
