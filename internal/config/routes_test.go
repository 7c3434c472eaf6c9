package config

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-ct/tocsin/internal/policy"
	"github.com/tocsin-ct/tocsin/internal/route"
)

func TestRoutesAndIncidentsAreInTheConfig(t *testing.T) {
	path := write(t, `watch: [{name: web, owner: web-team, names: [example.com]}]
receivers: [{name: oncall, exec: {command: [/bin/page]}}, {name: team, stdout: {}}]
routes:
  - {when: {at_least: page}, to: [oncall, team], escalate_to: [team]}
  - when: {owner: web-team, watch: web, at_most: alarm}
    to: [team]
    window: "Mon-Fri 08:00-18:00 Europe/Berlin"
  - to: [team]
incidents: {wait: 20s, regroup: 6m, repeat: 2d, escalate: 5m, ca_groups: 4, ca_window: 2h}
`, nil)
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	want := Incidents{Wait: 20 * time.Second, Regroup: 6 * time.Minute, Repeat: 48 * time.Hour, Escalate: 5 * time.Minute, CAGroups: 4, CAWindow: 2 * time.Hour}
	if diff := cmp.Diff(want, c.Incidents); diff != "" {
		t.Error(diff)
	}
	if len(c.Routes) != 3 {
		t.Fatalf("%+v", c.Routes)
	}
	if diff := cmp.Diff(route.When{AtMost: policy.Alarm, Owner: "web-team", Watch: "web"}, c.Routes[1].When); diff != "" {
		t.Error(diff)
	}
	if w := c.Routes[1].Window; w == nil || w.String() != "Mon-Fri 08:00-18:00 Europe/Berlin" || c.Routes[0].Window != nil {
		t.Errorf("%v", w)
	}
	if got := c.Routes[0]; !cmp.Equal(got.To, []string{"oncall", "team"}) || !cmp.Equal(got.EscalateTo, []string{"team"}) || got.When.AtLeast != policy.Page {
		t.Errorf("%+v", got)
	}
	if !strings.HasSuffix(c.Routes[1].Place, "tocsin.yaml:5") {
		t.Errorf("placed at %s", c.Routes[1].Place)
	}
}
