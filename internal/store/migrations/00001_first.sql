-- Times are milliseconds since 1970 in UTC, 0 where unknown. Unsigned 64-bit numbers of a log (size, index, timestamp)
-- keep their bits: from 2^63 on they read as negative here.

-- +goose Up
CREATE TABLE logs (
    id      BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    name    TEXT NOT NULL DEFAULT '',
    cursor  BLOB NOT NULL, -- JSON of the tailer, with the compact range; empty before the first verified head
    size    INTEGER NOT NULL, -- entries below this are filed
    updated INTEGER NOT NULL
) STRICT;

CREATE TABLE heads (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    log       BLOB NOT NULL REFERENCES logs (id),
    size      INTEGER NOT NULL,
    root      BLOB NOT NULL CHECK (length(root) = 32),
    timestamp INTEGER NOT NULL,
    raw       BLOB NOT NULL, -- as the log signed it
    received  INTEGER NOT NULL,
    UNIQUE (log, size, root, timestamp)
) STRICT;
CREATE INDEX heads_by_log ON heads (log, seq);

-- The ledger: everything that touched a watch.
CREATE TABLE issuances (
    seq             INTEGER PRIMARY KEY AUTOINCREMENT,
    id              BLOB NOT NULL UNIQUE CHECK (length(id) = 32),
    first_seen      INTEGER NOT NULL,
    cert            BLOB NOT NULL, -- certificate, or TBSCertificate while only a precertificate is known
    precert         INTEGER NOT NULL CHECK (precert IN (0, 1)),
    issuer_key_hash BLOB NOT NULL CHECK (length(issuer_key_hash) = 32),
    matches         TEXT NOT NULL,
    oddities        TEXT NOT NULL,
    state           TEXT NOT NULL CHECK (state IN ('undecided', 'decided')),
    revision        INTEGER NOT NULL, -- grows whenever something arrives that a decision should know
    decide_after    INTEGER NOT NULL DEFAULT 0,
    decide_error    TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX issuances_undecided ON issuances (seq) WHERE state = 'undecided';

-- Certificates of chains, each once.
CREATE TABLE certificates (
    sha256 BLOB NOT NULL PRIMARY KEY CHECK (length(sha256) = 32),
    der    BLOB NOT NULL
) STRICT;

CREATE TABLE chains (
    issuance BLOB NOT NULL REFERENCES issuances (id),
    position INTEGER NOT NULL,
    sha256   BLOB NOT NULL REFERENCES certificates (sha256),
    PRIMARY KEY (issuance, position),
    UNIQUE (issuance, sha256)
) STRICT, WITHOUT ROWID;

-- SHA-256 of each certificate and precertificate by which people may ask for an issuance.
CREATE TABLE fingerprints (
    sha256   BLOB NOT NULL CHECK (length(sha256) = 32),
    issuance BLOB NOT NULL REFERENCES issuances (id),
    PRIMARY KEY (sha256, issuance)
) STRICT, WITHOUT ROWID;
CREATE INDEX fingerprints_by_issuance ON fingerprints (issuance);

CREATE TABLE sightings (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    issuance  BLOB NOT NULL REFERENCES issuances (id),
    log       BLOB NOT NULL REFERENCES logs (id),
    idx       INTEGER NOT NULL,
    leaf_hash BLOB NOT NULL CHECK (length(leaf_hash) = 32), -- RFC 6962 section 2.1
    timestamp INTEGER NOT NULL, -- the log's
    seen      INTEGER NOT NULL, -- ours
    precert   INTEGER NOT NULL CHECK (precert IN (0, 1)),
    leaf      BLOB NOT NULL,
    extra     BLOB NOT NULL,
    precert_der BLOB NOT NULL,
    -- The leaf hash is part of the key: a log that shows two entries under one index has both filed.
    UNIQUE (log, idx, leaf_hash)
) STRICT;
CREATE INDEX sightings_by_issuance ON sightings (issuance, seq);

CREATE TABLE verdicts (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    issuance   BLOB NOT NULL REFERENCES issuances (id),
    revision   INTEGER NOT NULL, -- of the issuance as it was decided
    version    INTEGER NOT NULL, -- of the policy
    level      TEXT NOT NULL,
    reasons    TEXT NOT NULL,
    facts      TEXT NOT NULL,
    decided_at INTEGER NOT NULL,
    latest     INTEGER NOT NULL CHECK (latest IN (0, 1))
) STRICT;
CREATE UNIQUE INDEX verdicts_latest ON verdicts (issuance) WHERE latest = 1;
CREATE INDEX verdicts_by_issuance ON verdicts (issuance, seq);
CREATE INDEX verdicts_by_level ON verdicts (level, seq) WHERE latest = 1;

CREATE TABLE outbox (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT, -- order of a receiver
    id           TEXT NOT NULL UNIQUE,
    issuance     BLOB REFERENCES issuances (id), -- NULL for what concerns no certificate
    receiver     TEXT NOT NULL,
    kind         TEXT NOT NULL,
    rank         INTEGER NOT NULL,
    payload      TEXT NOT NULL,
    text         TEXT NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'dropped')),
    attempts     INTEGER NOT NULL DEFAULT 0,
    next_attempt INTEGER NOT NULL,
    last_error   TEXT NOT NULL DEFAULT '',
    created      INTEGER NOT NULL,
    delivered_at INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX outbox_pending ON outbox (receiver, seq) WHERE state = 'pending';
CREATE INDEX outbox_next ON outbox (receiver, next_attempt) WHERE state = 'pending';
CREATE INDEX outbox_by_issuance ON outbox (issuance, receiver);

CREATE TABLE faults (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    kind     TEXT NOT NULL,
    log      BLOB NOT NULL, -- 32 bytes; no reference: a fault may concern a log that never had a cursor
    log_name TEXT NOT NULL,
    digest   BLOB NOT NULL CHECK (length(digest) = 32), -- of text and evidence
    text     TEXT NOT NULL,
    evidence BLOB NOT NULL,
    first    INTEGER NOT NULL,
    last     INTEGER NOT NULL,
    count    INTEGER NOT NULL,
    UNIQUE (kind, log, digest)
) STRICT;
CREATE INDEX faults_by_last ON faults (last);
