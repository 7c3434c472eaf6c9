package route

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Daily is a time of each day, as "08:00 Europe/Berlin": of the clock on the wall there.
type Daily struct {
	text    string
	minutes int
	zone    *time.Location
}

// ParseDaily reads "HH:MM zone"; without a zone it is UTC. The zone is that of the IANA list.
func ParseDaily(text string) (*Daily, error) {
	fields := strings.Fields(text)
	if len(fields) == 1 {
		fields = append(fields, "UTC")
	}
	if len(fields) != 2 {
		return nil, errors.New("a daily time is a time of the day and a time zone")
	}
	d := &Daily{text: strings.Join(fields, " ")}
	var err error
	if d.minutes, err = minuteOf(fields[0]); err != nil {
		return nil, err
	}
	if d.minutes == 24*60 {
		return nil, errors.New("24:00 is 00:00 of the next day")
	}
	if fields[1] == "Local" {
		return nil, errors.New(`"Local" is not a time zone that people share`)
	}
	if d.zone, err = time.LoadLocation(fields[1]); err != nil {
		return nil, fmt.Errorf("the time zone %q is not known", fields[1])
	}
	return d, nil
}

// String is the time as it was written, with its zone.
func (d *Daily) String() string { return d.text }

// Last is the latest such time that is not after t. A time that summer time leaves out is that of the clock before it.
func (d *Daily) Last(t time.Time) time.Time {
	year, month, day := t.In(d.zone).Date()
	for back := 0; ; back++ {
		if at := time.Date(year, month, day-back, 0, d.minutes, 0, 0, d.zone); !at.After(t) {
			return at
		}
	}
}

// Date is the day of t there.
func (d *Daily) Date(t time.Time) string { return t.In(d.zone).Format(time.DateOnly) }
