package config

import (
	"fmt"
	"slices"

	"github.com/tocsin-ct/tocsin/internal/policy"
	"github.com/tocsin-ct/tocsin/internal/route"
)

type routeEntry struct {
	node
	When       *whenEntry `yaml:"when"`
	To         []text     `yaml:"to"`
	EscalateTo []text     `yaml:"escalate_to"`
	Window     text       `yaml:"window"`
}

type whenEntry struct {
	node
	AtLeast text `yaml:"at_least"`
	AtMost  text `yaml:"at_most"`
	Owner   text `yaml:"owner"`
	Watch   text `yaml:"watch"`
}

// routes are checked after watches and receivers, whose names they use.
func (k *checker) routes(f *file) {
	if f.has("routes") && len(f.Routes) == 0 {
		k.refuse(f.Written["routes"], "routes is an empty list", "remove the key to tell all receivers, or write a route: routes: [{when: {at_least: page}, to: [oncall]}]")
	}
	for i := range f.Routes {
		k.route(&f.Routes[i])
	}
}

func (k *checker) route(e *routeEntry) {
	r := route.Route{Place: k.place(e.At).String()}
	if w := e.When; w != nil {
		if len(w.Written) == 0 {
			k.refuse(w.At, "when without a condition", "remove it to take everything, or write at_least, at_most, owner or watch")
		}
		r.When = route.When{AtLeast: k.level(w.AtLeast, "at_least"), AtMost: k.level(w.AtMost, "at_most"), Owner: w.Owner.Value, Watch: w.Watch.Value}
		if r.When.AtMost != policy.None && r.When.AtLeast > r.When.AtMost {
			k.refuse(w.AtLeast.At, fmt.Sprintf("at_least: %s above at_most: %s: nothing would be taken", r.When.AtLeast, r.When.AtMost), "exchange them, or remove one")
		}
		var owners, watches []string
		for i := range k.c.Watches {
			owners, watches = append(owners, k.c.Watches[i].Owner), append(watches, k.c.Watches[i].Name)
		}
		k.named(w.Owner, "an owner of a watch", owners)
		k.named(w.Watch, "the name of a watch", watches)
	}
	r.To = k.receiverNames(e.To)
	r.EscalateTo = k.receiverNames(e.EscalateTo)
	if len(e.To) == 0 {
		k.refuse(e.At, "a route to nobody", "write to: and the names of receivers; a route cannot be used to be silent")
	}
	if e.has("escalate_to") {
		switch {
		case len(e.EscalateTo) == 0:
			k.refuse(e.Written["escalate_to"], "escalate_to is an empty list", "remove the key, or name receivers")
		case !r.CanPage():
			k.refuse(e.Written["escalate_to"], "escalate_to on a route that takes no page: only a page escalates", "remove it, or let at_most be page")
		}
	}
	if e.has("window") {
		w, err := route.ParseWindow(e.Window.Value)
		switch {
		case err != nil:
			k.refuse(e.Window.At, "window: "+err.Error(), `write days, hours and a time zone: window: "Mon-Fri 08:00-18:00 Europe/Berlin"`)
		case r.CanPage():
			k.refuse(e.Window.At, "a window on a route that takes pages: a page waits for nobody", "add at_most: alarm to its when, and write a route for pages without a window")
		}
		r.Window = w
	}
	k.c.Routes = append(k.c.Routes, r)
}

// level reads one at which something is told.
func (k *checker) level(t text, key string) policy.Level {
	if t.Value == "" {
		return policy.None
	}
	l, err := policy.ParseSurprise(t.Value)
	if err != nil {
		hint := "digest is for the daily mail, alarm rings, page rings until acknowledged"
		if m := closest(t.Value, []string{"digest", "alarm", "page"}); m != "" {
			hint = fmt.Sprintf("did you mean %q?", m)
		}
		k.refuse(t.At, fmt.Sprintf("%s is digest, alarm or page, not %q", key, t.Value), hint)
	}
	return l
}

func (k *checker) receiverNames(list []text) (names []string) {
	var all []string
	for i := range k.c.Receivers {
		all = append(all, k.c.Receivers[i].Name)
	}
	for _, t := range list {
		switch {
		case t.Value == "":
			k.refuse(t.At, "a receiver without a name", "write the name of a receiver")
		case slices.Contains(names, t.Value):
			k.refuse(t.At, fmt.Sprintf("%q again", t.Value), "name each receiver once")
		default:
			k.named(t, "the name of a receiver", all)
			names = append(names, t.Value)
		}
	}
	return names
}

// named refuses a name that is none of those that there are: the route would take nothing, or tell nobody.
func (k *checker) named(t text, what string, among []string) {
	if t.Value == "" || slices.Contains(among, t.Value) {
		return
	}
	hint := "there is none; write one first"
	var there []string
	for _, name := range among {
		if name != "" && !slices.Contains(there, name) && len(there) < 10 {
			there = append(there, name)
		}
	}
	if m := closest(t.Value, there); m != "" {
		hint = fmt.Sprintf("did you mean %q?", m)
	} else if len(there) > 0 {
		hint = fmt.Sprintf("there are %q", there)
	}
	k.refuse(t.At, fmt.Sprintf("%q is not %s", t.Value, what), hint)
}
