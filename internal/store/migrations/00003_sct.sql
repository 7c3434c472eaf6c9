-- The promises of logs that were met, and how far each was audited.

-- +goose Up
CREATE TABLE scts (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    log       BLOB NOT NULL CHECK (length(log) = 32), -- no reference: the log need not be one that we read
    leaf_hash BLOB NOT NULL CHECK (length(leaf_hash) = 32),
    timestamp INTEGER NOT NULL, -- the log's
    raw       BLOB NOT NULL, -- the SCT
    leaf      BLOB NOT NULL, -- MerkleTreeLeaf: what the log signed and has to merge
    issuance  BLOB REFERENCES issuances (id), -- in which it was met; NULL when elsewhere
    due       INTEGER NOT NULL, -- timestamp and maximum merge delay
    next      INTEGER NOT NULL, -- when to look at it; 0 for never
    state     TEXT NOT NULL CHECK (state IN ('waiting', 'overdue', 'reported', 'proven', 'unaudited', 'invalid')),
    progress  TEXT NOT NULL, -- JSON of package audit
    met       INTEGER NOT NULL,
    updated   INTEGER NOT NULL,
    UNIQUE (log, leaf_hash)
) STRICT;
CREATE INDEX scts_due ON scts (log, next) WHERE next > 0;
CREATE INDEX scts_by_state ON scts (state, updated);
CREATE INDEX scts_by_issuance ON scts (issuance, seq);

CREATE INDEX sightings_by_leaf ON sightings (leaf_hash, log);
