"""A sender as a process of its own (outbox in a file, notification log, one relay), killed by the tests or by itself.

Arguments: directory, the relay's port, and where to kill itself: ``WHAT N``, the Nth time that it comes there.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from alerts.channels import notification_log as journals
from alerts.channels.config import ChannelSettings, RelaySettings
from alerts.channels.notification_log import NotificationLog, NotificationLogEntry
from alerts.channels.outbox import OutgoingMail
from alerts.channels.sender import MailSender
from tests.support.outboxes import FileOutbox

POINTS = ("journal-before", "journal-torn", "journal-unsynced", "journal-after", "sent-before", "sent-after")


class KillSwitch:
    def __init__(self, point: str = "", count: str = "0") -> None:
        self.point, self.left = point, int(count)

    def at(self, point: str) -> None:
        if point == self.point:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


class KillingOutbox(FileOutbox):
    switch: KillSwitch

    async def sent(self, mail: OutgoingMail, at: int, channel: str) -> None:
        self.switch.at("sent-before")
        await super().sent(mail, at, channel)
        self.switch.at("sent-after")


class KillingLog(NotificationLog):
    switch: KillSwitch

    def add(self, one: NotificationLogEntry) -> None:
        self.switch.at("journal-before")
        if self.switch.point == "journal-torn" and self.switch.left == 1:
            file = self._file_of(one.at)
            file.write(b'{"ident":"' + one.ident.encode())
            file.flush()
            self.switch.at("journal-torn")
        self.switch.left -= self.switch.point == "journal-torn"
        super().add(one)
        self.switch.at("journal-after")


async def main(directory: Path, port: int, switch: KillSwitch) -> None:
    outbox = KillingOutbox(directory / "outbox")
    outbox.switch = switch
    journal = KillingLog(directory / "journal")
    journal.switch = switch
    if switch.point == "journal-unsynced":
        sync = os.fsync

        def fused(descriptor: Any) -> None:
            if Path(f"/proc/self/fd/{descriptor}").readlink().suffix == ".jsonl":
                switch.at("journal-unsynced")
            sync(descriptor)

        journals.os.fsync = fused
    relay = RelaySettings(host="127.0.0.1", port=port, tls="none", timeout=5_000)
    await MailSender(ChannelSettings(from_="haidang@province.example", relays=(relay,)), outbox, journal).run()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), KillSwitch(*sys.argv[3:])))
