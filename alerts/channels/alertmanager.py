"""Post open incidents as alerts to each configured Prometheus Alertmanager (API v2).

An alert is its labels: as long as they stay the same, posting it again renews it. When an incident's labels change (its
cause became better known), the alert with the old ones is ended. Every alert says when it ends unless it is renewed, so
that one that nobody renews, because the collector died, does not stay for ever. Excluded incidents and those of
severity info, of which nobody is notified, are not posted.
"""

import asyncio
import logging
import random
import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from alerts.channels.config import AlertmanagerSettings as Settings
from alerts.channels.health import Backoff, ChannelHealth
from alerts.channels.http import DeliveryFailed, HttpClient
from alerts.incident.entities import Incident
from alerts.incident.problem import Subject
from inventory.base.families import label_word
from inventory.model.alerting import MINUTE

log = logging.getLogger("alerts.alertmanager")

NAME: Final = "HaidangIncident"
RENEWALS: Final = 5  # an alert lasts so many times ``every``
ENDED_FOR: Final = 15 * MINUTE  # an ended one is posted for as long: Alertmanager may have been away
MAX_ALERTS_PER_REQUEST: Final = 200  # alerts in one request
PATH: Final = "/api/v2/alerts"

RecentIncidents = Callable[[], Iterable[Incident]]  # open ones, and those closed in the last ENDED_FOR
Annotate = Callable[[Incident], Mapping[str, str]]
Labels = tuple[tuple[str, str], ...]


class Alert(msgspec.Struct, frozen=True):
    """As it is posted, times in ms."""

    labels: Labels
    annotations: dict[str, str]
    begin: int
    end: int
    link: str = ""

    def json(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            "labels": dict(self.labels),
            "annotations": self.annotations,
            "startsAt": iso_time(self.begin),
            "endsAt": iso_time(max(self.end, self.begin + 1)),  # an alert of no length is refused
        }
        if self.link:
            body["generatorURL"] = self.link
        return body


def labels(incident: Incident, check_name: Callable[[str], str]) -> Labels:
    """Made of what stays the same while the incident lives, severity and cause apart. ``check_name``: by uid."""
    first = min(incident.members.values(), key=lambda member: (member.joined, member.since, member.key), default=None)
    subject = first.subject if first is not None else Subject()
    root, root_id = incident.cause.ref
    label_values = {
        "alertname": NAME,
        "incident": incident.key,
        "severity": incident.severity,
        "cause": label_word(incident.cause.cause),
        "condition": first.condition if first is not None else "",
        "agency": subject.agency,
        "site": subject.site or (root_id if root in ("lan", "power") else ""),
        "agent": subject.agent,
        "link": root_id if root == "wan" else subject.link,
        "check": check_name(subject.check) if subject.check else "",
        "kind": subject.kind,
        "goal": subject.goal,
    }
    return tuple(sorted((name, value) for name, value in label_values.items() if value))


