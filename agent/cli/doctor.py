"""``haidang-agent doctor``: what is wrong on this machine, in plain words, and what to do about it."""

import contextlib
import email.utils
import os
import shutil
import socket
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.cli.credential_notes import bound_credentials, credential_files, missing_credentials
from agent.cli.diagnosis import Diagnosis, note, ok, wrong
from agent.config import Settings
from agent.jobs import JOB
from agent.runtime import status as statuses
from agent.runtime.status import Status
from agent.spool import SpoolLocked
from agent.spool.files import SpoolLock
from agent.uplink import identity as identities
from agent.uplink.connection import CollectorResponse, Unreachable, Uplink, tls_context
from agent.uplink.identity import Identity
from agent.uplink.plans import PlanStore, StoredPlan
from inventory.base import files
from inventory.base.clock import Clock, SystemClock
from inventory.protocol import kinds
from inventory.protocol.plan import Plan

if TYPE_CHECKING:
    from agent.jobs.store import JobStore

MIN_FREE: Final = 64 << 20  # bytes; below it a spool that has to grow will soon fold
CLOCK_OFF: Final = 60  # seconds
OLD_BACKLOG: Final = 600_000  # ms
RENEWAL_LATE: Final = 5 / 6  # of a certificate's life: renewal, due at 2/3, has failed for long
ENROL: Final = "haidang-agent enroll URL, which asks for the code of haidang-collector code AGENT"
SET_CLOCK: Final = (
    "Set it (NTP). Results are placed by the collector's time and stay right, but logs and judgements of "
    "certificates follow this clock."
)


async def examine(settings: Settings, clock: Clock | None = None) -> list[Diagnosis]:
    """Everything that can be told from here, whether the agent runs or not."""
    clock = clock or SystemClock()
    directory = settings.state_dir
    diagnoses = [*disk(directory), *clock_notes(clock), *credential_files(settings)]
    try:
        identity = identities.load(directory)
    except identities.NoIdentity as error:
        problem, _, advice = str(error).partition(". ")
        return [*diagnoses, wrong(problem, advice)]
    stored = PlanStore(directory, identity.agent).current()
    status = statuses.read(directory)
    running = is_running(directory)
    diagnoses += [*key_file(directory), *process(running, status, clock)]
    if stored is None or any("ping" in kinds.of(check.kind).needs for check in stored.plan.checks):
        diagnoses += icmp(stored)
    diagnoses += [*plan_notes(stored, status if running else None), *missing_credentials(stored, settings)]
    diagnoses += await bound_credentials(stored, settings)
    diagnoses += [*ping_notes(settings, stored, running, clock), *unwatched_backups(settings, stored, clock)]
    if status is not None:
        diagnoses += spool_notes(status)
    for name, url in collector_addresses(identity, stored):
        diagnoses += await check_collector(name, url, directory, identity, stored, clock)
    return diagnoses


def is_running(state_dir: Path) -> bool:
    """Whether an agent holds the spool's lock."""
    path = state_dir / "spool" / "lock"
    try:
        if not path.exists():
            return False
        SpoolLock(path).release()  # given back at once; an agent that starts just now tries again
    except SpoolLocked:
        return True
    except OSError:
        return statuses.read(state_dir) is not None  # another user's
    return False


def disk(directory: Path) -> Iterator[Diagnosis]:
    try:
        files.check_writable(directory)
    except FileNotFoundError:
        yield wrong(f"{directory} is not there", f"It is made by enrolment: {ENROL}")
        return
    except PermissionError:
        yield wrong(f"{directory} cannot be written by this user", "Run this as the agent's own user, or as root.")
        return
    except OSError as error:
        yield wrong(f"{directory} cannot be written: {error.strerror}", "Free some space, or have the disk looked at.")
        return
    free = shutil.disk_usage(directory).free
    if free < MIN_FREE:
        yield wrong(f"the disk of {directory} has only {free >> 20} MiB left", "Free some space.")
    else:
        yield ok(f"{directory} can be written, {free >> 20} MiB free")


def clock_notes(clock: Clock) -> Iterator[Diagnosis]:
    if note_text := getattr(clock, "note", ""):
        yield note(note_text)
    if clock.wall_ms() < 1_700_000_000_000:
        yield wrong("this machine's clock is years behind", SET_CLOCK)


def key_file(directory: Path) -> Iterator[Diagnosis]:
    mode = identities.path_in(directory).stat().st_mode
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        path = identities.path_in(directory)
        yield wrong(f"others on this machine can read the agent's key in {path}", f"chmod 600 {path}")


def process(running: bool, status: Status | None, clock: Clock) -> Iterator[Diagnosis]:
    if not running:
        yield wrong("the agent is not running", "Start it: systemctl start haidang-agent (or: haidang-agent run)")
    elif status is None or status.boot != clock.boot_id().hex():
        yield note("the agent runs, but has not written its status yet")
    elif (age := clock.boot_ms() - status.boot_ms) > 3 * status.push_every + 30_000:
        what = f"the agent runs but has not moved for {_span(age)}"
        yield wrong(what, "Restart it, and report its log: this is a fault in it.")
    else:
        yield ok(f"the agent {status.agent} runs since {_span(status.boot_ms - status.started)} (process {status.pid})")


