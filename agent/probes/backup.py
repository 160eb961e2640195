"""Backups: is there a good copy, young enough, that could be read back."""

import hashlib
import time
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from agent.backup.facts import (
    GOOD,
    BackupFacts,
    BackupQuery,
    BackupRefused,
    ReadGrant,
    ReadJob,
    ReadProgress,
    ReadVerdict,
)
from agent.backup.series import AGE, DURATION, LAST_SUCCESS, RPO_MET, SERIES
from agent.backup.verdict import BackupPolicy, evaluate_backup, flaw
from agent.backup.worker_pool import BackupWorkerPool
from agent.failure import ProbeFailed
from agent.first_steps import FREE_SPACE, KEEP_OLD, REPORTS
from agent.probe import (
    THIS_MACHINE,
    CredentialUse,
    Measure,
    Outcome,
    Probe,
    ProbeContext,
    schema_format,
    unknown,
)
from inventory.base.types import duration_ms, size_bytes
from inventory.grammars.database_names import NAME, NAME_LENGTH, is_database_name
from inventory.grammars.file_patterns import FilePattern
from inventory.protocol.mail_words import MailWords
from inventory.protocol.reasons import sentence, unpack

_RESERVE: Final = 1.0  # seconds of a look that are kept from a background read
_RETRY_AFTER: Final = 86_400.0  # seconds after which is tried again what could not be read, or was damaged
_READ_THROUGH: Final = ("files", "restic", "borg")
_SPAN: Final = r"^(?=.)(\d{1,9}d)?(\d{1,9}h)?(\d{1,9}m)?(\d{1,9}s)?(\d{1,9}ms)?$"
_SIZE: Final = r"^\d{1,15} ?(B|KiB|MiB|GiB|TiB)?$"
_RATE: Final = r"^(0|[1-9]\d{0,9} ?(KiB|MiB|GiB|TiB))$"  # slower than 1 KiB a second is no read at all


