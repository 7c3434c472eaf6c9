-- What is ours, what was announced, who may announce, and the trail of all that.

-- +goose Up
-- Keys and certificates of ours, by file or push. A key counts until it ends; a certificate is an issuance journalled.
CREATE TABLE journal (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    kind     TEXT NOT NULL CHECK (kind IN ('key', 'certificate')),
    origin   TEXT NOT NULL CHECK (origin IN ('directory', 'push', 'token')),
    spki     BLOB NOT NULL CHECK (length(spki) = 32),
    issuance BLOB NOT NULL CHECK (length(issuance) = 32), -- zero for a key, and where the issuer is not known
    tbs      BLOB NOT NULL CHECK (length(tbs) = 32), -- identity without the issuer; zero for a key
    sha256   BLOB NOT NULL CHECK (length(sha256) = 32), -- of the certificate; zero for a key
    der      BLOB NOT NULL,
    names    TEXT NOT NULL, -- JSON
    source   TEXT NOT NULL, -- the file, or what the pusher called it
    actor    TEXT NOT NULL,
    at       INTEGER NOT NULL,
    ended    INTEGER NOT NULL DEFAULT 0,
    -- Positive control: is it seen in CT?
    control  TEXT NOT NULL DEFAULT '',
    due      INTEGER NOT NULL DEFAULT 0, -- when to look again; 0 for never
    note     TEXT NOT NULL DEFAULT '',
    changed  INTEGER NOT NULL -- grows with each change that a decision should know
) STRICT;
CREATE UNIQUE INDEX journal_keys ON journal (spki, origin, source) WHERE kind = 'key';
CREATE UNIQUE INDEX journal_certificates ON journal (sha256) WHERE kind = 'certificate';
CREATE INDEX journal_changed ON journal (changed);
CREATE INDEX journal_by_issuance ON journal (issuance) WHERE kind = 'certificate';
CREATE INDEX journal_by_tbs ON journal (tbs) WHERE kind = 'certificate';
CREATE INDEX journal_due ON journal (due) WHERE due > 0;
CREATE INDEX journal_by_control ON journal (control, seq) WHERE control <> '';

-- By what a decided issuance can be found when something of ours comes late.
CREATE TABLE subjects (
    issuance BLOB NOT NULL PRIMARY KEY REFERENCES issuances (id),
    spki     BLOB NOT NULL CHECK (length(spki) = 32),
    tbs      BLOB NOT NULL CHECK (length(tbs) = 32)
) STRICT, WITHOUT ROWID;
CREATE INDEX subjects_by_spki ON subjects (spki);
CREATE INDEX subjects_by_tbs ON subjects (tbs);

-- Keys that probes saw on our endpoints. They are no keys of ours.
CREATE TABLE observed_keys (
    spki     BLOB NOT NULL CHECK (length(spki) = 32),
    endpoint TEXT NOT NULL,
    first    INTEGER NOT NULL,
    last     INTEGER NOT NULL,
    PRIMARY KEY (spki, endpoint)
) STRICT, WITHOUT ROWID;

CREATE TABLE tokens (
    id        TEXT NOT NULL PRIMARY KEY,
    hash      BLOB NOT NULL CHECK (length(hash) = 32), -- of the secret, which is kept nowhere
    name      TEXT NOT NULL,
    scope     TEXT NOT NULL, -- JSON of package expectation
    created   INTEGER NOT NULL,
    expires   INTEGER NOT NULL,
    revoked   INTEGER NOT NULL DEFAULT 0,
    last_used INTEGER NOT NULL DEFAULT 0
) STRICT;

-- What each token was granted: so many issuances, at that time. Never given back.
CREATE TABLE grants (
    seq   INTEGER PRIMARY KEY AUTOINCREMENT,
    token TEXT NOT NULL REFERENCES tokens (id),
    at    INTEGER NOT NULL,
    count INTEGER NOT NULL,
    what  TEXT NOT NULL
) STRICT;
CREATE INDEX grants_by_token ON grants (token, seq);

CREATE TABLE expectations (
    id        TEXT NOT NULL PRIMARY KEY,
    body      TEXT NOT NULL, -- JSON of package expectation
    token     TEXT NOT NULL, -- '' when made over the socket
    count     INTEGER NOT NULL CHECK (count > 0),
    used      INTEGER NOT NULL DEFAULT 0 CHECK (used <= count),
    created   INTEGER NOT NULL,
    until     INTEGER NOT NULL,
    cancelled INTEGER NOT NULL DEFAULT 0,
    closed    INTEGER NOT NULL DEFAULT 0 -- when its end was put on the trail
) STRICT;
CREATE INDEX expectations_by_until ON expectations (until);
CREATE INDEX expectations_open ON expectations (until) WHERE closed = 0;

CREATE TABLE expectation_uses (
    expectation TEXT NOT NULL REFERENCES expectations (id),
    issuance    BLOB NOT NULL REFERENCES issuances (id),
    at          INTEGER NOT NULL,
    PRIMARY KEY (expectation, issuance)
) STRICT, WITHOUT ROWID;
CREATE INDEX expectation_uses_by_issuance ON expectation_uses (issuance);

-- Who did what to all this. Only ever added to.
CREATE TABLE trail (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    kind    TEXT NOT NULL,
    actor   TEXT NOT NULL,
    subject TEXT NOT NULL, -- the id of what it was done to
    text    TEXT NOT NULL
) STRICT;
CREATE INDEX trail_by_time ON trail (at, seq);
