"""The collector's checks of itself: what keeps it from taking results, placing them, or notifying anybody."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from alerts.incident.message import TranslatableMessage, message
from alerts.incident.problem import ActiveProblem, Cause, Subject
from inventory.model.alerting import Condition
from inventory.protocol.causes import COLLECTOR
from inventory.protocol.refs import Ref

MIN_FREE: Final = 0.05  # of the disk that holds the store
DISK_EVERY: Final = 60_000  # ms between two readings of the disk

SelfProblem = tuple[str, TranslatableMessage]  # what, and the message about it
SelfCheck = Callable[[], Sequence[SelfProblem]]


class SelfChecks:
    """``sources`` list what is wrong now; a problem is as old as its first sight in this process."""

    def __init__(self, sources: Sequence[SelfCheck]) -> None:
        self._sources = sources
        self._since: dict[str, int] = {}

    def current(self, now: int, condition: Callable[[str], Condition | None], agency: str) -> list[ActiveProblem]:
        """``condition``: the one that holds for a problem of that name, None where it is switched off."""
        messages = dict(one for source in self._sources for one in source())
        self._since = {what: self._since.get(what, now) for what in messages}
        return list(self._problems(messages, now, condition, agency))

    def _problems(
        self,
        messages: dict[str, TranslatableMessage],
        now: int,
        condition: Callable[[str], Condition | None],
        agency: str,
    ) -> Iterator[ActiveProblem]:
        for what, text in messages.items():
            met_condition = condition(what)
            if met_condition is None:
                continue
            since = self._since[what]
            yield ActiveProblem(
                key=str(Ref("collector", what)),
                condition=met_condition.id,
                subject=Subject(agency=agency),
                severity=met_condition.severity,
                since=since,
                evidence=now,
                cause=Cause(root=str(Ref("collector", what)), cause=COLLECTOR),
                confirmed=now - since >= met_condition.for_ms,
                message=text,
                recover_ms=met_condition.quiet_ms,
            )


def disk_check(directory: Path, wall: Callable[[], int]) -> SelfCheck:
    """The room for the store; read once a minute."""
    checked_at, problems = [-DISK_EVERY], list[SelfProblem]()

    def check_disk() -> Sequence[SelfProblem]:
        if abs(wall() - checked_at[0]) >= DISK_EVERY:
            checked_at[0] = wall()
            problems[:] = _disk(directory)
        return problems

    return check_disk


def _disk(directory: Path) -> list[SelfProblem]:
    try:
        usage = shutil.disk_usage(directory)
    except OSError as error:
        return [("disk", message("the disk of the store cannot be looked at: {why}", why=error.strerror or str(error)))]
    free = usage.free / usage.total if usage.total else 1.0
    if free >= MIN_FREE:
        return []
    return [("disk", message("only {free_share} of the disk that holds the store is free", free_share=free))]
