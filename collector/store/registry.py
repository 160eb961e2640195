"""The register of identities: enrolment codes, certificates, revocations, and the audit of what people did.

Serials tell machines apart: an enrolment begins one, and what that machine renews has serials up to the next enrolment.
So once a newer machine of an agent comes, everything below its first serial is void, and no renewal gets past it.

Everything a person or another process may have changed is read from the database when it is needed; only
revocations are asked at every request, from their own file (``revocations.py``).
"""

import logging
from collections.abc import Callable, Collection
from typing import Final

import msgspec

from collector.keys import pki
from collector.store.errors import StoreError
from collector.store.interfaces.store import Store, Transaction
from collector.store.records import (
    AddedEvent,
    AgentMachine,
    EnrolmentCode,
    IssuedCertificate,
    KeptMachine,
    RegisteredCertificate,
    Revocation,
)
from collector.store.revocations import Revocations

log = logging.getLogger(__name__)

DAY: Final = 86_400_000  # ms
CODE_LIFE: Final = 3600_000
LONGEST_CODE_LIFE: Final = 7 * DAY
RENEWABLE: Final = 30 * DAY  # after a certificate's end
MAX_RENEWALS: Final = 4  # of an agent in a day
MAX_ANSWERS: Final = 8  # to one key with one code, and in a day: an answer may be lost, not for ever
SERIAL_DIGITS: Final = 40
TWO_MACHINES: Final = "two machines"  # the finding


