package config

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// ParseDuration reads a Go duration that may begin with days of 24 hours: "200d", "1d12h", "90m". It is positive.
func ParseDuration(s string) (time.Duration, error) {
	bad := errors.New("not a duration")
	var d time.Duration
	if days, rest, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.ParseFloat(days, 64)
		if err != nil || strings.Trim(days, "0123456789.") != "" || n*float64(day) > math.MaxInt64/2 {
			return 0, bad
		}
		d, s = time.Duration(n*float64(day)), rest
	}
	if s != "" {
		more, err := time.ParseDuration(s)
		if err != nil || more < 0 || d+more < 0 {
			return 0, bad
		}
		d += more
	}
	if d <= 0 {
		return 0, errors.New("a duration is more than nothing")
	}
	return d, nil
}
