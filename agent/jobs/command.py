"""The commands ``haidang-agent job`` and ``haidang-agent drill``, beyond running the job."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from agent.config import Settings
from agent.jobs.delivery import Denied, Undelivered, curl_line, openers_of, ping, send
from agent.jobs.drills.store import DrillResult, DrillStore
from agent.jobs.drills.store import directory as drills_directory
from agent.jobs.stamp import stamp
from agent.jobs.state import PAUSE, RESUME
from agent.jobs.store import BODIES, JobStore
from agent.jobs.store import directory as jobs_directory
from inventory.base.clock import SystemClock
from inventory.grammars.job_names import why_not_a_job_name


def job(name: str, about: str, command: Sequence[str], settings: Settings, *, keep_output: bool) -> int:
    """The exit code."""
    if bool(about) == bool(command):
        print("haidang-agent job NAME -- COMMAND..., or --pause, --resume or --show", file=sys.stderr)
        return 2
    if command:
        from agent.jobs import wrapper

        return wrapper.run(name, command, settings, keep_output=keep_output)
    if why := why_not_a_job_name(name):
        print(why, file=sys.stderr)
        return 2
    return (
        _show_job(name, settings)
        if about == "show"
        else _send_action(name, PAUSE if about == "pause" else RESUME, settings)
    )


def _send_action(name: str, action: str, settings: Settings) -> int:
    pings = settings.pings
    try:
        send(
            ping(name, action, stamp(SystemClock())),
            openers_of(*pings.address(pings.listen), settings.ping_socket),
        )
    except Undelivered as error:
        print(f"The agent does not answer ({error}): is it running, with this job in its plan?", file=sys.stderr)
        return 1
    except Denied as error:
        print(f"The agent refuses: {error}", file=sys.stderr)
        return 1
    return 0


def _show_job(name: str, settings: Settings) -> int:
    print(f"haidang-agent job {name} -- COMMAND...")
    print(curl_line(name, *settings.pings.address(settings.pings.listen)))
    store = JobStore(jobs_directory(settings.state_dir), SystemClock())
    try:
        record = store.record(name)
        bodies = (
            [(n, store.body(name, n)) for n in range(record.pings, max(0, record.pings - BODIES), -1)] if record else []
        )
    except OSError as error:
        print(f"The records of pings cannot be read: {error}", file=sys.stderr)
        return 1
    if record is None:
        print(f"Nothing was ever kept of a job {name}.")
        return 1
    for event in record.events:
        exit_code = "" if event.exit is None else f" {event.exit}"
        print(f"{_time(event.at.wall_ms)}  {event.action}{exit_code}")
    for number, body in bodies:
        if body:
            print(f"-- what it said last (ping {number}):")
            sys.stdout.flush()
            sys.stdout.buffer.write(body + b"\n")
            break
    return 0


def drill(name: str, result: str, note: str, settings: Settings, *, scheduled: bool) -> int:
    """The exit code: of a drill that ran, 0 when it worked."""
    if why := why_not_a_job_name(name):
        print(why, file=sys.stderr)
        return 2
    store = DrillStore(drills_directory(settings.state_dir), SystemClock())
    try:
        if result == "run":
            return _run_drill(name, settings, store, scheduled=scheduled)
        if result == "show":
            return _show_drill(name, store)
        if name not in settings.drills and store.record(name) is None:
            print(f"Neither the plan nor the agent's own file has a drill {name} (yet).", file=sys.stderr)
            return 1
        store.record_result(name, DrillResult(at=store.now(), ok=result == "ok", by="hand", note=note))
    except OSError as error:
        print(f"The drill cannot be recorded: {error}. Run this as the agent's own user, or as root.", file=sys.stderr)
        return 1
    return 0


def _run_drill(name: str, settings: Settings, store: DrillStore, *, scheduled: bool) -> int:
    if name not in settings.drills:
        drill_names = ", ".join(settings.drills) or "none"
        print(f"The agent's own file has no drill {name}; it has: {drill_names}", file=sys.stderr)
        return 2
    if sys.platform == "win32":
        print("Drills are not run on Windows: restore by hand, and record it.", file=sys.stderr)
        return 2
    from agent.jobs.drills.run import DrillNotStarted, DrillStopped, run

    try:
        result = run(name, settings.drills[name], store, SystemClock())
    except DrillNotStarted as error:
        print(error, file=sys.stderr)
        return 1
    except DrillStopped:
        print(f"restore drill {name} was stopped; it is due as before", file=sys.stderr)
        return 1
    print(f"restore drill {name}: {_result_text(result)}")
    if not result.ok and not scheduled and result.output:
        print(result.output)
    return 0 if result.ok else 1


def _show_drill(name: str, store: DrillStore) -> int:
    record = store.record(name)
    for result in record.results if record is not None else ():
        print(f"{_time(result.at.wall_ms)}  by {result.by}: {_result_text(result)}")
    if record is None or record.last is None:
        print(f"No drill {name} was ever done.")
        return 1
    if record.last.output:
        print(f"-- what it said last:\n{record.last.output}")
    return 0


def _result_text(result: DrillResult) -> str:
    parts = ["ok" if result.ok else "FAILED", result.note]
    if result.files is not None:
        parts.append(f"{result.files} files of {result.bytes} bytes came back")
    parts.append(f"SHA-256 {result.checksum[:16]}..." if result.checksum else "")
    return ", ".join(filter(None, parts))


def _time(wall_ms: int) -> str:
    return datetime.fromtimestamp(wall_ms / 1000, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
