"""Enrolment codes, certificates and revocations in SQLite."""

import apsw
import msgspec

from collector.store.records import EnrolmentCode, IssuedCertificate, RegisteredCertificate, Revocation


class SqliteCodes:
    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def add(self, code: EnrolmentCode) -> None:
        self._db.execute(
            "INSERT INTO enrolment_codes (secret_hash, agent, made_at, expires_at) VALUES (?, ?, ?, ?)",
            (code.secret_hash, code.agent, code.made_at, code.expires_at),
        )

    def find(self, secret_hash: bytes) -> EnrolmentCode | None:
        sql = "SELECT secret_hash, agent, made_at, expires_at, used_key FROM enrolment_codes WHERE secret_hash = ?"
        row = self._db.execute(sql, (secret_hash,)).fetchone()
        return None if row is None else EnrolmentCode(*row)

    def use(self, secret_hash: bytes, at: int, key: bytes) -> None:
        sql = "UPDATE enrolment_codes SET used_at = ?, used_key = ? WHERE secret_hash = ?"
        self._db.execute(sql, (at, key, secret_hash))

    def end_unused(self, agent: str) -> None:
        self._db.execute("DELETE FROM enrolment_codes WHERE agent = ? AND used_at IS NULL", (agent,))


class SqliteCertificates:
    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def add(self, certificate: IssuedCertificate) -> None:
        self._db.execute(
            "INSERT INTO certificates (serial, agent, issued_at, not_after, how) VALUES (?, ?, ?, ?, ?)",
            msgspec.structs.astuple(certificate),
        )

    def highest_serial(self, agent: str) -> str | None:
        serial = self._db.execute("SELECT MAX(serial) FROM certificates WHERE agent = ?", (agent,)).get
        return serial if isinstance(serial, str) else None

    def newest(self) -> dict[str, RegisteredCertificate]:
        rows = self._db.execute("SELECT agent, MAX(serial), not_after FROM certificates GROUP BY agent")
        return {agent: RegisteredCertificate(int(serial, 16), not_after) for agent, serial, not_after in rows}

    def first_issued(self, agent: str) -> int | None:
        issued = self._db.execute("SELECT MIN(issued_at) FROM certificates WHERE agent = ?", (agent,)).get
        return issued if isinstance(issued, int) else None


class SqliteRevocations:
    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def add(self, revocation: Revocation) -> None:
        self._db.execute(
            "INSERT INTO revocations (agent, up_to, at, who, reason) VALUES (?, ?, ?, ?, ?)",
            msgspec.structs.astuple(revocation),
        )

    def all(self) -> list[Revocation]:
        rows = self._db.execute("SELECT agent, up_to, at, who, reason FROM revocations ORDER BY id")
        return [Revocation(*row) for row in rows]
