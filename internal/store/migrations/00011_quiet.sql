-- What the daily digest reads: what was filed, and what tokens were given, from one time to another.

-- +goose Up
CREATE INDEX issuances_by_first_seen ON issuances (first_seen);
CREATE INDEX grants_by_time ON grants (at);
