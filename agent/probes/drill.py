"""The kind ``drill``: how long ago a backup was last restored, and whether that worked."""

from typing import Annotated

from msgspec import Meta

from agent.backup.series import SERIES
from agent.jobs import DRILL
from agent.jobs.drills.store import DrillStore, drill_outcome
from agent.jobs.store import ClockClient
from agent.probe import Measure, Outcome, Probe, ProbeContext, schema_format, unknown
from inventory.grammars.job_names import NAME, NAME_LENGTH, why_not_a_job_name
from inventory.grammars.schedule import seconds_of, zone_of
from inventory.protocol.mail_words import MailWords
from inventory.protocol.reasons import sentence


class Drill(Probe, frozen=True, kw_only=True):
    """A restore drill: up when the last one worked and is no older than ``max_age``.

    What is run is defined in the agent's own file (``drills:``), never in a plan; or somebody restores by hand and says
    so: ``haidang-agent drill NAME ok --note WORDS``. Down: the last drill failed, or the last that worked is too old.
    Unknown: none was tried yet, and none need have been.
    """

    kind = DRILL
    title = "restore drill"
    target = ("drill",)
    series = SERIES
    looks_at = "reports"
    evidence_keys = ("drill",)
    measures = (
        Measure("restore_age_seconds", "seconds", "Since the last restore that worked"),
        Measure("restore_duration_seconds", "seconds", "How long the last restore drill took"),
        Measure("restored_files", "count", "Files that the last restore drill brought back"),
        Measure("restored_bytes", "bytes", "What the files that the last restore drill brought back have in all"),
        Measure("last_restore_timestamp_seconds", "timestamp", "When a restore last worked, by the agent's clock"),
        Measure("restores", "count", "Restore drills in all", cumulative=True),
        Measure("restore_failures", "count", "Restore drills that failed", cumulative=True),
    )
    down_mail = MailWords(
        headline="Restore drill due",
        explains=True,
        steps=(
            "A backup is only sure once something was restored from it, and that is overdue here or went wrong.",
            "Restore one recent backup to a spare place, never over the data in use, and open a few files of it.",
            "Record the drill on the agent's machine: haidang-agent drill NAME ok",
            "If the restore fails, tell the data centre today: without it the data may be lost for good.",
        ),
    )
    degraded_mail = MailWords(
        headline="Restore drill due",
        explains=True,
        steps=(
            "The last restore drill came out incomplete. Read above what was missing.",
            "Do it once more, from another copy.",
            "Record the drill on the agent's machine: haidang-agent drill NAME ok",
        ),
    )
    example = "{drill: office-db, max_age: 90d}"

    drill: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=NAME_LENGTH,
            pattern=NAME,
            description="Name of the drill, as at the agent",
            extra_json_schema=schema_format("job-name"),
        ),
    ]
    max_age: Annotated[
        str,
        Meta(
            pattern=r"^(?=.)(\d+d)?(\d+h)?(\d+m)?(\d+s)?$",
            description="How old the last good restore may be: 92d",
            extra_json_schema=schema_format("lasting"),
        ),
    ] = "92d"
    time_zone: Annotated[
        str,
        Meta(
            max_length=64,
            description="In which times are said; without one: the machine's",
            extra_json_schema=schema_format("time-zone"),
        ),
    ] = ""

    def __post_init__(self) -> None:
        if why := why_not_a_job_name(self.drill):
            raise ValueError(why)
        zone_of(self.time_zone)
        if not seconds_of(self.max_age):
            raise ValueError(sentence("max_age has to be more than 0"))

    async def run(self, context: ProbeContext) -> Outcome:
        if context.storage is None:
            return unknown(sentence("no drills are kept here, or not for this user"))
        book = DrillStore(context.storage, context.client(ClockClient, ClockClient).clock)
        try:
            record = book.record(self.drill)
        except OSError as error:
            return unknown(sentence("the records of drills cannot be read: {error}", error=error.strerror))
        if record is None:
            return unknown(sentence("this agent has not waited for the drill {drill} yet", drill=self.drill))
        return drill_outcome(record, seconds_of(self.max_age), book.now(), zone_of(self.time_zone))
