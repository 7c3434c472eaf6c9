package route

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Window is a time of the week, as "Mon-Fri 08:00-18:00 Europe/Berlin": of the clock on the wall there, whatever summer
// time makes of it.
type Window struct {
	text string
	days [7]bool
	// from and to are minutes of the day; when to is not after from, the window ends on the next day.
	from, to int
	zone     *time.Location
}

var dayNames = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// ParseWindow reads "[days] HH:MM-HH:MM zone". Days are a list of days and spans, as "Mon-Fri,Sun"; without them it is
// every day. The zone is that of the IANA list.
func ParseWindow(text string) (*Window, error) {
	fields := strings.Fields(text)
	if len(fields) == 2 {
		fields = append([]string{"Mon-Sun"}, fields...)
	}
	if len(fields) != 3 {
		return nil, errors.New("a window is days, a span of time and a time zone")
	}
	w := &Window{text: strings.Join(strings.Fields(text), " ")}
	for part := range strings.SplitSeq(fields[0], ",") {
		first, last, span := strings.Cut(part, "-")
		if !span {
			last = first
		}
		a, errA := dayOf(first)
		b, errB := dayOf(last)
		if err := errors.Join(errA, errB); err != nil {
			return nil, err
		}
		for d := a; ; d = (d + 1) % 7 {
			w.days[d] = true
			if d == b {
				break
			}
		}
	}
	from, to, ok := strings.Cut(fields[1], "-")
	if !ok {
		return nil, fmt.Errorf("%q is not a span of time such as 08:00-18:00", fields[1])
	}
	var err error
	if w.from, err = minuteOf(from); err != nil {
		return nil, err
	}
	if w.to, err = minuteOf(to); err != nil {
		return nil, err
	}
	if w.from == w.to || w.from == 24*60 {
		return nil, fmt.Errorf("%q is no span of time", fields[1])
	}
	if fields[2] == "Local" {
		return nil, errors.New(`"Local" is not a time zone that people share`)
	}
	if w.zone, err = time.LoadLocation(fields[2]); err != nil {
		return nil, fmt.Errorf("the time zone %q is not known", fields[2])
	}
	return w, nil
}

func dayOf(s string) (int, error) {
	for i, name := range dayNames {
		if strings.EqualFold(s, name) {
			return i, nil
		}
	}
	return 0, fmt.Errorf("%q is not a day: Mon, Tue, Wed, Thu, Fri, Sat, Sun", s)
}

func minuteOf(s string) (int, error) {
	if s == "24:00" {
		return 24 * 60, nil
	}
	t, err := time.Parse("15:04", s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a time of the day such as 08:00", s)
	}
	return t.Hour()*60 + t.Minute(), nil
}

// String is the window as it was written.
func (w *Window) String() string { return w.text }

// opening is when the window opens on the day, and when it closes again.
func (w *Window) opening(year int, month time.Month, day int) (from, to time.Time) {
	from = time.Date(year, month, day, 0, w.from, 0, 0, w.zone)
	if w.to <= w.from {
		day++
	}
	return from, time.Date(year, month, day, 0, w.to, 0, 0, w.zone)
}

// at looks through the openings around a time: from the day before, since a window may reach past midnight.
func (w *Window) at(t time.Time) (open bool, next time.Time) {
	year, month, day := t.In(w.zone).Date()
	for d := -1; d <= 8; d++ {
		if !w.days[time.Date(year, month, day+d, 12, 0, 0, 0, w.zone).Weekday()] {
			continue
		}
		from, to := w.opening(year, month, day+d)
		switch {
		case !to.After(from): // summer time has taken all of it
		case !t.Before(from) && t.Before(to):
			return true, t
		case from.After(t):
			return false, from
		}
	}
	// A window that summer time takes each week does not exist; should it, the message goes out.
	return true, t
}

// Open reports whether it is open.
func (w *Window) Open(t time.Time) bool {
	open, _ := w.at(t)
	return open
}

// Next is when it opens next; t itself while it is open.
func (w *Window) Next(t time.Time) time.Time {
	_, next := w.at(t)
	return next
}