class EnrolmentRefused(Exception):
    """``code`` is "used", "expired", "unknown" or "revoked"."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class RenewalRefused(Exception):
    """``code`` is "revoked", "replaced", "a new code is needed" or "too many renewals"."""

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
        renewals: int = MAX_RENEWALS,
    ) -> None:
        self.authority = authority
        self.revocations = revocations
        self._store = store
        self._wall = wall
        self._days = days
        self._renewals = renewals
        self._awaited: dict[str, list[int]] = {}  # first serials of machines that have not come yet, by agent
        self._kept: dict[str, KeptMachine] = {}

    async def load(self) -> None:
        """Bring the revocations' file up to what the store knows, and learn which machines are still to come."""
        self.revocations.merge(await self._store.read(lambda tx: tx.revocations.all()))
        self._awaited.clear()
        for agent, serial in await self._store.read(lambda tx: tx.certificates.replacing()):
            if int(serial, 16) > self.revocations.up_to(agent) + 1:
                self._awaited.setdefault(agent, []).append(int(serial, 16))
        await self.load_kept()

    # -- codes and enrolment

    async def make_code(self, agent: str, who: str, life: int = CODE_LIFE) -> str:
        """A new enrolment code for the agent, valid for ``life`` ms (a week at the most). Those of before end now."""
        code, secret = pki.new_code(self.authority)
        now = self._wall()
        life = min(life, LONGEST_CODE_LIFE)

        def work(tx: Transaction) -> None:
            tx.codes.end(agent)
            tx.codes.add(EnrolmentCode(pki.secret_hash(secret), agent, now, now + life))
            tx.audit.add(now, who, "code", {"agent": agent, "hours": round(life / CODE_LIFE, 2)})

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
            self._check_answers(tx, code, now)
            tx.codes.use(code.secret_hash, code.used_at or now, key)
            issued = self._issue(tx, code.agent, csr, now, "enrolled")
            tx.audit.add(now, f"agent {code.agent}", "enrolled", {"serial": _hex(issued.serial)})
            return code.agent, issued

        agent, issued = await self._store.write(work)
        self._awaited.setdefault(agent, []).append(issued.serial)
        return agent, issued

    def _check_answers(self, tx: Transaction, code: EnrolmentCode, now: int) -> None:
        """Whether a code that was used may be answered once more. Raises EnrolmentRefused."""
        if code.used_at is None:
            return
        if not -CODE_LIFE < now - code.used_at < CODE_LIFE:
            raise EnrolmentRefused("expired")
        if tx.certificates.issued(code.agent, "enrolled", code.used_at - CODE_LIFE, now + CODE_LIFE) >= MAX_ANSWERS:
            raise EnrolmentRefused("used")

    # -- certificates in use

    async def admit(self, agent: str, serial: int) -> str:
        """Why this certificate of the agent does not count: "revoked" or "replaced"; "" when it does.

        The first use of a newer machine's certificate voids what the agent's machines had before.
        """
        if why := self.revocations.why_void(agent, serial):
            return why
        here = [first for first in self._awaited.get(agent, ()) if first <= serial]
        if here:
            self._awaited[agent] = [first for first in self._awaited[agent] if first > serial]
            try:
                await self._replace_earlier(agent, max(here))
            except (OSError, StoreError) as error:
                self._awaited[agent] += here
                log.error("agent %s: its earlier certificates could not be voided: %s", agent, error)
        return ""

    async def _replace_earlier(self, agent: str, first: int) -> None:
        if (agent, _hex(first)) not in await self._store.read(lambda tx: tx.certificates.replacing()):
            return  # it is the agent's first
        now, who = self._wall(), f"agent {agent}"
        void = Revocation(agent, _hex(first - 1), now, who, "a newer enrolment is in use", "replaced")
        self.revocations.add(void)

        def work(tx: Transaction) -> None:
            tx.revocations.add(void)
            tx.kept_machines.remove(agent)
            tx.audit.add(now, who, "replaced", {"serial": _hex(first)})

        await self._store.write(work)
        self._kept.pop(agent, None)
        log.info("agent %s: its newer machine is here, earlier certificates are void", agent)

    async def renew(self, agent: str, csr: str, serial: int, not_after: int) -> pki.SignedCertificate:
        """A new certificate for an agent that showed the one of this serial and end (ms since the epoch).

        Raises pki.RequestRefused, RenewalRefused. Whether the certificate counts was asked before (``admit``).
        """
        pki.request_key(csr)
        now = self._wall()
        if now - not_after > RENEWABLE:
            raise RenewalRefused("a new code is needed")
        kept = self._kept.get(agent)
        how = "kept" if kept is not None and serial <= int(kept.up_to, 16) else "renewed"

        def work(tx: Transaction) -> pki.SignedCertificate:
            if why := self.revocations.why_void(agent, serial):  # since it was asked
                raise RenewalRefused(why)
            if tx.certificates.issued(agent, how, now - DAY, now + DAY) >= self._renewals:
                raise RenewalRefused("too many renewals")
            issued = self._issue(tx, agent, csr, now, how, serial)
            data = {"serial": _hex(issued.serial), "before": _hex(serial)}
            tx.audit.add(now, f"agent {agent}", how, {**data, "expired": True} if not_after <= now else data)
            return issued

        issued = await self._store.write(work)
        if how == "kept":
            self._awaited.setdefault(agent, []).append(issued.serial)
        return issued

    async def revoke(self, agent: str, who: str, reason: str) -> None:
        """Void every certificate issued to the agent so far, and its codes. Counts when this returns."""
        now = self._wall()
        self.revocations.merge(await self._store.read(lambda tx: tx.revocations.all()))
        revocation = Revocation(agent, await self._highest(agent, now), now, who, reason)
        self.revocations.add(revocation)

        def work(tx: Transaction) -> None:
            tx.codes.end(agent)
            tx.revocations.add(revocation)
            tx.kept_machines.remove(agent)
            tx.audit.add(now, who, "revoke", {"agent": agent, "reason": reason})

        await self._store.write(work)
        highest = await self._highest(agent, now)
        if highest > revocation.up_to:  # another process issued one meanwhile, to who had shown what was good then
            late = msgspec.structs.replace(revocation, up_to=highest)
            self.revocations.add(late)
            await self._store.write(lambda tx: tx.revocations.add(late))

    async def certificates(self) -> dict[str, RegisteredCertificate]:
        """For each agent ever enrolled, its newest certificate."""
        return await self._store.read(lambda tx: tx.certificates.newest())

    # -- several machines with one identity

    async def report_machines(self, agent: str, machines: Collection[AgentMachine]) -> None:
        """A finding that names machines which push as one agent at the same time."""
        now, data = self._wall(), {"machines": msgspec.to_builtins(list(machines))}
        await self._store.write(lambda tx: tx.events.add([AddedEvent(now, agent, None, "two machines", data, True)]))

    async def machines(self, agent: str) -> list[AgentMachine]:
        """Those of the newest such finding."""
        events = await self._store.read(lambda tx: tx.events.newest(agent=agent))
        newest = next((event.data for event in events if event.kind == TWO_MACHINES), {})
        return msgspec.convert(newest.get("machines", []), list[AgentMachine])

    async def keep(self, agent: str, kept: AgentMachine, others: Collection[AgentMachine], who: str) -> None:
        """Of machines with one identity this one stays: it alone gets a new certificate, then the old ones are void."""
        now = self._wall()
        decision = KeptMachine(agent, await self._highest(agent, now), kept, tuple(others), now, who)

        def work(tx: Transaction) -> None:
            tx.codes.end(agent)  # one who stays away does not come back by the code that let it in
            tx.kept_machines.put(decision)
            tx.audit.add(now, who, "keep", {"agent": agent, "machine": kept.ident, "address": kept.address})

        await self._store.write(work)

    async def load_kept(self) -> None:
        """Learn what people decided in other processes."""
        decisions = await self._store.read(lambda tx: tx.kept_machines.all())
        self._kept = {decision.agent: decision for decision in decisions}

    def kept(self, agent: str, serial: int) -> KeptMachine | None:
        """The decision that holds for this certificate of the agent."""
        decision = self._kept.get(agent)
        return decision if decision is not None and serial <= int(decision.up_to, 16) else None

    async def _highest(self, agent: str, now: int) -> str:
        """No certificate that the agent has is above this; the clock may have been ahead when one was issued."""
        highest = await self._store.read(lambda tx: tx.certificates.highest_serial(agent))
        return _hex(max(pki.serials_up_to(now), int(highest, 16) if highest else -1))

    def _issue(
        self, tx: Transaction, agent: str, csr: str, now: int, how: str, shown: int | None = None
    ) -> pki.SignedCertificate:
        """``shown``: the serial that a renewal is of. Raises RenewalRefused."""
        next_machine = tx.certificates.next_enrolment(agent, _hex(shown)) if shown is not None else None
        if shown is not None and next_machine is not None and how == "renewed":
            serial = pki.serial_between(shown, int(next_machine, 16))
            if serial is None:
                raise RenewalRefused("replaced")
        else:
            # above what the agent has and what is void, even when the clock has gone back since
            highest = tx.certificates.highest_serial(agent)
            above = max(self.revocations.up_to(agent), int(highest, 16) if highest else 0)
            serial = pki.new_serial(now, above=above)
        issued = self.authority.sign_agent(csr, agent, serial, now, self._days)
        tx.certificates.add(IssuedCertificate(_hex(serial), agent, now, issued.not_after, how))
        return issued


def _hex(serial: int) -> str:
    return f"{serial:0{SERIAL_DIGITS}x}"
