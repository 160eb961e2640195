"""What people do about incidents, from the API, the pages and the links of mails."""

from typing import Final, Literal

import msgspec

from alerts.incident.entities import Command, Incident
from collector.evaluator.alerting import AlertingService
from collector.queries.reader import LedgerReader
from collector.web.query_params import BadRequest
from inventory.base.text import clean_line

ActionName = Literal["acknowledge", "snooze", "comment", "close"]
MAX_TEXT: Final = 2_000  # characters of a comment
MAX_SNOOZE: Final = 31 * 86_400_000  # ms


class IncidentActionBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a POST."""

    until: int | None = None  # of a snooze, ms since the epoch
    text: str = ""  # of a comment, or the reason


class IncidentActions:
    """Over what the evaluator committed."""

    def __init__(self, reader: LedgerReader, alerting: AlertingService) -> None:
        self._reader = reader
        self._alerting = alerting

    async def find(self, key: str) -> Incident:
        """An incident, open or closed. Raises BadRequest."""
        incident = await self._alerting.incidents.find(key)
        if incident is None:
            raise BadRequest(f"there is no incident {key[:60]!r}", 404)
        return incident

    async def execute(self, key: str, what: ActionName, who: str, body: IncidentActionBody, by: str) -> Incident:
        """Durable when it returns, with its row in the audit. ``by``: on what way it came. Raises BadRequest."""
        now = self._reader.wall()
        if what == "snooze" and (body.until is None or not now < body.until <= now + MAX_SNOOZE):
            raise BadRequest("until ought to be a time within the next 31 days")
        if len(body.text) > MAX_TEXT:
            raise BadRequest(f"a text has at most {MAX_TEXT} characters")
        text = clean_line(body.text).strip()  # it goes onto pages, into mails and the audit
        if what == "comment" and not text:
            raise BadRequest("a comment ought to say something")
        incident = await self.find(key)
        if not incident.open:
            raise BadRequest("this incident is closed", 409)
        command = Command(incident=key, what=what, who=who, at=now, until=body.until, text=text, by=by)
        await self._alerting.evaluator.command(command)
        return await self.find(key)
