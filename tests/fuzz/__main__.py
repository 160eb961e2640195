"""``python -m tests.fuzz [--seconds N] [TARGET ...]``: each target in a process of its own, for its share of time."""

import argparse
import hashlib
import os
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from tests.fuzz import mutate

FOUND: Final = Path(__file__).with_name("found")
SLOWEST: Final = 5  # times what an input may take, before that is a finding: the fuzzer's own work is in it
MEMORY: Final = 1024  # MiB


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/fuzz")
    parser.add_argument("--seconds", type=float, default=60.0, help="for all targets together")
    parser.add_argument("--at-once", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--chance", action="store_true", help="without Atheris")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="names in tests/fuzz/targets.py; without any, all")
    args = parser.parse_args()
    by_atheris = find_spec("atheris") is not None and not args.chance
    targets = _instrumented() if by_atheris else _plain()
    if unknown := set(args.targets) - set(targets.TARGETS):
        parser.error(f"there is no target {', '.join(sorted(unknown))}; there are {', '.join(targets.TARGETS)}")
    fuzz = _with_atheris if by_atheris else _by_chance
    return _all(targets, fuzz, args.targets or list(targets.TARGETS), args.seconds, args.at_once)


def _plain() -> Any:
    from tests.fuzz import targets

    return targets


def _instrumented() -> Any:
    import atheris

    # only our own code is followed: what libraries do inside is theirs
    with atheris.instrument_imports(include=["agent", "alerts", "collector", "inventory"]):
        from tests.fuzz import targets
    return targets


def _all(targets: Any, fuzz: Any, names: list[str], seconds: float, at_once: int) -> int:
    share = max(1.0, seconds * at_once / len(names))
    waiting, failed = list(names), []
    running: dict[int, tuple[str, Path]] = {}
    with tempfile.TemporaryDirectory(prefix="haidang-fuzz-") as logs:
        while waiting or running:
            while waiting and len(running) < at_once:
                name = waiting.pop(0)
                log = Path(logs, name)
                running[_forked(targets, fuzz, name, share, log)] = name, log
            process, status = os.wait()
            name, log = running.pop(process)
            if status:
                failed.append(name)
                print(f"--- {name}\n{log.read_bytes()[-6000:].decode('utf-8', 'replace')}", flush=True)
    print(f"{len(names)} targets, {share:.1f} s each; findings: {', '.join(failed) or 'none'}")
    return 1 if failed else 0


def _forked(targets: Any, fuzz: Any, name: str, seconds: float, log: Path) -> int:
    """A process for one target, which has imported already; its id. What it says goes into ``log``."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        fuzz(targets, name, seconds)
        status = 0
    except BaseException as error:
        import traceback

        traceback.print_exception(error)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _run(targets: Any, name: str, data: bytes) -> None:
    try:
        started = time.process_time()
        targets.run(name, data)
        taken = time.process_time() - started
        if name in targets.GRAMMARS and taken > targets.SECONDS * SLOWEST:
            raise AssertionError(f"{taken:.1f} s of CPU")
    except BaseException:
        folder = FOUND / name
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / hashlib.sha256(data).hexdigest()[:16]
        file.write_bytes(data)
        print(f"kept in {file}", flush=True)
        raise


def _by_chance(targets: Any, name: str, seconds: float) -> None:
    until = time.monotonic() + seconds
    for data in mutate.seeds(name):
        _run(targets, name, data)
    for data in mutate.mutated(name, time.time_ns()):
        if time.monotonic() >= until:
            break
        _run(targets, name, data)


def _with_atheris(targets: Any, name: str, seconds: float) -> None:
    import atheris

    FOUND.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="haidang-fuzz-") as fresh:
        options = [
            f"-max_total_time={max(1, round(seconds))}", f"-max_len={mutate.MAX_INPUT}", f"-timeout={SLOWEST * 4}",
            f"-rss_limit_mb={MEMORY}", f"-artifact_prefix={FOUND}/{name}-",
        ]  # fmt: skip
        folders = [fresh, str(mutate.CORPUS / name)]
        atheris.Setup([sys.argv[0], *options, *folders], lambda data: _run(targets, name, data))
        atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
