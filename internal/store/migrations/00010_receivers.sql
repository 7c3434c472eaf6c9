-- +goose Up
-- What a receiver has to remember between messages, as which message of a channel shows an incident.
CREATE TABLE receiver_state (
    receiver TEXT NOT NULL,
    key      TEXT NOT NULL,
    value    TEXT NOT NULL,
    updated  INTEGER NOT NULL,
    PRIMARY KEY (receiver, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX receiver_state_updated ON receiver_state (updated);