def icmp(stored: StoredPlan | None) -> Iterator[Diagnosis]:
    """Can this user send pings?"""
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        with contextlib.suppress(OSError):
            socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP).close()
            yield ok("pings can be sent" + (" (raw socket)" if kind == socket.SOCK_RAW else ""))
            return
    make = note if stored is None else wrong
    yield make(
        "this user may not send pings (no datagram ICMP, no raw socket)",
        "Allow it: sysctl -w net.ipv4.ping_group_range='0 2147483647', or give the service CAP_NET_RAW "
        "(AmbientCapabilities=CAP_NET_RAW in its unit).",
    )


def plan_notes(stored: StoredPlan | None, status: Status | None) -> Iterator[Diagnosis]:
    if stored is None:
        yield wrong("there is no plan yet", "The running agent fetches it from the collector, if it reaches that.")
        return
    yield ok(f"the plan has {len(stored.plan.checks)} checks")
    for name, why in status.refused if status is not None else ():
        yield wrong(
            f"check {name} is refused: {why}",
            "Change the inventory, or this agent's own limits, or update the agent if it does not know the kind.",
        )


def ping_notes(settings: Settings, stored: StoredPlan | None, running: bool, clock: Clock) -> Iterator[Diagnosis]:
    """Whether jobs of the plan are heard, and jobs that ping although the plan does not have them."""
    from agent.jobs.store import JobStore, directory, gap_until

    store = JobStore(directory(settings.state_dir), clock)
    try:
        listening = store.listening()
    except OSError as error:
        yield wrong(f"the records of pings cannot be read: {error.strerror}", "Run this as the agent's own user.")
        return
    where = settings.pings.listen
    if running and stored is not None and any(check.kind == JOB for check in stored.plan.checks):
        if listening is None or gap_until(listening, store.now()):
            advice = "See the agent's log: another program may have that port (pings: listen: in agent.yaml)."
            yield wrong(f"pings of jobs are not heard at {where}", advice)
        else:
            yield ok(f"pings of jobs are heard at {where}")
            yield from _silent_jobs(settings, stored.plan, store)
    for job, count in (listening.unknown if listening is not None else {}).items():
        yield note(
            f"{count} pings came for a job {job!r} that the plan does not have",
            "Add a check of kind job for it to the inventory, or stop it from pinging.",
        )


def _silent_jobs(settings: Settings, plan: Plan, store: "JobStore") -> Iterator[Diagnosis]:
    """Jobs that never said anything: whoever put them into the inventory has still to tell their scripts."""
    from agent.jobs.delivery import curl_line

    for job in sorted({str(check.params.get(JOB, "")) for check in plan.checks if check.kind == JOB}):
        try:
            record = store.record(job)
        except OSError:
            continue  # told above
        if record is not None and not record.pings:
            line = curl_line(job, *settings.pings.address(settings.pings.listen))
            yield note(
                f"the job {job} has never pinged",
                f"Run it below: haidang-agent job {job} -- COMMAND; or let its script end with: {line}",
            )


def unwatched_backups(settings: Settings, stored: StoredPlan | None, clock: Clock) -> Iterator[Diagnosis]:
    """Directories that grow backups which no check looks at."""
    from agent.jobs.candidates import candidates

    now = clock.wall_ms() / 1000
    for candidate in candidates(stored.plan if stored is not None else None, settings.limits.parsed().directories, now):
        age = _span(max(0, round((now - candidate.newest) * 1000)))
        yield note(
            f"{candidate.path} has {candidate.files} files like backups, the newest {age} old, and no check looks at "
            f"it",
            f"If they matter, add a check of kind backup to the inventory (path: {candidate.path}).",
        )


def spool_notes(status: Status) -> Iterator[Diagnosis]:
    spool = status.spool
    if spool.get("failing"):
        yield wrong("results cannot be written to the disk", "Free some space, or have the disk looked at.")
    if spool.get("damaged"):
        yield wrong(
            f"{spool['damaged']:.0f} results on the disk were damaged; the collector was told",
            "Have the disk looked at, and see that this machine is not cut from power.",
        )
    if spool.get("dropped"):
        yield wrong(
            f"{spool['dropped']:.0f} results were given up for want of space; the collector was told",
            "Give the spool more room (spool: limit: in agent.yaml).",
        )
    for collector in status.collectors:
        age = spool.get("oldest_unacked_ms", 0)
        if collector.backlog and age > OLD_BACKLOG:
            yield note(f"{collector.backlog} results wait for {collector.name}, the oldest for {_span(int(age))}")


