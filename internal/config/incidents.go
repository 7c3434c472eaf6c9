package config

import (
	"strconv"
	"time"
)

// Incidents say how patient incidents are; 0 when not given.
type Incidents struct {
	Wait, Regroup, Repeat, Escalate time.Duration
	// CAGroups is how many groups one unexpected CA touches within CAWindow until it is an incident of its own.
	CAGroups int
	CAWindow time.Duration
}

type incidentsEntry struct {
	node
	Wait     text `yaml:"wait"`
	Regroup  text `yaml:"regroup"`
	Repeat   text `yaml:"repeat"`
	Escalate text `yaml:"escalate"`
	CAGroups text `yaml:"ca_groups"`
	CAWindow text `yaml:"ca_window"`
}

// Limits of incidents; docs/config.md says why.
const (
	minWait, maxWait         = 100 * time.Millisecond, 10 * time.Minute
	minRegroup, maxRegroup   = 100 * time.Millisecond, 24 * time.Hour
	minRepeat, maxRepeat     = time.Minute, 30 * day
	minEscalate, maxEscalate = time.Second, 24 * time.Hour
	minCAWindow, maxCAWindow = time.Minute, 7 * day
	minCAGroups, maxCAGroups = 2, 1000
)

func (k *checker) incidents(e *incidentsEntry) {
	if len(e.Written) == 0 {
		k.refuse(e.At, "incidents without a key", "remove it, or write wait, regroup, repeat, escalate, ca_groups or ca_window")
	}
	i := &k.c.Incidents
	i.Wait = k.duration(e.Wait, "wait", minWait, maxWait)
	i.Regroup = k.duration(e.Regroup, "regroup", minRegroup, maxRegroup)
	i.Repeat = k.duration(e.Repeat, "repeat", minRepeat, maxRepeat)
	i.Escalate = k.duration(e.Escalate, "escalate", minEscalate, maxEscalate)
	i.CAWindow = k.duration(e.CAWindow, "ca_window", minCAWindow, maxCAWindow)
	if e.has("ca_groups") {
		n, err := strconv.Atoi(e.CAGroups.Value)
		if err != nil || n < minCAGroups || n > maxCAGroups {
			k.refuse(e.CAGroups.At, "ca_groups is a number from "+strconv.Itoa(minCAGroups)+" to "+strconv.Itoa(maxCAGroups), "3 is the default: fewer join what has nothing to do with each other")
			return
		}
		i.CAGroups = n
	}
}
