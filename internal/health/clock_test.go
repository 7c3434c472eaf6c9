package health

import (
	"strings"
	"testing"
	"time"
)

func TestWhatClocksDid(t *testing.T) {
	begin := Reading{Wall: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC), Mono: time.Hour, Boot: 2 * time.Hour}
	tests := []struct {
		name             string
		wall, mono, boot time.Duration
		set, slept       string
	}{
		{"they run together", 15 * time.Second, 15 * time.Second, 15 * time.Second, "", ""},
		{"a step of seconds is nobody's business", 25 * time.Second, 15 * time.Second, 15 * time.Second, "", ""},
		{"set forward by a day", 24*time.Hour + 15*time.Second, 15 * time.Second, 15 * time.Second, "forward by 24h0m0s at 2026-11-26 12:00:15Z", ""},
		{"set back by a day", -24*time.Hour + 15*time.Second, 15 * time.Second, 15 * time.Second, "back by 24h0m0s at 2026-11-24 12:00:15Z", ""},
		{"slept for eight hours", 8*time.Hour + 15*time.Second, 15 * time.Second, 8*time.Hour + 15*time.Second, "", "for 8h0m0s, since the machine slept, until 2026-11-25 20:00:15Z"},
		{"slept, and set meanwhile", 9 * time.Hour, 0, 8 * time.Hour, "forward by 1h0m0s", "for 8h0m0s, since the machine slept"},
		{"stopped for an hour", time.Hour, time.Hour, time.Hour, "", "for 1h0m0s, since it was stopped or got no processor"},
		{"without a clock that runs in sleep it may be either", 8 * time.Hour, 15 * time.Second, -1, "forward by 7h59m45s, or it slept, from 2026-11-25 12:00:00Z to 2026-11-25 20:00:00Z", ""},
		{"but back is back", -8 * time.Hour, 15 * time.Second, -1, "back by 8h0m15s", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before, after := begin, Reading{Wall: begin.Wall.Add(tt.wall), Mono: begin.Mono + tt.mono, Boot: begin.Boot + tt.boot}
			if tt.boot < 0 {
				before.Boot, after.Boot = -1, -1
			}
			set, slept := Compare(before, after)
			if !strings.HasPrefix(set, tt.set) || (set == "") != (tt.set == "") || !strings.HasPrefix(slept, tt.slept) || (slept == "") != (tt.slept == "") {
				t.Errorf("set %q, slept %q; want %q, %q", set, slept, tt.set, tt.slept)
			}
		})
	}
}

func TestHeadsTellTheTime(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	head := func(operator string, ahead time.Duration) HeadTime {
		return HeadTime{Log: operator + "1", Operator: operator, Time: now.Add(ahead), Received: now}
	}
	tests := []struct {
		name          string
		heads         []HeadTime
		behind, ahead string
		future        int
	}{
		{"heads of seconds ago are right", []HeadTime{head("A", -5*time.Second), head("B", -time.Second)}, "", "", 0},
		{"heads may be hours old, as long as one is not", []HeadTime{head("A", -20*time.Hour), head("B", -time.Minute)}, "", "", 0},
		{"a head a little ahead is right", []HeadTime{head("A", time.Minute), head("B", time.Minute)}, "", "", 0},
		{"one operator ahead is a matter of his", []HeadTime{head("A", 24*time.Hour), head("A", 24*time.Hour), head("B", 0)}, "", "", 2},
		{"two operators ahead mean that we are behind", []HeadTime{head("A", 24*time.Hour), head("B", 23*time.Hour), head("C", 25*time.Hour)}, "logs of A and B and C are ahead of it by 23h0m0s and more", "", 3},
		{"when every head is a day old, we are ahead", []HeadTime{head("A", -24*time.Hour), head("B", -25*time.Hour)}, "", "the newest head of any log is 24h0m0s old", 0},
		{"one operator alone does not tell", []HeadTime{head("A", -24*time.Hour)}, "", "", 0},
		{"what was not received lately does not tell", []HeadTime{{Operator: "A", Time: now.Add(-24 * time.Hour), Received: now.Add(-time.Hour)}, {Operator: "B"}}, "", "", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			behind, ahead, future := Skew(tt.heads, now.Add(-time.Minute))
			if behind != tt.behind || ahead != tt.ahead || len(future) != tt.future {
				t.Errorf("behind %q, ahead %q, %d in the future; want %q, %q, %d", behind, ahead, len(future), tt.behind, tt.ahead, tt.future)
			}
		})
	}
}
