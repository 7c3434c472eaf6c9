-- Certificates that belong together, what is muted for now, and what did not ring.

-- +goose Up
CREATE TABLE incidents (
    id           TEXT NOT NULL PRIMARY KEY,
    key          TEXT NOT NULL, -- what its certificates have in common
    kind         TEXT NOT NULL,
    owner        TEXT NOT NULL,
    grp          TEXT NOT NULL,
    parent       TEXT NOT NULL, -- '' for none
    level        TEXT NOT NULL,
    rank         INTEGER NOT NULL, -- orders the levels
    status       TEXT NOT NULL,
    closed       INTEGER NOT NULL CHECK (closed IN (0, 1)),
    title        TEXT NOT NULL,
    certificates INTEGER NOT NULL,
    suppressed   INTEGER NOT NULL,
    drill        INTEGER NOT NULL CHECK (drill IN (0, 1)),
    opened       INTEGER NOT NULL,
    updated      INTEGER NOT NULL,
    next_due     INTEGER NOT NULL, -- when to look at it; 0 for never
    revision     INTEGER NOT NULL
) STRICT;

-- Their states, apart, so that lists of thousands need not read them.
CREATE TABLE incident_bodies (
    incident TEXT NOT NULL PRIMARY KEY REFERENCES incidents (id),
    body     TEXT NOT NULL -- JSON of package incident
) STRICT;

CREATE INDEX incidents_by_key ON incidents (key, opened) WHERE closed = 0;
CREATE INDEX incidents_due ON incidents (next_due) WHERE next_due > 0;
CREATE INDEX incidents_listed ON incidents (closed, rank DESC, opened DESC, id);
CREATE INDEX incidents_by_parent ON incidents (parent) WHERE parent <> '';

CREATE TABLE incident_members (
    incident    TEXT NOT NULL REFERENCES incidents (id),
    issuance    BLOB NOT NULL REFERENCES issuances (id),
    fingerprint TEXT NOT NULL,
    issuer      TEXT NOT NULL, -- the issuing key when nobody expects it, else ''
    at          INTEGER NOT NULL,
    state       TEXT NOT NULL, -- JSON of package incident
    alarm       TEXT NOT NULL, -- JSON: what receivers are told of it
    PRIMARY KEY (incident, issuance)
) STRICT, WITHOUT ROWID;
CREATE INDEX incident_members_by_issuance ON incident_members (issuance);
CREATE INDEX incident_members_by_fingerprint ON incident_members (incident, fingerprint);
CREATE INDEX incident_members_by_issuer ON incident_members (issuer, at) WHERE issuer <> '';

CREATE TABLE silences (
    id      TEXT NOT NULL PRIMARY KEY,
    body    TEXT NOT NULL, -- JSON of package incident
    start   INTEGER NOT NULL,
    until   INTEGER NOT NULL,
    ended   INTEGER NOT NULL DEFAULT 0, -- when somebody ended it early
    created INTEGER NOT NULL
) STRICT;
CREATE INDEX silences_by_end ON silences (until);

-- What did not ring, by day, reason and silence; once with rule '' and once more for each rule that had fired.
CREATE TABLE suppressed (
    day       INTEGER NOT NULL, -- since 1970
    why       TEXT NOT NULL,
    silence   TEXT NOT NULL,
    rule      TEXT NOT NULL,
    count     INTEGER NOT NULL,
    addresses INTEGER NOT NULL,
    PRIMARY KEY (day, why, silence, rule)
) STRICT, WITHOUT ROWID;
CREATE INDEX suppressed_by_silence ON suppressed (silence) WHERE silence <> '';

CREATE INDEX trail_by_subject ON trail (subject, seq);
