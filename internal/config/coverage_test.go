package config

import (
	"testing"
	"time"
)

func TestPatienceIsRead(t *testing.T) {
	c, err := Load(write(t, "watch: [{names: [example.com]}]\ncoverage: {patience: 90m, promise_patience: 1d}\n", nil))
	if err != nil {
		t.Fatal(err)
	}
	if want := (Coverage{Patience: 90 * time.Minute, PromisePatience: 24 * time.Hour}); c.Coverage != want {
		t.Errorf("%+v, want %+v", c.Coverage, want)
	}
}
