-- Who the agents are, and what people did. Times are ms since the epoch, serials 40 hex digits (they sort).

CREATE TABLE enrolment_codes (
    secret_hash BLOB PRIMARY KEY,   -- the secret itself is kept nowhere
    agent       TEXT NOT NULL,
    made_at     INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    used_at     INTEGER,
    used_key    BLOB                -- hash of the public key it was used with
) WITHOUT ROWID;

CREATE TABLE certificates (
    serial    TEXT PRIMARY KEY,
    agent     TEXT NOT NULL,
    issued_at INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    how       TEXT NOT NULL         -- 'enrolled' or 'renewed'
) WITHOUT ROWID;
CREATE INDEX certificates_agent ON certificates (agent, issued_at);

-- all certificates of the agent with serials up to and including this one are void
CREATE TABLE revocations (
    id     INTEGER PRIMARY KEY,
    agent  TEXT NOT NULL,
    up_to  TEXT NOT NULL,
    at     INTEGER NOT NULL,
    who    TEXT NOT NULL,
    reason TEXT NOT NULL
);

-- exclusions declared by a person, beside those of the inventory; withdrawn, never deleted
CREATE TABLE exclusions (
    id           INTEGER PRIMARY KEY,
    selector     TEXT NOT NULL,     -- JSON of inventory.model.Selector
    from_ms      INTEGER NOT NULL,
    to_ms        INTEGER NOT NULL,
    reason       TEXT NOT NULL,
    who          TEXT NOT NULL,
    at           INTEGER NOT NULL,
    withdrawn_at INTEGER,
    withdrawn_by TEXT,
    CHECK (from_ms < to_ms)
);

CREATE TABLE audit (
    id   INTEGER PRIMARY KEY,
    at   INTEGER NOT NULL,
    who  TEXT NOT NULL,
    what TEXT NOT NULL,
    data TEXT NOT NULL              -- JSON
);
