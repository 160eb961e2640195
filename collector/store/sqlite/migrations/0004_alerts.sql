-- What the evaluator remembers, and what it wants sent. Times are ms of the collector's time.

-- Where the evaluator has read to, and what the incident machine remembers besides the open incidents.
CREATE TABLE evaluator (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    events      INTEGER NOT NULL,   -- every event up to this row was taken
    spans       INTEGER NOT NULL,   -- every closed span up to this row
    at          INTEGER NOT NULL,   -- when it last committed
    book        BLOB                -- msgpack of the machine's book without its incidents
);

-- Incidents, the open and the closed ones, for ever.
CREATE TABLE incidents (
    key         TEXT PRIMARY KEY,
    opened      INTEGER NOT NULL,
    closed      INTEGER,            -- NULL: open
    cause       TEXT NOT NULL,
    root        TEXT NOT NULL,
    severity    TEXT NOT NULL,
    body        BLOB NOT NULL       -- msgpack of alerts.incident.Incident
) WITHOUT ROWID;
CREATE INDEX incidents_open ON incidents (key) WHERE closed IS NULL;
CREATE INDEX incidents_by_close ON incidents (closed);

-- Mails to send and sent. A row is made in the transaction that decided it, once (ident).
CREATE TABLE outbox (
    id          INTEGER PRIMARY KEY,
    ident       TEXT NOT NULL UNIQUE,
    contact     TEXT NOT NULL,
    kind        TEXT NOT NULL,
    severity    TEXT NOT NULL,
    made        INTEGER NOT NULL,
    state       TEXT NOT NULL,      -- waiting, sent, failed
    next        INTEGER NOT NULL,   -- not before
    tries       INTEGER NOT NULL DEFAULT 0,
    done        INTEGER,            -- when it was sent, or given up
    way         TEXT NOT NULL DEFAULT '',
    why         TEXT NOT NULL DEFAULT '',
    hooked      INTEGER,            -- when it went out by the webhook
    body        BLOB NOT NULL       -- msgpack of alerts.outbox.Letter
);
CREATE INDEX outbox_waiting ON outbox (next) WHERE state = 'waiting';
CREATE INDEX outbox_by_made ON outbox (made);

-- Seconds that links were down, by whose link it was then and why: settled time, counted once.
CREATE TABLE link_seconds (
    link        TEXT NOT NULL,
    provider    TEXT NOT NULL,
    cause       TEXT NOT NULL,
    ms          INTEGER NOT NULL,
    PRIMARY KEY (link, provider, cause)
) WITHOUT ROWID;
CREATE TABLE link_settled (
    link        TEXT PRIMARY KEY,
    until       INTEGER NOT NULL    -- counted up to here
) WITHOUT ROWID;

-- Contacts who said that they want no daily digest.
CREATE TABLE unsubscribed (
    contact     TEXT PRIMARY KEY,
    at          INTEGER NOT NULL
) WITHOUT ROWID;
