-- +goose Up
-- When the daemon was last alive. Writing it shows that the file can be written.
CREATE TABLE alive (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    at  INTEGER NOT NULL
) STRICT;
