package config

import (
	"reflect"
	"strings"
)

// The types below are the file as it is written: the tags are its keys. text, truth and node remember where they stood.

type file struct {
	node
	Watch     []watchEntry    `yaml:"watch"`
	Receivers []receiverEntry `yaml:"receivers"`
	Logs      *logsEntry      `yaml:"logs"`
	Coverage  *coverageEntry  `yaml:"coverage"`
	CAA       *caaEntry       `yaml:"caa"`
	Journal   *journalEntry   `yaml:"journal"`
	API       *apiEntry       `yaml:"api"`
	Contact   text            `yaml:"contact"`
	State     text            `yaml:"state"`
	Poll      text            `yaml:"poll"`
	Witnesses []text          `yaml:"witnesses"`
	Incidents *incidentsEntry `yaml:"incidents"`
	Routes    []routeEntry    `yaml:"routes"`
	Rules     []text          `yaml:"rules"`
	Digest    *digestEntry    `yaml:"digest"`
	Heartbeat *heartbeatEntry `yaml:"heartbeat"`
}

type watchEntry struct {
	node
	Name         text         `yaml:"name"`
	Owner        text         `yaml:"owner"`
	Names        []text       `yaml:"names"`
	Networks     []text       `yaml:"networks"`
	NamesFile    text         `yaml:"names_file"`
	NetworksFile text         `yaml:"networks_file"`
	Expect       *expectEntry `yaml:"expect"`
	Surprise     text         `yaml:"surprise"`
	Lookalike    truth        `yaml:"lookalike"`
}

type expectEntry struct {
	node
	Issuers           []text `yaml:"issuers"`
	Keys              []text `yaml:"keys"`
	MaxValidity       text   `yaml:"max_validity"`
	AllowWildcard     truth  `yaml:"allow_wildcard"`
	AllowForeignNames truth  `yaml:"allow_foreign_names"`
	Settle            text   `yaml:"settle"`
}

type logsEntry struct {
	node
	List         text        `yaml:"list"`
	SignatureKey text        `yaml:"signature_key"`
	Lists        []listEntry `yaml:"lists"`
	Refresh      text        `yaml:"refresh"`
	AllowPrivate truth       `yaml:"allow_private"`
	Add          []logEntry  `yaml:"add"`
}

type listEntry struct {
	node
	Source       text `yaml:"source"`
	SignatureKey text `yaml:"signature_key"`
}

type logEntry struct {
	node
	Name          text `yaml:"name"`
	Kind          text `yaml:"kind"`
	URL           text `yaml:"url"`
	MonitoringURL text `yaml:"monitoring_url"`
	Key           text `yaml:"key"`
	Dial          text `yaml:"dial"`
}

type coverageEntry struct {
	node
	MinOperators    text `yaml:"min_operators"`
	Patience        text `yaml:"patience"`
	PromisePatience text `yaml:"promise_patience"`
}

// mark is a place in the file; the zero mark is none.
type mark struct{ line, column int }

// node is where a mapping begins, and where each of its keys stands.
type node struct {
	At      mark
	Written map[string]mark
}

func (n *node) self() *node { return n }

// has reports whether a key was written.
func (n *node) has(key string) bool { return n.Written[key] != mark{} }

// text is a scalar as it was written, a number or boolean as well.
type text struct {
	At    mark
	Value string
}

// truth is a boolean; Value is nil when it was not written.
type truth struct {
	At    mark
	Value *bool
}

// meant are keys that people write for another.
var meant = map[string]string{
	"watches": "watch", "domain": "names", "domains": "names", "zones": "names", "name": "names", "hosts": "names",
	"ip": "networks", "ips": "networks", "addresses": "networks", "cidrs": "networks", "prefixes": "networks",
	"ca": "issuers", "cas": "issuers", "issuer": "issuers", "key": "keys", "pins": "keys", "lifetime": "max_validity",
	"level": "surprise", "severity": "surprise", "receiver": "receivers", "notify": "receivers", "log": "logs",
	"cmd": "command", "argv": "command", "interval": "poll", "email": "contact", "database": "state", "db": "state",
}

// Keys returns the dotted names of all keys, in the order of the types.
func Keys() []string { return keysOf(reflect.TypeFor[file](), "") }

func keysOf(t reflect.Type, prefix string) []string {
	var out []string
	for f := range fields(t) {
		key := prefix + tag(f)
		out = append(out, key)
		if inner := element(f.Type); inner.Kind() == reflect.Struct && inner != reflect.TypeFor[text]() && inner != reflect.TypeFor[truth]() {
			out = append(out, keysOf(inner, key+".")...)
		}
	}
	return out
}

// fields yields the fields of a struct that are keys.
func fields(t reflect.Type) func(yield func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if f := t.Field(i); tag(f) != "" && !yield(f) {
				return
			}
		}
	}
}

func tag(f reflect.StructField) string { return f.Tag.Get("yaml") }

func element(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return t
}

// home returns the mapping to which a key belongs, or "" when there is none or several.
func home(key string) string {
	found := ""
	for _, k := range Keys() {
		if parent, ok := strings.CutSuffix(k, "."+key); ok {
			if found != "" {
				return ""
			}
			found = parent
		} else if k == key {
			if found != "" {
				return ""
			}
			found = "the top level"
		}
	}
	return found
}
