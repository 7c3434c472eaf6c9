-- +goose Up
-- Where reading of a log began, and the terms on which it is read: what a statement about a span of time needs.
CREATE TABLE starts (
    log      BLOB NOT NULL PRIMARY KEY REFERENCES logs (id),
    idx      INTEGER NOT NULL, -- of the first entry read
    since    INTEGER NOT NULL, -- no entry before idx has this timestamp or a later one; 0 where not known
    at       INTEGER NOT NULL, -- when it was chosen
    mmd      INTEGER NOT NULL, -- maximum merge delay in milliseconds, 0 where not known
    operator TEXT NOT NULL
) STRICT;

-- The first verified head of each hour: heads of the table of that name are not kept for ever.
CREATE TABLE marks (
    log       BLOB NOT NULL REFERENCES logs (id),
    hour      INTEGER NOT NULL, -- since 1970, of received
    size      INTEGER NOT NULL,
    timestamp INTEGER NOT NULL, -- the log's
    received  INTEGER NOT NULL, -- ours
    PRIMARY KEY (log, hour)
) STRICT, WITHOUT ROWID;

-- What is wrong with ourselves and what we depend on, as far as it was told and is not resolved.
CREATE TABLE troubles (
    code    TEXT NOT NULL,
    subject TEXT NOT NULL,
    state   TEXT NOT NULL, -- JSON
    PRIMARY KEY (code, subject)
) STRICT, WITHOUT ROWID;
