package year

import (
	"fmt"
	"regexp"
	"strings"

	lab "github.com/tocsin-ct/tocsin/internal/lab/year"
	"github.com/tocsin-ct/tocsin/internal/proposal"
)

// Trim is one thing that a person changes in what init proposes.
type Trim struct {
	// What was done, and Why, in words.
	What string `json:"what"`
	Why  string `json:"why"`
	do   func(*draft) error
}

// draft is the configuration while it is being trimmed.
type draft struct {
	o     *lab.Organisation
	watch string
	lists []proposal.List
	tail  string
}

// trims are what a person does in ten minutes. Each fails when it finds nothing to do, since a trim that silently does
// nothing leaves a configuration that nobody meant.
var trims = []Trim{
	{"the public resolver pages: its networks get surprise: page, and its names move from the list of ordered zones to them", "it must not be impersonated for a minute", func(d *draft) error {
		names, networks := d.o.ResolverItems()
		nets := fmt.Sprintf("networks: [%q, %q]", networks[0], networks[1])
		if err := d.replace(nets, fmt.Sprintf("%s, names: [%s], surprise: page", nets, strings.Join(names, ", ")), 1); err != nil {
			return err
		}
		d.watch = strings.Replace(d.watch, `"addresses by digicert.com"`, `"public resolver", owner: dns-team`, 1)
		moved := 0
		for i := range d.lists {
			var kept []string
			for _, line := range strings.Split(d.lists[i].Text, "\n") {
				if strings.HasPrefix(line, "resolver") {
					moved++
					continue
				}
				kept = append(kept, line)
			}
			d.lists[i].Text = strings.Join(kept, "\n")
		}
		if moved != len(names) {
			return fmt.Errorf("%d of %d names of the resolver stand in a list", moved, len(names))
		}
		return nil
	}},
	{"settle: 4h on the names with keys of our own", "the slowest hook of the fleet tells of a certificate within four hours", func(d *draft) error {
		return d.each(`(\.names",\n\s+expect: \{keys: \[[^]]*\], max_validity: 100d, )`, "${1}settle: 4h, ")
	}},
	{"the staging CA is expected for all zones with keys of our own", "init saw it for some of the zones, and any may be tried there", func(d *draft) error {
		spki := regexp.MustCompile(`"spki:[0-9a-f]{64}"`).FindString(d.watch)
		if spki == "" {
			return fmt.Errorf("no CA of unknown owner was proposed")
		}
		return d.each(`(expect: \{keys: [^\n]*issuers: \["letsencrypt\.org", "pki\.goog")\]`, "${1}, "+spki+"]")
	}},
	{"ssl.com is expected for the zones of the CDN", "the CDN has announced that it will order there as well, and their CAA records allow it", func(d *draft) error {
		return d.each(`(expect: \{max_validity: [^\n]*issuers: \["letsencrypt\.org", "pki\.goog")\]`, `${1}, "ssl.com"]`)
	}},
	{"the zones without certificates ring: surprise: alarm", "nobody is to order anything for a parked zone", func(d *draft) error {
		return d.replace("surprise: digest", "surprise: alarm", 1)
	}},
	{"a journal, two receivers and their routes", "hooks push to the socket; pages wake whoever is on call, the rest can wait for the team", func(d *draft) error {
		d.tail = `journal: {positive_control: true}
receivers:
  - {name: oncall, webhook: {url: "https://oncall.corp.example/tocsin"}}
  - {name: team, webhook: {url: "https://chat.corp.example/tocsin"}}
routes:
  - {when: {at_least: page}, to: [oncall], escalate_to: [team]}
  - {when: {at_most: alarm}, to: [team]}
`
		return nil
	}},
}

// replace puts one text in the place of another that stands there n times.
func (d *draft) replace(old, with string, n int) error {
	if have := strings.Count(d.watch, old); have != n {
		return fmt.Errorf("%q stands there %d times, and %d were expected", old, have, n)
	}
	d.watch = strings.ReplaceAll(d.watch, old, with)
	return nil
}

// each replaces all that a pattern finds.
func (d *draft) each(pattern, with string) error {
	re := regexp.MustCompile(pattern)
	if !re.MatchString(d.watch) {
		return fmt.Errorf("nothing is like %s", pattern)
	}
	d.watch = re.ReplaceAllString(d.watch, with)
	return nil
}
