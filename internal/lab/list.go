package lab

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/tocsin-ct/tocsin/internal/lab/sequence"
)

// Maximum merge delays that the list states, in seconds: a day as production logs of RFC 6962 have, a minute as
// browsers require of static logs.
const (
	mmdRFC6962 = 86400
	mmdStatic  = 60
)

type listLog struct {
	Description   string           `json:"description"`
	LogID         []byte           `json:"log_id"`
	Key           []byte           `json:"key"`
	URL           string           `json:"url,omitempty"`
	SubmissionURL string           `json:"submission_url,omitempty"`
	MonitoringURL string           `json:"monitoring_url,omitempty"`
	MMD           int              `json:"mmd"`
	State         map[string]state `json:"state"`
	Dial          string           `json:"tocsin_dial"`
}

type state struct {
	Timestamp string `json:"timestamp"`
	Final     *final `json:"final_tree_head,omitempty"` // of a read-only log
}

type final struct {
	Root []byte `json:"sha256_root_hash"`
	Size uint64 `json:"tree_size"`
}

type operator struct {
	Name      string    `json:"name"`
	Email     []string  `json:"email"`
	Logs      []listLog `json:"logs"`
	TiledLogs []listLog `json:"tiled_logs"`
}

// LogList is a v3 log list of both logs, each of its own operator, with the address to dial. They are usable unless
// their faults say otherwise; a read-only log has its head of now as the final one.
func (l *Lab) LogList() ([]byte, error) {
	now := time.Now().UTC().Truncate(time.Second)
	a, b := l.RFC6962.Key, l.Static.Key
	list := struct {
		Version   string     `json:"version"`
		Timestamp string     `json:"log_list_timestamp"`
		Operators []operator `json:"operators"`
	}{"1.0", now.Format(time.RFC3339), []operator{
		{Name: "Lab A", Email: []string{"a@lab.example"}, TiledLogs: []listLog{}, Logs: []listLog{{
			Description: "Lab log A", LogID: a.ID[:], Key: a.SPKI, MMD: mmdRFC6962, State: stateOf(l.RFC6962.Log, now),
			URL: "https://" + rfc6962Host + prefix + "/", Dial: "http://" + l.RFC6962Addr,
		}}},
		{Name: "Lab B", Email: []string{"b@lab.example"}, Logs: []listLog{}, TiledLogs: []listLog{{
			Description: "Lab log B", LogID: b.ID[:], Key: b.SPKI, MMD: mmdStatic, State: stateOf(l.Static.Log, now),
			SubmissionURL: "https://" + staticHost + prefix + "/", MonitoringURL: "https://" + monitoringFor + prefix + "/",
			Dial: "http://" + l.StaticAddr,
		}}},
	}}
	for i := range list.Operators {
		o := &list.Operators[i]
		o.Logs, o.TiledLogs = slices.DeleteFunc(o.Logs, absent), slices.DeleteFunc(o.TiledLogs, absent)
	}
	out, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing log list: %w", err)
	}
	return append(out, '\n'), nil
}

// stateOf is what a list says of a log; nil when it does not name it.
func stateOf(l *sequence.Log, now time.Time) map[string]state {
	name := l.Faults.Get().Listed
	st := state{Timestamp: now.Add(-24 * time.Hour).Format(time.RFC3339)}
	switch name {
	case "absent":
		return nil
	case "":
		name = "usable"
	case "readonly":
		h := l.Head()
		st.Final = &final{h.Root[:], h.Size}
	}
	return map[string]state{name: st}
}

func absent(l listLog) bool { return l.State == nil }

// WriteLogList writes [Lab.LogList] to a file, whole or not at all.
func (l *Lab) WriteLogList(path string) error {
	b, err := l.LogList()
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".loglist-*")
	if err != nil {
		return fmt.Errorf("writing log list: %w", err)
	}
	_, err = tmp.Write(b)
	if errClose := tmp.Close(); err == nil {
		err = errClose
	}
	if err == nil {
		err = os.Chmod(tmp.Name(), 0o644)
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
		return fmt.Errorf("writing log list %s: %w", path, err)
	}
	return nil
}
