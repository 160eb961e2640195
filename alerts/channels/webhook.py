"""The webhook channel: critical alerts posted as JSON to a web address when mail does not get through.

``POST`` with ``Content-Type: application/json``; taken when the answer is 2xx. The mail is still tried. The object::

    {"version": 1,
     "id": "...",                     the Message-ID's left side: the same alert never has another, so drop what you had
     "kind": "trouble",               trouble, update, repeat, escalation, recovery, group, summary, digest
     "severity": "critical",
     "contact": "to-truc",            whom the mail is for, as in the inventory
     "incidents": ["0123456789abcdef"],
     "made": "2026-11-27T07:02:11.500Z",
     "subject": "...",
     "text": "...",                   subject, empty line and the mail's words: chat programs show this field
     "mail": "..."}                   why the mail is still waiting
"""

from datetime import UTC, datetime
from typing import Any

import msgspec

from alerts.channels.config import WebhookSettings
from alerts.channels.http import HttpClient
from alerts.channels.outbox import OutgoingMail


def request_body(mail: OutgoingMail, mail_error: str) -> bytes:
    """The JSON of a mail."""
    created = datetime.fromtimestamp(mail.made / 1000, UTC)
    payload: dict[str, Any] = {
        "version": 1,
        "id": mail.ident,
        "kind": mail.kind,
        "severity": mail.severity,
        "contact": mail.contact,
        "incidents": mail.incidents,
        "made": f"{created:%Y-%m-%dT%H:%M:%S}.{created.microsecond // 1000:03}Z",
        "subject": mail.subject,
        "text": f"{mail.subject}\n\n{mail.text}",
        "mail": mail_error,
    }
    return msgspec.json.encode(payload)


class WebhookSender:
    """The webhook of the settings."""

    def __init__(self, settings: WebhookSettings) -> None:
        headers = {"Content-Type": "application/json"}
        if settings.header:
            headers[settings.header] = str(settings.value)
        self._client = HttpClient(str(settings.url), settings.timeout, settings.ca, headers)

    async def post(self, mail: OutgoingMail, mail_error: str) -> None:
        """``why``: why the mail is waiting. Raises NotTaken."""
        await self._client.request("POST", data=request_body(mail, mail_error))
