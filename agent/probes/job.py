"""The kind ``job``: a job that tells this agent when it starts and ends."""

from typing import Annotated

from msgspec import Meta

from agent.backup.series import AGE, DURATION, LAST_SUCCESS, RPO_MET, SERIES
from agent.first_steps import FREE_SPACE, REPORTS
from agent.jobs import JOB
from agent.jobs.store import ClockClient, JobStore
from agent.jobs.verdict import JobRule, job_outcome
from agent.probe import Measure, Outcome, Probe, ProbeContext, schema_format, unknown
from inventory.grammars.job_names import NAME, NAME_LENGTH, why_not_a_job_name
from inventory.grammars.schedule import Schedule, ensure_possible, schedule_of, seconds_of
from inventory.protocol.mail_words import MailWords
from inventory.protocol.reasons import sentence

DURATION_FORM = r"^(?=.)(\d+d)?(\d+h)?(\d+m)?(\d+s)?$"


class Job(Probe, frozen=True, kw_only=True):
    """A job that pings its agent: up as long as its runs end well and in time, whatever becomes of the WAN.

    It pings ``http://127.0.0.1:8441/ping/JOB`` (``/start``, ``/fail``, ``/EXITCODE``) or runs below ``haidang-agent job
    JOB -- COMMAND``. Give ``cron`` or ``oncalendar`` for a job that runs by the clock, else it is due ``period`` after
    its last end. Down: it failed; its end is ``grace`` overdue; a run that started lasts longer than ``max_duration``
    (without one: than ``grace``); its last good run is older than ``rpo``. Degraded: its last run took longer than
    ``max_duration``. Unknown: it was never due yet, it is paused by hand, or this agent did not listen when the ping
    would have come.
    """

    kind = JOB
    title = "scheduled job"
    target = ("job",)
    series = SERIES
    apart = (("cron", "oncalendar"),)
    looks_at = "reports"
    evidence_keys = ("pings",)
    measures = (
        Measure("age_seconds", "seconds", AGE),
        Measure("last_success_timestamp_seconds", "timestamp", LAST_SUCCESS),
        Measure("rpo_met", "status", RPO_MET),
        Measure("duration_seconds", "seconds", DURATION),
        Measure("running_seconds", "seconds", "Since the job's run in progress started"),
        Measure("exit_code", "status", "Exit code of the job's last run, where it was told"),
        Measure("runs", "count", "Runs of the job that ended, well or not", cumulative=True),
        Measure("failures", "count", "Runs of the job that failed", cumulative=True),
        Measure("pings", "count", "Pings of the job of all sorts", cumulative=True),
    )
    down_mail = MailWords(
        headline="Scheduled job failed",
        steps=(
            "A scheduled job did not run, ended with an error or did not end. See above which.",
            "See that the machine that runs it was on at that time; a PC that is off at night runs nothing.",
            "Look at the job's own log, and run it once by hand.",
            FREE_SPACE,
            REPORTS,
        ),
    )
    degraded_mail = MailWords(
        headline="Scheduled job in doubt",
        steps=(
            "The job ended well but took longer than it should. There may be more data than it was made for.",
            FREE_SPACE,
            "See that no other job runs at the same time; if so, move one of them by an hour or two.",
        ),
    )
    example = '{job: office-db, cron: "30 23 * * 1-5", rpo: 26h}'

    job: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=NAME_LENGTH,
            pattern=NAME,
            description="Name of the job, as in its pings",
            extra_json_schema=schema_format("job-name"),
        ),
    ]
    period: Annotated[
        str,
        Meta(
            pattern=DURATION_FORM,
            description="Due so long after its last end: 1d, 26h, 30m",
            extra_json_schema=schema_format("lasting"),
        ),
    ] = "1d"
    cron: Annotated[
        str,
        Meta(
            max_length=200,
            description="Due by a cron expression instead: '30 23 * * 1-5'",
            extra_json_schema=schema_format("cron"),
        ),
    ] = ""
    oncalendar: Annotated[
        str,
        Meta(
            max_length=200,
            description="Due by a systemd calendar event instead: 'Mon..Fri 23:30'",
            extra_json_schema=schema_format("calendar-event"),
        ),
    ] = ""
    grace: Annotated[str, Meta(pattern=DURATION_FORM, description="How late its end may come")] = "1h"
    max_duration: Annotated[
        str, Meta(pattern="^$|" + DURATION_FORM, description="How long a run may take; without one: grace")
    ] = ""
    rpo: Annotated[
        str,
        Meta(
            pattern="^$|" + DURATION_FORM,
            description="Oldest that the last good run may be, such as 26h; '': any",
            extra_json_schema=schema_format("lasting"),
        ),
    ] = ""
    time_zone: Annotated[
        str,
        Meta(
            max_length=64,
            description="Of cron and oncalendar: Asia/Ho_Chi_Minh; without one: the machine's",
            extra_json_schema=schema_format("time-zone"),
        ),
    ] = ""

    def __post_init__(self) -> None:
        if why := why_not_a_job_name(self.job):
            raise ValueError(why)
        rule = self.rule()
        ensure_possible(rule.schedule)
        if rule.rpo == 0:
            raise ValueError(sentence("rpo has to be more than 0"))

    def schedule(self) -> Schedule:
        """Raises ValueError in words."""
        return schedule_of(self.period, self.cron, self.oncalendar, self.time_zone)

    def rule(self) -> JobRule:
        longest = seconds_of(self.max_duration) if self.max_duration else None
        rpo = seconds_of(self.rpo) if self.rpo else None
        return JobRule(self.schedule(), seconds_of(self.grace), longest, rpo)

    async def run(self, context: ProbeContext) -> Outcome:
        if context.storage is None:
            return unknown(sentence("no pings are kept here, or not for this user"))
        return self.evaluate(JobStore(context.storage, context.client(ClockClient, ClockClient).clock))

    def evaluate(self, book: JobStore) -> Outcome:
        """By what the book has, now."""
        try:
            record, listening = book.record(self.job), book.listening()
        except OSError as error:
            return unknown(sentence("the records of pings cannot be read: {error}", error=error.strerror))
        if record is None:
            return unknown(sentence("this agent has not waited for pings of {job} yet", job=self.job))
        return job_outcome(self.rule(), record, listening, book.now())
