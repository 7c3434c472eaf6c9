package main

import (
	"log/slog"
	"time"

	"github.com/tocsin-ct/tocsin/internal/lab"
)

// labCmd groups what concerns the lab.
type labCmd struct {
	Serve labServeCmd `cmd:"" help:"Keep one log of each kind running on loopback, fed from a directory of certificates."`
}

type labServeCmd struct {
	Certs       string        `required:"" type:"path" help:"Directory of PEM, DER or .gz files, looked at again for new ones."`
	RFC6962Addr string        `name:"rfc6962-addr" default:"127.0.0.1:0" help:"Where the RFC 6962 log listens."`
	StaticAddr  string        `default:"127.0.0.1:0" help:"Where the static log listens."`
	Key         string        `type:"path" help:"PEM file with the private keys of the logs (ECDSA P-256); fresh ones otherwise."`
	List        string        `default:"loglist.json" type:"path" help:"Where the log list is written."`
	Poll        time.Duration `default:"1s" help:"Time between two looks at the directory."`
	Merge       time.Duration `default:"50ms" help:"Time in which entries appear in a head."`
	Faults      []string      `placeholder:"LOG:FAULT@FROM-UNTIL" help:"What a log does wrong and when, as log-a:wrong-root@10s-20s, log-b:slow=2s+skew=3 or log-b:random@0s-10m. May be given several times."`
	Seed        uint64        `help:"What random faults follow from."`
}

func (c *labServeCmd) Run(p *process) error {
	return lab.Serve(p.ctx, c.Certs, &lab.ServeOptions{
		RFC6962Addr: c.RFC6962Addr, StaticAddr: c.StaticAddr, KeyFile: c.Key, ListPath: c.List,
		Poll: c.Poll, Merge: c.Merge, Faults: c.Faults, Seed: c.Seed, Out: p.stdout,
		Logger: slog.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{Level: slog.LevelInfo})),
	})
}
