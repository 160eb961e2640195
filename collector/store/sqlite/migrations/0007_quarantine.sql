-- Agents of which nothing is taken until a person releases them, because what they sent made the collector fail.

CREATE TABLE quarantine (
    agent   TEXT PRIMARY KEY,
    since   INTEGER NOT NULL,   -- ms of the collector's time
    place   TEXT NOT NULL,      -- at what the collector failed, a word
    why     TEXT NOT NULL,      -- a packed reason
    batch   INTEGER NOT NULL    -- the stored batch that did it, 0: none
) WITHOUT ROWID;
