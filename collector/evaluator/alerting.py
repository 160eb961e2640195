"""The alerting service: the evaluator and every channel that notifies people, wired together."""

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from alerts.channels.alertmanager import ENDED_FOR, AlertmanagerSender
from alerts.channels.deadman import DeadmanPinger
from alerts.channels.health import DeliveryStats
from alerts.channels.notification_log import NotificationLog, sent_notices
from alerts.channels.sender import MailSender
from alerts.incident.entities import Incident
from alerts.incident.message import message
from alerts.language.catalogue import LANGUAGES
from alerts.language.locale import Locale
from alerts.mail.formatter import MailFormatter
from alerts.mail.signed_urls import INCIDENTS_PATH, LinkSigner
from alerts.mail.topic import headline
from collector.config import CollectorConfig
from collector.evaluator.evaluator import Evaluator
from collector.evaluator.outgoing_mail import MailWriter
from collector.evaluator.problems.goal_problems import GoalProblems
from collector.evaluator.problems.self_checks import SelfChecks, SelfProblem, disk_check
from collector.evaluator.standby import Standby
from collector.goals.evaluate import Evaluation
from collector.ingest.ingest import Ingest
from collector.queries.incidents import IncidentReader
from collector.queries.reader import LedgerReader
from collector.services.circuits import Circuits
from collector.services.inventories import LiveInventory
from collector.store.interfaces.store import Store
from collector.store.outbox import StoredOutbox
from collector.store.unsubscribed import Unsubscribed
from inventory.base import files
from inventory.model.entities import Inventory

KEY_BYTES: Final = 32
COMMIT_FAILURES: Final = 3  # commits in a row


class AlertingService:
    """Made over a started ingest. :meth:`start`, then run the ``jobs``; :meth:`stop` closes what is open."""

    def __init__(
        self,
        config: CollectorConfig,
        store: Store,
        ingest: Ingest,
        inventories: LiveInventory,
        reader: LedgerReader,
        evaluations: Callable[[], Sequence[Evaluation]],
    ) -> None:
        channels = config.alerts

        def trusted_now() -> int:  # a clock that jumps ahead must not make waiting mails too old to be sent
            return ingest.trust.now_ms() or reader.wall()

        self.channels = channels
        self.store = store
        self.counts = DeliveryStats()
        self.notification_log = NotificationLog(config.notification_log, channels.keep_days)
        self.signer = LinkSigner(_signing_key(config.state_dir / "links.key"))
        self.outbox = StoredOutbox(store)
        self.unsubscribed = Unsubscribed(store)
        self.circuits = Circuits(store, reader)
        self.standby = Standby(channels.standby_of)
        self.sender = (
            MailSender(channels, self.outbox, self.notification_log, self.counts, now=trusted_now)
            if channels.sends_mail
            else None
        )
        self.goal_problems = GoalProblems(reader, evaluations)
        self.evaluator = Evaluator(
            store,
            reader,
            ingest.trust,
            loaded=lambda: bool(inventories.loaded),
            goal_problems=self.goal_problems,
            self_checks=SelfChecks(
                [
                    lambda: self.counts.problems(reader.wall()),
                    lambda: list(_collector_problems(ingest, inventories)),
                    disk_check(config.state_dir, reader.wall),
                ]
            ),
            mail_writer=MailWriter(reader, self.unsubscribed, channels, self.signer, evaluations),
            muted=lambda: not channels.sends_mail or self.standby.muted,
            wake=self._wake,
            accepted=self.counts.take_fault_to_mail,
        )
        self.incidents = IncidentReader(store, lambda: self.evaluator.incidents)
        self._reader = reader
        self._alertmanagers = [
            AlertmanagerSender(
                settings,
                self._alertmanager_incidents,
                self._summaries,
                lambda key: channels.page_url(INCIDENTS_PATH + key),
                self._check_name,
            )
            for settings in channels.alertmanagers
        ]
        self._deadman = DeadmanPinger(channels.deadman, self.health_problem) if channels.deadman is not None else None
        self.counts.alertmanagers = [poster.health for poster in self._alertmanagers]
        self.counts.deadman = self._deadman.health if self._deadman is not None else None

    @property
    def inventory(self) -> Inventory:
        """The one in force."""
        return self._reader.inventory

    async def start(self) -> None:
        """Resume where the store and the notification log are. Raises StoreError, OSError."""
        await self.circuits.start()
        await self.unsubscribed.load()
        sent = await asyncio.to_thread(lambda: list(sent_notices(self.notification_log.mail_entries())))
        await self.evaluator.start(sent)

    def jobs(self) -> Iterator[Coroutine[Any, Any, None]]:
        """What is to run until the collector stops."""
        yield self.goal_problems.run()
        yield self.evaluator.run()
        yield self.circuits.run()
        yield self.standby.run()
        if self.sender is not None:
            yield self.sender.run()
        for poster in self._alertmanagers:
            yield poster.run()
        if self._deadman is not None:
            yield self._deadman.run()

    def health_problem(self) -> str:
        """What is wrong with the channels that notify people, or "": what the dead-man's ping hangs on."""
        if problem := self.evaluator.health_problem():
            return problem
        problems = self.counts.problems(self._reader.wall())
        mail = next((text for channel, text in problems if channel in ("mail", "journal")), None)
        return mail.text if mail is not None else ""

    def _wake(self) -> None:
        if self.sender is not None:
            self.sender.wake()
        for poster in self._alertmanagers:
            poster.wake()

    def _alertmanager_incidents(self) -> Iterable[Incident]:
        if self.standby.muted:
            return ()
        incidents, now = self.evaluator.incidents, self._reader.wall()
        ended = [*incidents.ended.values(), *incidents.closed.values()]
        recent = [one for one in ended if one.closed is not None and now - one.closed < ENDED_FOR]
        return [*incidents.open.values(), *(one for one in recent if one.resolution != "late")]

    def _summaries(self, incident: Incident) -> Mapping[str, str]:
        """An incident's headline, in each language."""
        inventory, now = self._reader.inventory, self._reader.wall()
        zone = inventory.province.zone
        return {
            f"summary_{language}": headline(incident, MailFormatter(Locale(language, zone), inventory, now))
            for language in LANGUAGES
        }

    def _check_name(self, uid: str) -> str:
        check = self._reader.inventory.checks.get(uid)
        return check.name if check is not None else uid


def _collector_problems(ingest: Ingest, inventories: LiveInventory) -> Iterator[SelfProblem]:
    if not ingest.trust.trusted:
        yield "clock", message("the collector does not believe its clock: {reason}", reason=ingest.trust.why)
    if ingest.committer.failures >= COMMIT_FAILURES:
        yield "store", message("nothing can be stored, so nothing is acknowledged; the agents keep it")
    mistakes = [problem for problem in inventories.problems if not problem.warning]
    if mistakes:
        yield (
            "inventory",
            message(
                "the inventory's files have {count} mistakes; the last good ones stay in force: {first}",
                count=len(mistakes),
                first=str(mistakes[0])[:200],
            ),
        )


def _signing_key(path: Path) -> bytes:
    """The key that links in mails are signed with; made on the first start. Raises OSError."""
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        key = b""
    if len(key) >= KEY_BYTES:
        return key
    new_key = secrets.token_bytes(KEY_BYTES)
    files.replace(path, new_key, mode=0o600)
    return new_key
