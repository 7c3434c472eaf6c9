package route

import (
	"testing"
	"time"
)

func TestADailyTimeIsThatOfTheClockOnTheWall(t *testing.T) {
	at := func(text string) time.Time {
		when, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	tests := []struct{ name, daily, now, last, date string }{
		{"later on the day, it was today", "08:00 Europe/Berlin", "2026-11-28T12:00:00Z", "2026-11-28T07:00:00Z", "2026-11-28"},
		{"earlier on the day, it was yesterday", "08:00 Europe/Berlin", "2026-11-28T06:59:59Z", "2026-11-27T07:00:00Z", "2026-11-27"},
		{"in the moment itself it has come", "08:00 Europe/Berlin", "2026-11-28T07:00:00Z", "2026-11-28T07:00:00Z", "2026-11-28"},
		{"in summer the same time comes earlier", "08:00 Europe/Berlin", "2026-07-01T12:00:00Z", "2026-07-01T06:00:00Z", "2026-07-01"},
		{"without a zone it is UTC", "08:00", "2026-07-01T12:00:00Z", "2026-07-01T08:00:00Z", "2026-07-01"},
		{"the day is that of the zone", "00:30 Pacific/Auckland", "2026-11-27T12:00:00Z", "2026-11-27T11:30:00Z", "2026-11-28"},
		{"a time that summer time leaves out comes all the same", "02:30 Europe/Berlin", "2026-03-29T12:00:00Z", "2026-03-29T01:30:00Z", "2026-03-29"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, err := ParseDaily(tt.daily)
			if err != nil {
				t.Fatal(err)
			}
			if got := d.Last(at(tt.now)); !got.Equal(at(tt.last)) || d.Date(got) != tt.date {
				t.Errorf("%s on %s, want %s on %s", got.UTC(), d.Date(got), tt.last, tt.date)
			}
		})
	}
}

func TestWhatIsNoDailyTimeIsRefused(t *testing.T) {
	for _, text := range []string{"", "8 o'clock", "25:00", "24:00", "08:00 Local", "08:00 Mars/Olympus", "08:00 Europe/Berlin daily"} {
		if d, err := ParseDaily(text); err == nil {
			t.Errorf("%q is %s", text, d)
		}
	}
}
