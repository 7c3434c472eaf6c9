-- What the CAA records of our names said, and when. The past is never rewritten: a row grows at its end, and no more.

-- +goose Up
CREATE TABLE caa (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    name    TEXT NOT NULL,
    known   INTEGER NOT NULL CHECK (known IN (0, 1)), -- 0 for a time in which nobody could see them
    first   INTEGER NOT NULL,
    last    INTEGER NOT NULL CHECK (last >= first),
    joined  INTEGER NOT NULL CHECK (joined IN (0, 1)), -- to the row before it, without a gap
    answer  TEXT NOT NULL, -- JSON of package caa
    UNIQUE (name, known, first)
) STRICT;
CREATE INDEX caa_by_name ON caa (name, seq);

-- Names met in certificates, whose records are looked at from then on.
CREATE TABLE caa_names (
    name TEXT NOT NULL PRIMARY KEY,
    met  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX caa_names_by_met ON caa_names (met);

-- +goose StatementBegin
CREATE TRIGGER caa_only_grows BEFORE UPDATE ON caa
WHEN new.last < old.last OR (new.seq, new.name, new.known, new.first, new.joined, new.answer) IS NOT (old.seq, old.name, old.known, old.first, old.joined, old.answer)
BEGIN
    SELECT RAISE(ABORT, 'the history of CAA records is not rewritten');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER caa_stays BEFORE DELETE ON caa
BEGIN
    SELECT RAISE(ABORT, 'the history of CAA records is not rewritten');
END;
-- +goose StatementEnd
