-- Settled time of each site's power, ms by source, since the incarnation began. What a site is fed by can change, so
-- this cannot be counted anew from the ledger without going back.
CREATE TABLE site_power (
    site        TEXT PRIMARY KEY,
    incarnation TEXT NOT NULL,
    upto        INTEGER NOT NULL,   -- counted up to here
    mains       INTEGER NOT NULL,
    battery     INTEGER NOT NULL,
    none        INTEGER NOT NULL,
    unknown     INTEGER NOT NULL
) WITHOUT ROWID;
