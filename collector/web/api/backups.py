"""``/api/v1/backups``: each as all of its evidence together says it is."""

from typing import Annotated

import msgspec
from aiohttp import web

from alerts.language.catalogue import LANGUAGES
from collector.queries import backups
from collector.queries.backups import BackupHistory, BackupStatus
from collector.queries.reader import LedgerReader
from collector.web.api.schemas import InVietnamese, LocalizedText, Ratios, in_english, in_vietnamese, localized, ratios
from collector.web.query_params import MAX_ITEMS, check_parameters, json_response, one_of, rolling, whole_number
from collector.web.rows import encoded_rows
from inventory.protocol.states import NAMES

MONTH = 30 * 86_400_000


def _help(text: str) -> msgspec.Meta:
    return msgspec.Meta(description=text)


class EvidenceAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One check that says something of a backup."""

    evidence: Annotated[str, _help("pings, files, repository, drill, or what the inventory calls it")]
    uid: Annotated[str | None, _help("the check's; null while no agent was told of it")]
    kind: str
    state: str
    since: int | None
    reason: str
    reason_vi: InVietnamese = msgspec.UNSET


class BackupAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A backup as all of its evidence together says it is. Durations in seconds; null: not known."""

    id: str
    name: LocalizedText
    agency: str
    site: str
    state: Annotated[str, _help("up, degraded, down or unknown: down while any evidence is, up only while all is")]
    since: Annotated[int | None, _help("when it took this state; null where that was before the window")]
    reason: Annotated[str, _help("of the evidence that makes it so")]
    rpo: Annotated[float | None, _help("how old the newest good copy may be")]
    rpo_met: bool | None
    age: Annotated[float | None, _help("of the newest good copy, by the evidence where it is oldest")]
    size: Annotated[float | None, _help("of the newest good copy, bytes")]
    duration: Annotated[float | None, _help("of making it")]
    last_success: Annotated[float | None, _help("when that was made, seconds since the epoch, by the agent's clock")]
    last_verified: Annotated[float | None, _help("when a copy was last read through and found good, likewise")]
    last_restore: Annotated[float | None, _help("when a restore drill last worked, likewise")]
    evidence: list[EvidenceAnswer]
    figure: Annotated[Ratios, _help("of the whole over the window")]
    reason_vi: InVietnamese = msgspec.UNSET


def backup_answer(status: BackupStatus, history: BackupHistory, now: int, language: str | None = None) -> BackupAnswer:
    """The answer about one; ``now`` in ms. ``language``: see :func:`collector.web.api.schemas.with_translation`."""
    backup, oldest = status.backup, status.oldest(now)
    return BackupAnswer(
        id=backup.id,
        name=localized(backup.name),
        agency=backup.agency,
        site=backup.site,
        state=NAMES[status.state],
        since=history.since,
        reason=in_english(status.reason),
        rpo=backup.rpo / 1000 if backup.rpo is not None else None,
        rpo_met=status.rpo_met,
        age=oldest.age(now) if oldest is not None else None,
        size=status.measure("size_bytes"),
        duration=status.measure("duration_seconds"),
        last_success=oldest.measures.get("last_success_timestamp_seconds") if oldest is not None else None,
        last_verified=status.measure("last_verified_timestamp_seconds"),
        last_restore=status.measure("last_restore_timestamp_seconds"),
        evidence=[
            EvidenceAnswer(
                evidence=one.name,
                uid=one.entry.uid if one.entry is not None else None,
                kind=one.entry.kind if one.entry is not None else "",
                state=NAMES[one.status.state],
                since=one.status.since or None,
                reason=in_english(one.status.reason),
                reason_vi=in_vietnamese(one.status.reason, language),
            )
            for one in status.evidence
        ],
        figure=ratios(history.figure),
        reason_vi=in_vietnamese(status.reason, language),
    )


async def list_backups(reader: LedgerReader, request: web.Request) -> web.Response:
    """``/api/v1/backups``."""
    query = request.query
    check_parameters(query, "agency", "site", "state", "window", "limit", "lang")
    language = one_of(query, "lang", LANGUAGES)
    now = reader.wall()
    state = one_of(query, "state", NAMES)
    limit = whole_number(query, "limit", MAX_ITEMS, MAX_ITEMS)
    over = rolling(query, now) or (now - MONTH, now)
    chosen = [
        status
        for status in backups.backup_statuses(reader, now)
        if query.get("agency", status.backup.agency) == status.backup.agency
        and query.get("site", status.backup.site) == status.backup.site
        and (state is None or NAMES[status.state] == state)
    ]
    histories = await backups.backup_histories(reader, chosen[:limit], over)
    response = json_response(
        encoded_rows(
            reader.fleet.quarantine,
            chosen[:limit],
            lambda status: "",
            lambda status: backup_answer(status, histories[status.backup.id], now, language),
        )
    )
    response.headers["X-Total-Count"] = str(len(chosen))
    return response
