package config

import (
	"strings"
	"testing"
	"time"
)

func TestTheTimeOfTheDigestAndTheHeartbeatAreInTheConfig(t *testing.T) {
	t.Setenv("DEAD_MANS_SWITCH", "https://switch.example.com/5ecre7")
	c, err := Load(write(t, `watch: [{names: [example.com]}]
digest: {at: "08:00 Europe/Berlin"}
heartbeat: {url: "${env:DEAD_MANS_SWITCH}", every: 2m}
`, nil))
	if err != nil {
		t.Fatal(err)
	}
	if c.Digest.Off || c.Digest.At.String() != "08:00 Europe/Berlin" || c.Heartbeat.Every != 2*time.Minute {
		t.Errorf("%v %v", c.Digest.At, c.Heartbeat.Every)
	}
	if url, err := c.Heartbeat.URL.Value(); err != nil || url != "https://switch.example.com/5ecre7" {
		t.Error(url, err)
	}
	for _, off := range []string{"off", `"off"`} {
		c, err := Load(write(t, "watch: [{names: [example.com]}]\ndigest: "+off+"\n", nil))
		if err != nil || !c.Digest.Off || c.Digest.At != nil {
			t.Errorf("digest: %s: %v", off, err)
		}
	}
}

func TestTheURLOfAHeartbeatIsNeverShown(t *testing.T) {
	_, err := Load(write(t, "watch: [{names: [example.com]}]\nheartbeat: {url: \"https://switch.example.com/5ecre7\"}\n", nil))
	if err == nil || strings.Contains(err.Error(), "5ecre7") {
		t.Error(err)
	}
}
