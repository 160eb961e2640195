-- The core: evidence, ledger, and what a restart needs. All times are milliseconds of the collector's time.

-- One row for each life of this store: created, or restored from a copy. The last one is now.
CREATE TABLE incarnations (
    id          INTEGER PRIMARY KEY,
    incarnation TEXT NOT NULL,
    count_from  INTEGER NOT NULL,   -- counters of settled time start here at 0
    why         TEXT NOT NULL
);

-- The collector's own life: while it was down nobody was "down".
CREATE TABLE collector_life (
    id          INTEGER PRIMARY KEY,
    boot        BLOB NOT NULL,
    boot_ms     INTEGER NOT NULL,   -- the boot-time clock at "alive"
    started     INTEGER NOT NULL,
    alive       INTEGER NOT NULL,   -- known to be alive until then
    stopped     INTEGER,            -- NULL: it is running, or was killed
    trusted     INTEGER NOT NULL    -- whether it trusted its clock at the start
);

-- Plans by digest, for ever: a frame is judged by the plan it was made under.
CREATE TABLE plans (
    digest      BLOB PRIMARY KEY,
    agent       TEXT NOT NULL,
    body        BLOB NOT NULL,      -- canonical JSON
    received    INTEGER NOT NULL
) WITHOUT ROWID;

-- A check is for life: another target is another check. Nothing outside [born, ended) is in any denominator.
CREATE TABLE checks (
    id          INTEGER PRIMARY KEY,
    agent       TEXT NOT NULL,
    uid         TEXT NOT NULL,
    name        TEXT NOT NULL,
    kind        TEXT NOT NULL,
    born        INTEGER,            -- NULL: no plan served, no look placed yet
    ended       INTEGER,
    UNIQUE (agent, uid)
);

-- One row an agent, all a restart needs besides the batches newer than it.
CREATE TABLE streams (
    id          INTEGER PRIMARY KEY,
    agent       TEXT NOT NULL UNIQUE,
    batch       INTEGER NOT NULL DEFAULT 0,   -- every batch of this agent up to this row is in the checkpoint
    saved       INTEGER NOT NULL DEFAULT 0,
    body        BLOB                          -- msgpack of collector.ingest.state.Checkpoint
);

-- Pushes as received, one row a batch: the evidence. No index but the row id: inserting is what must stay cheap.
CREATE TABLE batches (
    id          INTEGER PRIMARY KEY,
    stream      INTEGER NOT NULL,
    received    INTEGER NOT NULL,
    believed    INTEGER NOT NULL,   -- 0: by a clock that was not believed, so it says nothing about the agent's
    epoch       INTEGER NOT NULL,
    first       INTEGER NOT NULL,
    last        INTEGER NOT NULL,
    placing     BLOB,               -- msgpack of how it was placed in time; NULL: it could not be; empty: refused
    body        BLOB NOT NULL
);

-- Batches that wait until the collector trusts its clock: received in ms of the collector's boot-time clock.
CREATE TABLE deferred (
    batch       INTEGER PRIMARY KEY,
    boot        BLOB NOT NULL,
    received    INTEGER NOT NULL
);

-- Up to here every agent's batches are in its checkpoint: a restart reads on from the next.
CREATE TABLE replay (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    after       INTEGER NOT NULL
);
INSERT INTO replay VALUES (1, 0);

-- The ledger: closed spans. No row means that nothing is known. Four times: see collector.ledger.steps.
CREATE TABLE spans (
    id          INTEGER PRIMARY KEY,
    check_id    INTEGER NOT NULL,
    state       INTEGER NOT NULL,
    start       INTEGER NOT NULL,
    end         INTEGER NOT NULL,
    sure_from   INTEGER NOT NULL,
    sure_to     INTEGER NOT NULL,
    error_from  INTEGER NOT NULL,
    error_to    INTEGER NOT NULL,
    looks       INTEGER NOT NULL,
    reason      TEXT NOT NULL
);
CREATE INDEX spans_by_check ON spans (check_id, end);

-- Sums of latency and measures, all checks of an agent in one row (collector.ingest.sums). Several rows of one
-- bucket add up. 5-minute ones for 35 days, hourly ones for 2 years.
CREATE TABLE sums (
    id          INTEGER PRIMARY KEY,
    stream      INTEGER NOT NULL,
    start       INTEGER NOT NULL,
    width       INTEGER NOT NULL,
    plan        BLOB NOT NULL,      -- digest: names the value columns
    body        BLOB NOT NULL,      -- msgpack: check's row -> [latency, columns ...] of [n, sum, least, most]
    rolled      INTEGER NOT NULL DEFAULT 0  -- 1: added up into an hourly one
);
CREATE INDEX sums_by_start ON sums (width, start, stream);
CREATE INDEX sums_to_roll ON sums (width, start) WHERE rolled = 0;

-- Findings and the agents' own lives: what the evaluator reads and people are shown. Read in order of id.
CREATE TABLE events (
    id          INTEGER PRIMARY KEY,
    at          INTEGER NOT NULL,
    agent       TEXT NOT NULL,
    check_uid   TEXT,
    kind        TEXT NOT NULL,
    data        TEXT NOT NULL,      -- JSON
    finding     INTEGER NOT NULL    -- 1: for the evaluator
);
CREATE INDEX events_by_agent ON events (agent, at);

-- What could not be taken, with the reason. Bounded: see collector.store.prune.
CREATE TABLE dead_letters (
    id          INTEGER PRIMARY KEY,
    at          INTEGER NOT NULL,
    agent       TEXT NOT NULL,
    reason      TEXT NOT NULL,
    count       INTEGER NOT NULL,   -- how many of the same stand in this row
    body        BLOB NOT NULL       -- the beginning of it
);
