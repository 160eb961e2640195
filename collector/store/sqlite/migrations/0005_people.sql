-- Who is logged in, and the audit as a chain: rows are appended and never changed.

-- The session's id itself is kept nowhere; mark: of what was kept of the password when it began.
CREATE TABLE sessions (
    hash  BLOB PRIMARY KEY,
    user  TEXT NOT NULL,
    mark  BLOB NOT NULL,
    begun INTEGER NOT NULL,
    seen  INTEGER NOT NULL
) WITHOUT ROWID;

-- hash: collector.store.audit_chain. Rows of before are chained in their order, under their numbers.
ALTER TABLE audit RENAME TO audit_before;
CREATE TABLE audit (
    id   INTEGER PRIMARY KEY,
    at   INTEGER NOT NULL,
    who  TEXT NOT NULL,
    what TEXT NOT NULL,
    data TEXT NOT NULL,             -- JSON
    hash BLOB NOT NULL
);
INSERT INTO audit
WITH RECURSIVE chain (id, at, who, what, data, hash) AS (
    SELECT 0, 0, '', '', '', zeroblob(32)
    UNION ALL
    SELECT b.id, b.at, b.who, b.what, b.data, audit_hash(c.hash, b.id, b.at, b.who, b.what, b.data)
    FROM chain AS c JOIN audit_before AS b ON b.id = (SELECT min(id) FROM audit_before WHERE id > c.id)
)
SELECT id, at, who, what, data, hash FROM chain WHERE id > 0;
DROP TABLE audit_before;

CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
BEGIN
    SELECT raise(ABORT, 'rows of the audit are never changed');
END;
CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit
BEGIN
    SELECT raise(ABORT, 'rows of the audit are never deleted');
END;
-- also what would replace a row, and what would leave a gap
CREATE TRIGGER audit_is_appended_to BEFORE INSERT ON audit
WHEN NEW.id IS NOT (SELECT coalesce(max(id), 0) + 1 FROM audit)
BEGIN
    SELECT raise(ABORT, 'rows of the audit are only appended');
END;
