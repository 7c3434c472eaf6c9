package config

import (
	"fmt"
	"reflect"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/tocsin-ct/tocsin/internal/route"
)

// Digest says when the daily digest is sent.
type Digest struct {
	// Off: never. At is nil when no time was given.
	Off bool
	At  *route.Daily
}

// Heartbeat says to whom a sign of life is given. Every is 0 when not given, and URL is not given when nobody is.
type Heartbeat struct {
	URL   Secret
	Every time.Duration
}

// digestEntry is a mapping, or the one word "off".
type digestEntry struct {
	node
	Word text
	Time text `yaml:"at"`
}

type heartbeatEntry struct {
	node
	URL     text `yaml:"url"`
	URLFile text `yaml:"url_file"`
	Every   text `yaml:"every"`
}

// Limits of the time between two heartbeats; docs/config.md says why.
const minBeat, maxBeat = 100 * time.Millisecond, 24 * time.Hour

const digestHint = `write digest: {at: "08:00 Europe/Berlin"}, or digest: off`

func (d *decoder) digest(n ast.Node, into *digestEntry, key string) {
	if isScalar(n) {
		d.text(n, &into.Word, key)
		into.At = into.Word.At
		return
	}
	d.mapping(n, reflect.ValueOf(into).Elem(), key)
}

func (k *checker) digestTime(e *digestEntry) {
	switch {
	case e.Word.Value == "off" || e.Word.Value == "false":
		k.c.Digest.Off = true
	case e.Word.Value != "":
		k.refuse(e.Word.At, fmt.Sprintf("digest is off or a mapping, not %.60q", e.Word.Value), digestHint)
	case e.Time.Value == "":
		k.refuse(e.At, "digest without a time", digestHint)
	default:
		at, err := route.ParseDaily(e.Time.Value)
		if err != nil {
			k.refuse(e.Time.At, fmt.Sprintf("at: %v", err), `write a time of the day and a time zone: "08:00 Europe/Berlin"`)
			return
		}
		k.c.Digest.At = at
	}
}

func (k *checker) heartbeat(e *heartbeatEntry) {
	if !e.has("url") && !e.has("url_file") {
		k.refuse(e.At, "heartbeat without url_file: nobody would get a sign of life", `write the URL that your dead-man's switch gave you into a file, and its path here: url_file: /etc/tocsin/heartbeat; or url: "${env:NAME}"`)
		return
	}
	k.c.Heartbeat = Heartbeat{URL: k.secret(e.URL, e.URLFile, "url"), Every: k.duration(e.Every, "every", minBeat, maxBeat)}
}