def collector_addresses(identity: Identity, stored: StoredPlan | None) -> Sequence[tuple[str, str]]:
    if stored is not None and stored.plan.collectors:
        return [(address.name, address.url) for address in stored.plan.collectors]
    return [("collector", identity.url)]


async def check_collector(
    name: str, url: str, directory: Path, identity: Identity, stored: StoredPlan | None, clock: Clock
) -> list[Diagnosis]:
    """Ask it for the plan, as the agent does."""
    authorities = [identity.authority, *(stored.plan.authorities if stored else ())]
    try:
        uplink = Uplink(url, tls_context(authorities, identities.path_in(directory)))
    except (OSError, ValueError) as error:
        return [wrong(f"the identity cannot be used: {error}", f"Enrol again: {ENROL}")]
    try:
        answer = await uplink.request("GET", "/v1/plan")
    except Unreachable as error:
        return [wrong(f"collector {name} is not reached: {error}", _ADVICE.get(error.kind, _ADVICE["cut"]))]
    finally:
        await uplink.close()
    return [assess_answer(name, answer), *check_dates(answer, identity, clock)]


def assess_answer(name: str, answer: CollectorResponse) -> Diagnosis:
    status, error_text = answer.status, answer.error_text
    if status == 200 and answer.content_type == "application/json":
        return ok(f"collector {name} is reached and gives this agent its plan")
    if status == 403 and error_text in _REFUSED:
        return wrong(f"collector {name} refuses this agent: {_REFUSED[error_text][0]}", _REFUSED[error_text][1])
    if status == 404:
        return wrong(f"collector {name} has no plan for this agent", "Name it in the inventory, or enrol as another.")
    if status in (401, 403):
        return wrong(f"collector {name} refuses this agent: {error_text}", f"Enrol again: {ENROL}")
    if status == 200 or 300 <= status < 400 or status == 511:
        return wrong(
            f"something answers in the place of collector {name} (HTTP {status})",
            "Log in to the network's portal, or have the proxy let this address through.",
        )
    return wrong(f"collector {name} cannot serve now: {error_text}", "See the collector's own log.")


def check_dates(answer: CollectorResponse, identity: Identity, clock: Clock) -> Iterator[Diagnosis]:
    """This machine's clock and certificate against the collector's time."""
    try:
        collector_time = email.utils.parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
    except (ValueError, TypeError):
        return
    offset = clock.wall_ms() / 1000 - collector_time
    if abs(offset) > CLOCK_OFF:
        direction = "ahead of" if offset > 0 else "behind"
        yield wrong(f"this machine's clock is {_span(int(abs(offset) * 1000))} {direction} the collector's", SET_CLOCK)
    else:
        yield ok("this machine's clock agrees with the collector's")
    used = (collector_time * 1000 - identity.issued) / max(1, identity.expires - identity.issued)
    left = identity.expires - int(collector_time * 1000)
    if left <= 0:
        yield wrong("this agent's certificate has expired", "Renew it: haidang-agent renew")
    elif used > RENEWAL_LATE:
        yield wrong(
            f"this agent's certificate ends in {_span(left)} and was not renewed", "Try it now: haidang-agent renew"
        )


_ADVICE: Final = {
    "dns": "Check the name, and this machine's resolvers (/etc/resolv.conf).",
    "refused": "Check that the collector runs, and the port.",
    "timeout": "Check the route and the firewalls between here and the collector.",
    "tls": "Either something else answers there (a captive portal, a proxy that opens TLS), or the collector's "
    "authority was made anew: then enrol again.",
    "cut": "Check the network between here and the collector.",
}
_REFUSED: Final = {
    "revoked": ("it was revoked", "Have it admitted again, then enrol with a new code."),
    "expired": ("its certificate has expired", "Renew it: haidang-agent renew"),
    "replaced": (
        "another machine has taken this agent's place",
        f"Stop the agent here. If this machine is to be the agent again: {ENROL}",
    ),
    "a new code is needed": ("its certificate ended too long ago to be renewed", f"Enrol again: {ENROL}"),
    "unknown": ("it does not know it", "Name the agent in the inventory, or enrol again."),
}


def _span(ms: int) -> str:
    """A duration in the largest unit that fits, for reading."""
    for unit, size in (("days", 86_400_000), ("hours", 3_600_000), ("minutes", 60_000)):
        if ms >= 2 * size:
            return f"{ms / size:.0f} {unit}"
    return f"{ms / 1000:.0f} seconds"


def report(diagnoses: Sequence[Diagnosis]) -> list[str]:
    """Lines for a terminal: what is wrong first."""
    order = {"wrong": 0, "note": 1, "ok": 2}
    lines = []
    for diagnosis in sorted(diagnoses, key=lambda diagnosis: order[diagnosis.level]):
        lines.append(f"{diagnosis.level.upper():5}  {diagnosis.what}")
        if diagnosis.advice:
            lines.append(f"       {diagnosis.advice}")
    return lines
