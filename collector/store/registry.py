"""The register of identities: enrolment codes, certificates, revocations, and the audit of what people did.

Everything a person or another process may have changed is read from the database when it is needed; only
revocations are asked at every request, from their own file (``revocations.py``).
"""

from collections.abc import Callable
from typing import Any

import apsw
import msgspec

from collector.keys import pki
from collector.store.revocations import Revocation, Revocations
from collector.store.sqlite.database import Database

CODE_LIFE = 3600_000  # ms
SERIAL_DIGITS = 40


class EnrolmentRefused(Exception):
    """``code`` is "used", "expired", "unknown" or "revoked"."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class RegisteredCertificate(msgspec.Struct, frozen=True):
    """A certificate as registered. ``not_after``: ms since the epoch."""

    serial: int
    not_after: int


class Registry:
    """Identities, over the database. ``wall`` gives ms since the epoch; ``days`` is a certificate's life."""

    def __init__(
        self,
        database: Database,
        authority: pki.CertificateAuthority,
        revocations: Revocations,
        *,
        wall: Callable[[], int],
        days: float = 90,
    ) -> None:
        self.authority = authority
        self.revocations = revocations
        self._database = database
        self._wall = wall
        self._days = days

    async def load(self) -> None:
        """Bring the revocations' file up to what the store knows."""
        self.revocations.merge(await self._database.read(_revocations))

    async def make_code(self, agent: str, who: str) -> str:
        """A new enrolment code for the agent, an hour valid. Earlier unused ones end now."""
        code, secret = pki.new_code(self.authority)
        now = self._wall()

        def work(db: apsw.Connection) -> None:
            db.execute("DELETE FROM enrolment_codes WHERE agent = ? AND used_at IS NULL", (agent,))
            db.execute(
                "INSERT INTO enrolment_codes (secret_hash, agent, made_at, expires_at) VALUES (?, ?, ?, ?)",
                (pki.secret_hash(secret), agent, now, now + CODE_LIFE),
            )
            audit(db, now, who, "code", {"agent": agent})

        await self._database.write(work)
        return code

    async def enrol(self, secret: str, csr: str) -> tuple[str, pki.SignedCertificate]:
        """(agent, its certificate), durable when this returns.

        Raises EnrolmentRefused, or pki.RequestRefused before the code is touched. Of racing uses of one code
        exactly one wins. The same key may come again within the hour: its first answer may have been lost.
        """
        key = pki.request_key(csr)
        now = self._wall()

        def work(db: apsw.Connection) -> tuple[str, pki.SignedCertificate]:
            row = db.execute(
                "SELECT agent, made_at, expires_at, used_key FROM enrolment_codes WHERE secret_hash = ?",
                (pki.secret_hash(secret),),
            ).fetchone()
            if row is None:
                raise EnrolmentRefused("unknown")
            agent, made_at, expires_at, used_key = row
            if used_key is not None and used_key != key:
                raise EnrolmentRefused("used")
            if not made_at - CODE_LIFE < now < expires_at:  # a clock set back a little is no reason
                raise EnrolmentRefused("expired")
            if agent in self.revocations.inventory:
                raise EnrolmentRefused("revoked")
            db.execute(
                "UPDATE enrolment_codes SET used_at = ?, used_key = ? WHERE secret_hash = ?",
                (now, key, pki.secret_hash(secret)),
            )
            issued = self._issue(db, agent, csr, now, "enrolled")
            audit(db, now, f"agent {agent}", "enrolled", {"serial": _hex(issued.serial)})
            return agent, issued

        return await self._database.write(work)

    async def renew(self, agent: str, csr: str) -> pki.SignedCertificate:
        """A new certificate for an agent that showed one of ours. Raises pki.RequestRefused."""
        pki.request_key(csr)
        now = self._wall()
        return await self._database.write(lambda db: self._issue(db, agent, csr, now, "renewed"))

    async def revoke(self, agent: str, who: str, reason: str) -> None:
        """Void every certificate issued to the agent so far, and its unused codes. Counts when this returns."""
        now = self._wall()

        def highest(db: apsw.Connection) -> int:
            # the clock may have been ahead when an earlier one was issued
            serial = db.execute("SELECT MAX(serial) FROM certificates WHERE agent = ?", (agent,)).get
            return max(pki.serials_up_to(now), int(str(serial), 16) if serial else -1)

        up_to = await self._database.read(highest)
        revocation = Revocation(agent, _hex(up_to), now, who, reason)
        self.revocations.add(revocation)

        def work(db: apsw.Connection) -> None:
            db.execute("DELETE FROM enrolment_codes WHERE agent = ? AND used_at IS NULL", (agent,))
            db.execute(
                "INSERT INTO revocations (agent, up_to, at, who, reason) VALUES (?, ?, ?, ?, ?)",
                msgspec.structs.astuple(revocation),
            )
            audit(db, now, who, "revoke", {"agent": agent, "reason": reason})

        await self._database.write(work)

    async def certificates(self) -> dict[str, RegisteredCertificate]:
        """For each agent ever enrolled, its newest certificate."""
        newest = await self._database.read(
            lambda db: rows(db, "SELECT agent, MAX(serial), not_after FROM certificates GROUP BY agent")
        )
        return {agent: RegisteredCertificate(int(serial, 16), not_after) for agent, serial, not_after in newest}

    def _issue(self, db: apsw.Connection, agent: str, csr: str, now: int, how: str) -> pki.SignedCertificate:
        # above what is revoked, even when the clock has gone back since
        serial = pki.new_serial(now, above=self.revocations.up_to(agent))
        issued = self.authority.sign_agent(csr, agent, serial, now, self._days)
        db.execute(
            "INSERT INTO certificates (serial, agent, issued_at, not_after, how) VALUES (?, ?, ?, ?, ?)",
            (_hex(serial), agent, now, issued.not_after, how),
        )
        return issued


def rows(db: apsw.Connection, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """All rows of a question."""
    return db.execute(sql, values).fetchall()


def audit(db: apsw.Connection, at: int, who: str, what: str, data: dict[str, Any]) -> None:
    """One line of the audit, in the transaction of what it tells."""
    db.execute(
        "INSERT INTO audit (at, who, what, data) VALUES (?, ?, ?, ?)",
        (at, who, what, msgspec.json.encode(data).decode()),
    )


def _revocations(db: apsw.Connection) -> list[Revocation]:
    records = rows(db, "SELECT agent, up_to, at, who, reason FROM revocations ORDER BY id")
    return [Revocation(*row) for row in records]


def _hex(serial: int) -> str:
    return f"{serial:0{SERIAL_DIGITS}x}"
