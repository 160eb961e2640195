-- Which machine an agent is.

-- how: 'revoked' by a person, or 'replaced' by a newer enrolment that came into use
ALTER TABLE revocations ADD COLUMN how TEXT NOT NULL DEFAULT 'revoked';

-- of several machines with one identity, the one that a person keeps; gone once its new certificate is in use
CREATE TABLE kept_machines (
    agent  TEXT PRIMARY KEY,
    up_to  TEXT NOT NULL,           -- certificates up to this serial are for the kept machine alone
    kept   TEXT NOT NULL,           -- JSON of collector.store.records.AgentMachine
    others TEXT NOT NULL,           -- JSON, a list of them
    at     INTEGER NOT NULL,
    who    TEXT NOT NULL
) WITHOUT ROWID;
