-- Which issuers issued for whom: what says that one does so for the first time.

-- +goose Up
CREATE TABLE issued (
    owner    TEXT NOT NULL, -- of the watch, or its name where it has none
    issuer   TEXT NOT NULL, -- who answers for the issuing key, or the key itself
    issuance BLOB NOT NULL REFERENCES issuances (id),
    seq      INTEGER NOT NULL, -- of the issuance: the order in which they were seen
    seen     INTEGER NOT NULL,
    PRIMARY KEY (owner, issuer, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX issued_by_owner ON issued (owner, seq);
CREATE INDEX issued_by_issuance ON issued (issuance);
