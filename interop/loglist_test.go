package interop_test

import (
	"slices"
	"testing"

	"github.com/tocsin-ct/tocsin/interop/reallogs"
	"github.com/tocsin-ct/tocsin/loglist"
)

// listed is how our own list reader understands the entry of the log in its list.
func listed(t testing.TB, logs ...*reallogs.Log) []loglist.Log {
	t.Helper()
	return listedVia(t, func(l *reallogs.Log) string { return l.Addr }, logs...)
}

// listedVia is listed with other addresses to dial.
func listedVia(t testing.TB, dial func(*reallogs.Log) string, logs ...*reallogs.Log) []loglist.Log {
	t.Helper()
	text, err := reallogs.ListVia(dial, logs...)
	if err != nil {
		t.Fatal(err)
	}
	list, err := loglist.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list.Reports {
		t.Errorf("the list of the real logs: %s", r)
	}
	followed := list.Followed()
	if len(followed) != len(logs) {
		t.Fatalf("%d of %d logs are followed", len(followed), len(logs))
	}
	// A list groups logs by kind: here they come back in the order asked for.
	var ordered []loglist.Log
	for _, l := range logs {
		i := slices.IndexFunc(followed, func(g loglist.Log) bool { return g.ID == l.ID })
		if i < 0 {
			t.Fatalf("%s is not followed", l.Name)
		}
		ordered = append(ordered, followed[i])
	}
	return ordered
}

func TestListOfRealLogsIsUnderstood(t *testing.T) {
	logs := startLogs(t, newRoot(t, "Root"))
	for i, got := range listed(t, logs...) {
		l := logs[i]
		t.Run(l.Name, func(t *testing.T) {
			want := map[string]string{"name": l.Description, "submission": l.URL, "monitoring": l.MonitoringURL, "dial": l.Addr, "origin": l.Origin()}
			if l.Kind == reallogs.RFC6962 {
				want["monitoring"] = l.URL
			}
			for field, value := range map[string]string{
				"name": got.Name(), "submission": got.URL, "monitoring": got.MonitoringURL, "dial": got.Dial, "origin": got.Origin(),
			} {
				if value != want[field] {
					t.Errorf("%s: %q, want %q", field, value, want[field])
				}
			}
			if (got.Kind == loglist.Static) != (l.Kind == reallogs.Static) {
				t.Errorf("kind %v, want %v", got.Kind, l.Kind)
			}
		})
	}
}
