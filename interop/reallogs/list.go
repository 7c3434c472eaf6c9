package reallogs

import (
	"encoding/json"
	"fmt"
	"time"
)

// mergeDelay is the promised longest time from submission to a head that covers it, in seconds. Both logs do it in a
// fraction of one.
const mergeDelay = 60

// List returns a log list in the v3 JSON format that names the logs, all usable and of one operator. Each has the
// extra field "tocsin_dial": the address (host:port) to connect to, whatever host its URLs name.
func List(logs ...*Log) ([]byte, error) {
	return ListVia(func(l *Log) string { return l.Addr }, logs...)
}

// ListVia is List with other addresses to dial: "host:port" of something that stands before the log, or a URL whose
// scheme replaces that of the log's URLs.
func ListVia(dial func(*Log) string, logs ...*Log) ([]byte, error) {
	now := time.Now().UTC().Format(time.RFC3339)
	type state struct {
		Timestamp string `json:"timestamp"`
	}
	type entry struct {
		Description string           `json:"description"`
		LogID       []byte           `json:"log_id"`
		Key         []byte           `json:"key"`
		URL         string           `json:"url,omitempty"`
		Submission  string           `json:"submission_url,omitempty"`
		Monitoring  string           `json:"monitoring_url,omitempty"`
		MMD         int              `json:"mmd"`
		State       map[string]state `json:"state"`
		Dial        string           `json:"tocsin_dial"`
	}
	rfc, static := []entry{}, []entry{}
	for _, l := range logs {
		e := entry{
			Description: l.Description,
			LogID:       l.ID[:],
			Key:         l.SPKI,
			MMD:         mergeDelay,
			State:       map[string]state{"usable": {now}},
			Dial:        dial(l),
		}
		if l.Kind == Static {
			e.Submission, e.Monitoring = l.URL, l.MonitoringURL
			static = append(static, e)
		} else {
			e.URL = l.URL
			rfc = append(rfc, e)
		}
	}
	type operator struct {
		Name  string   `json:"name"`
		Email []string `json:"email"`
		Logs  []entry  `json:"logs"`
		Tiled []entry  `json:"tiled_logs"`
	}
	list, err := json.MarshalIndent(struct {
		Version   string     `json:"version"`
		Timestamp string     `json:"log_list_timestamp"`
		Operators []operator `json:"operators"`
	}{"1.0", now, []operator{{"Lab", []string{"ct@lab.example"}, rfc, static}}}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding the log list: %w", err)
	}
	return append(list, '\n'), nil
}
