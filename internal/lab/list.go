package lab

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
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
	State         map[string]stamp `json:"state"`
	Dial          string           `json:"tocsin_dial"`
}

type stamp struct {
	Timestamp string `json:"timestamp"`
}

type operator struct {
	Name      string    `json:"name"`
	Email     []string  `json:"email"`
	Logs      []listLog `json:"logs"`
	TiledLogs []listLog `json:"tiled_logs"`
}

// LogList is a v3 log list of both logs, each of its own operator, usable, with the address to dial.
func (l *Lab) LogList() ([]byte, error) {
	now := time.Now().UTC().Truncate(time.Second)
	usable := map[string]stamp{"usable": {now.Add(-24 * time.Hour).Format(time.RFC3339)}}
	a, b := l.RFC6962.Key, l.Static.Key
	list := struct {
		Version   string     `json:"version"`
		Timestamp string     `json:"log_list_timestamp"`
		Operators []operator `json:"operators"`
	}{"1.0", now.Format(time.RFC3339), []operator{
		{Name: "Lab A", Email: []string{"a@lab.example"}, TiledLogs: []listLog{}, Logs: []listLog{{
			Description: "Lab log A", LogID: a.ID[:], Key: a.SPKI, MMD: mmdRFC6962, State: usable,
			URL: "https://" + rfc6962Host + prefix + "/", Dial: "http://" + l.RFC6962Addr,
		}}},
		{Name: "Lab B", Email: []string{"b@lab.example"}, Logs: []listLog{}, TiledLogs: []listLog{{
			Description: "Lab log B", LogID: b.ID[:], Key: b.SPKI, MMD: mmdStatic, State: usable,
			SubmissionURL: "https://" + staticHost + prefix + "/", MonitoringURL: "https://" + monitoringFor + prefix + "/",
			Dial: "http://" + l.StaticAddr,
		}}},
	}}
	out, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing log list: %w", err)
	}
	return append(out, '\n'), nil
}

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
