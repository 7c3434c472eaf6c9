package main

import (
	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/config"
)

// quiet is how tocsin shows that it lives while nothing rings.
func quiet(c *config.Config) app.Quiet {
	q := app.Quiet{Digest: c.Digest.At, NoDigest: c.Digest.Off, Heartbeat: app.Heartbeat{Every: c.Heartbeat.Every}}
	if c.Heartbeat.URL.Given() {
		q.Heartbeat.URL = c.Heartbeat.URL.Value
	}
	return q
}
