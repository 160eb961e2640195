"""The register of identities: enrolment codes, certificates, revocations, and the audit of what people did.

Everything a person or another process may have changed is read from the database when it is needed; only
revocations are asked at every request, from their own file (``revocations.py``).
"""

from collections.abc import Callable

from collector.keys import pki
from collector.store.interfaces.store import Store, Transaction
from collector.store.records import EnrolmentCode, IssuedCertificate, RegisteredCertificate, Revocation
from collector.store.revocations import Revocations

CODE_LIFE = 3600_000  # ms
SERIAL_DIGITS = 40


class EnrolmentRefused(Exception):
    """``code`` is "used", "expired", "unknown" or "revoked"."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Registry:
    """Identities, over the store. ``wall`` gives ms since the epoch; ``days`` is a certificate's life."""

    def __init__(
        self,
        store: Store,
        authority: pki.CertificateAuthority,
        revocations: Revocations,
        *,
        wall: Callable[[], int],
        days: float = 90,
    ) -> None:
        self.authority = authority
        self.revocations = revocations
        self._store = store
        self._wall = wall
        self._days = days

    async def load(self) -> None:
        """Bring the revocations' file up to what the store knows."""
        self.revocations.merge(await self._store.read(lambda tx: tx.revocations.all()))

    async def make_code(self, agent: str, who: str) -> str:
        """A new enrolment code for the agent, an hour valid. Earlier unused ones end now."""
        code, secret = pki.new_code(self.authority)
        now = self._wall()

        def work(tx: Transaction) -> None:
            tx.codes.end_unused(agent)
            tx.codes.add(EnrolmentCode(pki.secret_hash(secret), agent, now, now + CODE_LIFE))
            tx.audit.add(now, who, "code", {"agent": agent})

        await self._store.write(work)
        return code

    async def enrol(self, secret: str, csr: str) -> tuple[str, pki.SignedCertificate]:
        """(agent, its certificate), durable when this returns.

        Raises EnrolmentRefused, or pki.RequestRefused before the code is touched. Of racing uses of one code
        exactly one wins. The same key may come again within the hour: its first answer may have been lost.
        """
        key = pki.request_key(csr)
        now = self._wall()

        def work(tx: Transaction) -> tuple[str, pki.SignedCertificate]:
            code = tx.codes.find(pki.secret_hash(secret))
            if code is None:
                raise EnrolmentRefused("unknown")
            if code.used_key is not None and code.used_key != key:
                raise EnrolmentRefused("used")
            if not code.made_at - CODE_LIFE < now < code.expires_at:  # a clock set back a little is no reason
                raise EnrolmentRefused("expired")
            if code.agent in self.revocations.inventory:
                raise EnrolmentRefused("revoked")
            tx.codes.use(code.secret_hash, now, key)
            issued = self._issue(tx, code.agent, csr, now, "enrolled")
            tx.audit.add(now, f"agent {code.agent}", "enrolled", {"serial": _hex(issued.serial)})
            return code.agent, issued

        return await self._store.write(work)

    async def renew(self, agent: str, csr: str) -> pki.SignedCertificate:
        """A new certificate for an agent that showed one of ours. Raises pki.RequestRefused."""
        pki.request_key(csr)
        now = self._wall()
        return await self._store.write(lambda tx: self._issue(tx, agent, csr, now, "renewed"))

    async def revoke(self, agent: str, who: str, reason: str) -> None:
        """Void every certificate issued to the agent so far, and its unused codes. Counts when this returns."""
        now = self._wall()

        # the clock may have been ahead when an earlier one was issued
        highest = await self._store.read(lambda tx: tx.certificates.highest_serial(agent))
        up_to = max(pki.serials_up_to(now), int(highest, 16) if highest else -1)
        revocation = Revocation(agent, _hex(up_to), now, who, reason)
        self.revocations.add(revocation)

        def work(tx: Transaction) -> None:
            tx.codes.end_unused(agent)
            tx.revocations.add(revocation)
            tx.audit.add(now, who, "revoke", {"agent": agent, "reason": reason})

        await self._store.write(work)

    async def certificates(self) -> dict[str, RegisteredCertificate]:
        """For each agent ever enrolled, its newest certificate."""
        return await self._store.read(lambda tx: tx.certificates.newest())

    def _issue(self, tx: Transaction, agent: str, csr: str, now: int, how: str) -> pki.SignedCertificate:
        # above what is revoked, even when the clock has gone back since
        serial = pki.new_serial(now, above=self.revocations.up_to(agent))
        issued = self.authority.sign_agent(csr, agent, serial, now, self._days)
        tx.certificates.add(IssuedCertificate(_hex(serial), agent, now, issued.not_after, how))
        return issued


def _hex(serial: int) -> str:
    return f"{serial:0{SERIAL_DIGITS}x}"
