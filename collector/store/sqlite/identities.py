"""Enrolment codes, certificates and revocations in SQLite."""

import apsw
import msgspec

from collector.store.records import (
    AgentMachine,
    EnrolmentCode,
    IssuedCertificate,
    KeptMachine,
    RegisteredCertificate,
    Revocation,
)

_FIRST = "how IN ('enrolled', 'kept')"  # certificates with which a machine began


class SqliteCodes:
    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def add(self, code: EnrolmentCode) -> None:
        self._db.execute(
            "INSERT INTO enrolment_codes (secret_hash, agent, made_at, expires_at) VALUES (?, ?, ?, ?)",
            (code.secret_hash, code.agent, code.made_at, code.expires_at),
        )

    def find(self, secret_hash: bytes) -> EnrolmentCode | None:
        columns = "secret_hash, agent, made_at, expires_at, used_key, used_at"
        sql = f"SELECT {columns} FROM enrolment_codes WHERE secret_hash = ?"
        row = self._db.execute(sql, (secret_hash,)).fetchone()
        return None if row is None else EnrolmentCode(*row)

    def use(self, secret_hash: bytes, at: int, key: bytes) -> None:
        sql = "UPDATE enrolment_codes SET used_at = ?, used_key = ? WHERE secret_hash = ?"
        self._db.execute(sql, (at, key, secret_hash))

    def end(self, agent: str) -> None:
        self._db.execute("DELETE FROM enrolment_codes WHERE agent = ? AND used_at IS NULL", (agent,))
        self._db.execute("UPDATE enrolment_codes SET expires_at = 0 WHERE agent = ?", (agent,))

    def prune(self, before: int, limit: int) -> int:
        sql = "SELECT secret_hash FROM enrolment_codes WHERE expires_at < ? LIMIT ?"
        self._db.execute(f"DELETE FROM enrolment_codes WHERE secret_hash IN ({sql})", (before, limit))
        return self._db.changes()


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

    def issued(self, agent: str, how: str, begin: int, end: int) -> int:
        where = "agent = ? AND how = ? AND issued_at >= ? AND issued_at < ?"
        count = self._db.execute(f"SELECT count(*) FROM certificates WHERE {where}", (agent, how, begin, end)).get
        assert isinstance(count, int)
        return count

    def replacing(self) -> list[tuple[str, str]]:
        earlier = "EXISTS (SELECT 1 FROM certificates c WHERE c.agent = n.agent AND c.serial < n.serial)"
        sql = f"SELECT agent, serial FROM certificates AS n WHERE {_FIRST} AND {earlier} ORDER BY serial"
        return [(agent, serial) for agent, serial in self._db.execute(sql)]

    def next_enrolment(self, agent: str, serial: str) -> str | None:
        sql = f"SELECT MIN(serial) FROM certificates WHERE agent = ? AND serial > ? AND {_FIRST}"
        began = self._db.execute(sql, (agent, serial)).get
        return began if isinstance(began, str) else None

    def prune(self, before: int, limit: int) -> int:
        newest = "SELECT MAX(serial) FROM certificates GROUP BY agent"
        sql = f"SELECT serial FROM certificates WHERE not_after < ? AND serial NOT IN ({newest}) LIMIT ?"
        self._db.execute(f"DELETE FROM certificates WHERE serial IN ({sql})", (before, limit))
        return self._db.changes()

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
            "INSERT INTO revocations (agent, up_to, at, who, reason, how) VALUES (?, ?, ?, ?, ?, ?)",
            msgspec.structs.astuple(revocation),
        )

    def all(self) -> list[Revocation]:
        rows = self._db.execute("SELECT agent, up_to, at, who, reason, how FROM revocations ORDER BY id")
        return [Revocation(*row) for row in rows]


class SqliteKeptMachines:
    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def put(self, kept: KeptMachine) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO kept_machines (agent, up_to, kept, others, at, who) VALUES (?, ?, ?, ?, ?, ?)",
            (
                kept.agent,
                kept.up_to,
                msgspec.json.encode(kept.kept).decode(),
                msgspec.json.encode(kept.others).decode(),
                kept.at,
                kept.who,
            ),
        )

    def all(self) -> list[KeptMachine]:
        rows = self._db.execute("SELECT agent, up_to, kept, others, at, who FROM kept_machines ORDER BY agent")
        return [
            KeptMachine(
                agent,
                up_to,
                msgspec.json.decode(kept, type=AgentMachine),
                msgspec.json.decode(others, type=tuple[AgentMachine, ...]),
                at,
                who,
            )
            for agent, up_to, kept, others, at, who in rows
        ]

    def remove(self, agent: str) -> None:
        self._db.execute("DELETE FROM kept_machines WHERE agent = ?", (agent,))