class AlertmanagerSender:
    """One Alertmanager. ``annotate``: an incident's words; ``link``: its page, "" for none."""

    def __init__(
        self,
        settings: Settings,
        incidents: RecentIncidents,
        annotate: Annotate,
        link: Callable[[str], str],
        check_name: Callable[[str], str] = str,
        *,
        now: Callable[[], int] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self.settings = settings
        self.health = ChannelHealth(settings.url, Backoff(2.0, settings.every / 1000, rng or random.Random()))
        self.posted = 0  # alerts, since the start
        self._web = client_for(settings)
        self._incidents, self._annotate, self._link, self._check_name = incidents, annotate, link, check_name
        self._now = now or (lambda: time.time_ns() // 1_000_000)
        self._monotonic = monotonic
        self._last_posted: dict[str, Alert] = {}  # by incident, as last posted while open
        self._resolving: dict[tuple[str, Labels], tuple[Alert, int]] = {}  # with when it was seen to end
        self._wake_event = asyncio.Event()

    def wake(self) -> None:
        """An incident was opened, changed or closed."""
        self._wake_event.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._wake_event.clear()
            try:
                wait = await self.run_once()
            except Exception:
                log.exception("incidents could not be made into alerts for %s", self.settings.url)
                wait = self.settings.every / 1000
            try:
                async with asyncio.timeout(wait):
                    await self._wake_event.wait()
            except TimeoutError:
                pass

    async def run_once(self) -> float:
        """Post what there is; seconds until it is to be done again."""
        alerts = self._alerts()
        try:
            for begin in range(0, len(alerts), MAX_ALERTS_PER_REQUEST):
                batch = alerts[begin : begin + MAX_ALERTS_PER_REQUEST]
                await self._web.request("POST", PATH, msgspec.json.encode([alert.json() for alert in batch]))
                self.posted += len(batch)
        except DeliveryFailed as error:
            if self.health.record_failure(self._now(), self._monotonic(), str(error)):
                log.warning("the Alertmanager %s takes no alerts: %s", self.settings.url, error)
            return max(0.1, self.health.retry_at - self._monotonic())
        if alerts and self.health.record_success(self._now()):
            log.info("the Alertmanager %s takes alerts again", self.settings.url)
        return self.settings.every / 1000

    def _alerts(self) -> list[Alert]:
        now = self._now()
        current: dict[str, Alert] = {}
        for incident in self._incidents():
            if incident.severity == "info" and incident.key not in self._last_posted:
                continue
            alert = self._alert(incident, now)
            if incident.open and not incident.excluded and incident.severity != "info":
                current[incident.key] = alert
            elif (
                incident.key not in self._last_posted
                and incident.closed is not None
                and now - incident.closed < ENDED_FOR
            ):
                self._resolve(incident.key, alert, now)  # closed around our start: whether that was posted is not known
            elif incident.key in self._last_posted:
                last_alert = self._last_posted[incident.key]
                self._resolve(incident.key, msgspec.structs.replace(last_alert, end=min(alert.end, now)), now)
        for key, old_alert in self._last_posted.items():
            if key not in current or current[key].labels != old_alert.labels:
                self._resolve(key, msgspec.structs.replace(old_alert, end=now), now)
        for key, alert in current.items():
            self._resolving.pop((key, alert.labels), None)  # it is back
        self._resolving = {
            key: resolving for key, resolving in self._resolving.items() if now - resolving[1] < ENDED_FOR
        }
        self._last_posted = current
        return [*current.values(), *(alert for alert, _ in self._resolving.values())]

    def _resolve(self, key: str, alert: Alert, now: int) -> None:
        self._resolving.setdefault((key, alert.labels), (alert, now))

    def _alert(self, incident: Incident, now: int) -> Alert:
        lasting = now + RENEWALS * self.settings.every
        return Alert(
            labels=labels(incident, self._check_name),
            annotations=self._safe_annotations(incident),
            begin=incident.opened,
            end=lasting if incident.open else (incident.ended or incident.closed or now),
            link=self._link(incident.key),
        )

    def _safe_annotations(self, incident: Incident) -> dict[str, str]:
        try:
            return {name: value for name, value in self._annotate(incident).items() if value}
        except Exception:
            log.exception("the incident %s has no words", incident.key)
            return {}  # the labels say the most important; and it must not hold up the others


def client_for(settings: Settings) -> HttpClient:
    headers = {"Content-Type": "application/json"}
    if settings.token:
        headers["Authorization"] = f"Bearer {settings.token}"
    if settings.user:
        headers["Authorization"] = f"Basic {b64encode(f'{settings.user}:{settings.password}'.encode()).decode()}"
    return HttpClient(settings.url.rstrip("/"), settings.timeout, settings.ca, headers)


def resolved_alert(now: int) -> bytes:
    """An alert that is over already, so that it notifies nobody: for asking whether alerts are taken at all."""
    label_pairs = (("alertname", "HaidangTest"), ("severity", "info"))
    return msgspec.json.encode([Alert(label_pairs, {"summary": "haidang-alerts test"}, now - 1000, now).json()])


def iso_time(ms: int) -> str:
    timestamp = datetime.fromtimestamp(ms / 1000, UTC)
    return f"{timestamp:%Y-%m-%dT%H:%M:%S}.{timestamp.microsecond // 1000:03}Z"