class BackupProbe(Probe, frozen=True, kw_only=True):
    """Looks at backups where they lie: up while the newest good copy is younger than its objective.

    ``files``: files in a directory that fit a pattern, in which dates may stand. ``restic``, ``borg``, ``rsnapshot``:
    a repository, with its password (a credential of the agent's) or, less exactly, without. ``bacula``: the jobs in
    the catalogue of Bacula or Bareos. Down: the newest good copy is too old, or there is none. Degraded: a newer one
    is broken, empty or suspiciously small beside those before it, a lock was left behind, or nothing was read through
    for too long. What is still being written is not judged. Copies are read through in the background, at low
    priority and a bounded rate, never unpacked to the disk; a read goes on after a restart. Nothing is followed out
    of the directories that the agent's own file allows.
    """

    kind = "backup"
    title = "backup"
    target = ("evidence", "path", "files", "database", "hosts", "sources")
    series = SERIES
    looks_at = "directories"
    evidence_keys = ("files", "repository")
    measures = (
        Measure("age_seconds", "seconds", AGE),
        Measure("last_success_timestamp_seconds", "timestamp", LAST_SUCCESS),
        Measure("rpo_met", "status", RPO_MET),
        Measure("size_bytes", "bytes", "Size of the newest good copy"),
        Measure("size_ratio", "ratio", "Its size to the usual one of its sort"),
        Measure("copies", "count", "Copies that are kept"),
        Measure("bad_copies", "count", "Copies among the newest that are broken, empty or from the future"),
        Measure("total_bytes", "bytes", "All copies together"),
        Measure("growing", "status", "1 while a copy is being written"),
        Measure("duration_seconds", "seconds", DURATION),
        Measure("verified_age_seconds", "seconds", "Since a copy was last read through and found good"),
        Measure("last_verified_timestamp_seconds", "timestamp", "When a copy was last read through and found good"),
        Measure("read_seconds", "seconds", "How long that read took"),
        Measure("read_ratio", "ratio", "How far the read that is under way has come"),
        Measure("locks", "count", "Locks on the repository"),
        Measure("lock_age_seconds", "seconds", "Age of the oldest lock"),
        Measure("links_outside", "count", "Links that lead out of the allowed directories, not followed"),
    )
    down_mail = MailWords(
        headline="No recent backup",
        steps=(
            "See whether the backup program ran last night and what it says: its window, its log or its mail.",
            FREE_SPACE,
            "Start the backup by hand now. This can take hours; leave the machine on.",
            KEEP_OLD,
            REPORTS,
        ),
    )
    degraded_mail = MailWords(
        headline="Backup in doubt",
        steps=(
            "The newest copy may be unusable. Read above what is wrong with it: broken, empty or too small.",
            KEEP_OLD,
            "Try to restore one file from the newest copy to another folder.",
            "Start the backup again by hand and see that it ends without an error.",
        ),
    )
    example = '{path: /srv/backups/db, files: "db-%Y-%m-%d.sql.gz", rpo: 26h, smallest: 10KiB}'

    path: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=1024,
            description="Directory with the files or the repository; for bacula the SQLite catalogue, or the "
            "directory of PostgreSQL's socket",
        ),
    ]
    evidence: Annotated[
        Literal["files", "restic", "borg", "rsnapshot", "bacula"], Meta(description="What lies there")
    ] = "files"
    files: Annotated[
        str,
        Meta(
            max_length=512,
            description="Pattern of the files' names, such as **/db-%Y-%m-%d.sql.gz",
            extra_json_schema=schema_format("file-pattern"),
        ),
    ] = "*"
    zone: Annotated[
        str,
        Meta(
            max_length=64,
            description="Time zone of dates in names; default the machine's",
            extra_json_schema=schema_format("time-zone"),
        ),
    ] = ""
    rpo: Annotated[
        str,
        Meta(
            pattern=_SPAN,
            description="Oldest that the newest good copy may be, such as 26h",
            extra_json_schema=schema_format("lasting"),
        ),
    ] = "26h"
    keep: Annotated[int, Meta(ge=0, le=1_000_000, description="Fewest copies that have to be there")] = 0
    smallest: Annotated[str, Meta(pattern=_SIZE, description="Less than this is no backup, such as 10KiB")] = "1"
    settle: Annotated[str, Meta(pattern=_SPAN, description="A file unchanged for so long is complete")] = "2m"
    integrity: Annotated[bool, Meta(description="Read copies through; for a repository with a password, check it")] = (
        True
    )
    checksum: Annotated[bool, Meta(description="Compare with a checksum file beside the copy, where there is one")] = (
        True
    )
    read_every: Annotated[str, Meta(pattern=_SPAN, description="The same copy is read through again after")] = "30d"
    verified_within: Annotated[
        str, Meta(pattern=_SPAN, description="Degraded when nothing was read through for so long; 0s: never")
    ] = "45d"
    rate: Annotated[str, Meta(pattern=_RATE, description="Bytes a second of reading through; 0: no limit")] = "32MiB"
    read_bytes: Annotated[
        str, Meta(pattern=_SIZE, description="Bytes to read through after each look; 0: to the end")
    ] = "16GiB"
    read_time: Annotated[str, Meta(pattern=_SPAN, description="Time to read for after each look; 0s: to the end")] = (
        "1h"
    )
    most_unpacked: Annotated[
        int, Meta(ge=2, le=1_000_000, description="An archive may unfold to so many times its size, or to 1 GiB")
    ] = 300
    credential: Annotated[
        str, Meta(max_length=63, description="Name of the credential (password, user) in the agent's own file")
    ] = ""
    hosts: Annotated[
        tuple[str, ...], Meta(max_length=64, description="Each of these hosts has to have a copy that is young enough")
    ] = ()
    sources: Annotated[
        tuple[str, ...],
        Meta(max_length=64, description="Each of these has to: paths (restic), archive prefixes (borg), jobs (bacula)"),
    ] = ()
    check_share: Annotated[
        float, Meta(ge=0, le=1, description="Share of a repository's data that restic check reads, 0 to 1")
    ] = 0.0
    lock_age: Annotated[str, Meta(pattern=_SPAN, description="A lock older than this was left behind")] = "12h"
    database: Annotated[
        str,
        Meta(max_length=NAME_LENGTH, pattern=NAME, description="bacula: the catalogue's name in PostgreSQL, no more"),
    ] = ""

    def __post_init__(self) -> None:
        if not duration_ms(self.rpo):
            raise ValueError(sentence("rpo has to be more than 0"))
        if self.database and not is_database_name(self.database):
            raise ValueError(sentence("database: a name is letters, digits, '_', '-', '.' and '$', and no more"))
        if self.evidence == "borg" and ("::" in self.path or "{" in self.path or self.path.startswith("//")):
            raise ValueError(sentence("path: borg takes {marks} for more than a path", marks="::, { and //"))
        try:
            FilePattern(self.files)
        except ValueError as error:
            raise ValueError(sentence("files: {error}", error=error)) from None
        try:
            FilePattern("*", self.zone)
        except ValueError:
            raise ValueError(sentence("zone: {zone} is none", zone=repr(self.zone))) from None

    async def run(self, context: ProbeContext) -> Outcome:
        until = time.monotonic() + context.timeout
        try:
            # plain text: it travels on a pipe to a process of the agent's own
            known = context.credential(self.credential, THIS_MACHINE) if self.credential else {}
            secret = {key: "".join(value) for key, value in known.items()}
            query = self._query(context, secret)
            facts = await context.client(BackupWorkerPool, BackupWorkerPool).scan(query)
            if self.integrity and not facts.failed and not facts.gone:
                facts = await self._read(context, query, facts, until)
        except ProbeFailed as failure:
            return unknown(failure.reason)
        except BackupRefused as refusal:
            return unknown(refusal.reason)
        return evaluate_backup(facts, self._policy())

    def credential_uses(self) -> tuple[CredentialUse, ...]:
        return (CredentialUse(self.credential),) if self.credential else ()

    def _query(self, context: ProbeContext, credential: dict[str, str]) -> BackupQuery:
        parts = [str(getattr(self, field)) for field in self.target]
        return BackupQuery(
            evidence=self.evidence,
            path=self.path,
            files=self.files,
            zone=self.zone,
            settle=duration_ms(self.settle) / 1000,
            hosts=self.hosts,
            sources=self.sources,
            database=self.database,
            check_share=self.check_share,
            secret=credential,
            allowed=context.limits.directories,
            store=str(context.storage) if context.storage is not None else "",
            key=hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16],
            timeout=context.timeout,
            rate=size_bytes(self.rate),
            most_unpacked=self.most_unpacked,
            checksum=self.checksum,
        )

    def _policy(self) -> BackupPolicy:
        return BackupPolicy(
            rpo=duration_ms(self.rpo) / 1000,
            keep=self.keep,
            smallest=size_bytes(self.smallest),
            verified_within=duration_ms(self.verified_within) / 1000,
            lock_age=duration_ms(self.lock_age) / 1000,
            integrity=self.integrity and self.evidence in _READ_THROUGH,
        )

    async def _read(self, context: ProbeContext, query: BackupQuery, facts: BackupFacts, until: float) -> BackupFacts:
        """Let the newest good copy, or the repository, be read through if that is due; what is known by now."""
        while (job := self._due_read(query, facts)) is not None:
            remaining = until - time.monotonic() - _RESERVE
            grant = ReadGrant(size_bytes(self.read_bytes), duration_ms(self.read_time) / 1000)
            progress = await context.client(BackupWorkerPool, BackupWorkerPool).read(job, grant, max(remaining, 0.0))
            if progress is None:
                return facts
            facts = with_progress(facts, progress)
            if progress.verdict is None or remaining <= 0:
                return facts
        return facts

    def _due_read(self, query: BackupQuery, facts: BackupFacts) -> ReadJob | None:
        """What is to be read next: the newest good copy, or the repository; None when that was done lately."""
        if self.evidence not in _READ_THROUGH:
            return None
        if self.evidence != "files":
            return ReadJob(question=query) if self._is_old(facts.check, facts.now) else None
        policy = self._policy()
        copy = next((copy for copy in facts.copies if not flaw(copy, policy)), None)
        return (
            ReadJob(question=query, copy=copy) if copy is not None and self._is_old(copy.verdict, facts.now) else None
        )

    def _is_old(self, verdict: ReadVerdict | None, now: float) -> bool:
        if verdict is None:
            return True
        every = duration_ms(self.read_every) / 1000
        return now - verdict.at > (every if verdict.state == GOOD else min(every, _RETRY_AFTER))


def with_progress(facts: BackupFacts, progress: ReadProgress) -> BackupFacts:
    """What a background read has come to, entered into the facts of a look."""
    if progress.verdict is not None and not progress.stamp:
        return msgspec.structs.replace(facts, check=progress.verdict, reading=None)
    copies = [
        msgspec.structs.replace(copy, verdict=progress.verdict or copy.verdict)
        if copy.stamp == progress.stamp
        else copy
        for copy in facts.copies
    ]
    notes = list(facts.notes)
    if progress.failed and not progress.passing:
        notes.append(sentence("it was not read through: {failed}", failed=unpack(progress.failed)))
    reading = progress.done / progress.of if progress.of and progress.verdict is None else None
    return msgspec.structs.replace(facts, copies=copies, notes=notes, reading=reading)
