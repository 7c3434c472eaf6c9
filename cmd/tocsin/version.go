package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
)

// versionCmd prints which build this is: the module version, or the revision for a build from a checkout.
type versionCmd struct {
	JSON bool `help:"Print one JSON object."`
}

type versionInfo struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
}

func (c *versionCmd) Run(p *process) error {
	v := buildVersion()
	if c.JSON {
		return json.NewEncoder(p.stdout).Encode(v)
	}
	rev := ""
	if v.Revision != "" {
		rev = " (" + v.Revision + ")"
	}
	_, err := fmt.Fprintf(p.stdout, "tocsin %s%s %s %s/%s\n", v.Version, rev, v.Go, v.OS, v.Arch)
	return err
}

func buildVersion() versionInfo {
	v := versionInfo{Version: "(devel)", Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v.Revision = s.Value
		}
	}
	return v
}
