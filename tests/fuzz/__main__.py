"""``python -m tests.fuzz [--seconds N] [TARGET ...]``: each target in a process of its own, for its share of time."""

import argparse
import contextlib
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, Final

from tests.fuzz import mutate

FOUND: Final = Path(__file__).with_name("found")
SLOWEST: Final = 5  # times what an input may take, before that is a finding: the fuzzer's own work is in it
MEMORY: Final = 1024  # MiB


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/fuzz")
    parser.add_argument("--seconds", type=float, default=60.0, help="for all targets together")
    parser.add_argument("--at-once", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--chance", action="store_true", help="without Atheris")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)  # a process of one target
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="names in tests/fuzz/targets.py; without any, all")
    args = parser.parse_args()
    if args.one:
        by_atheris = find_spec("atheris") is not None and not args.chance
        return (_with_atheris if by_atheris else _by_chance)(args.targets[0], args.seconds)
    from tests.fuzz import targets

    if unknown := set(args.targets) - set(targets.TARGETS):
        parser.error(f"there is no target {', '.join(sorted(unknown))}; there are {', '.join(targets.TARGETS)}")
    return _all(args.targets or list(targets.TARGETS), args.seconds, args.at_once, args.chance)


def _all(names: list[str], seconds: float, at_once: int, chance: bool) -> int:
    share = max(1.0, seconds * at_once / len(names))
    options = ["--one", "--seconds", str(share), *(["--chance"] if chance else [])]
    waiting, failed = list(names), []
    running: dict[str, tuple[subprocess.Popen[bytes], IO[bytes]]] = {}
    with contextlib.ExitStack() as logs:
        while waiting or running:
            while waiting and len(running) < at_once:
                name = waiting.pop(0)
                log = logs.enter_context(tempfile.TemporaryFile())
                command = [sys.executable, "-m", "tests.fuzz", *options, name]
                running[name] = subprocess.Popen(command, stdout=log, stderr=log), log
            time.sleep(0.05)
            for name, (process, log) in tuple(running.items()):
                if process.poll() is None:
                    continue
                del running[name]
                if process.returncode:
                    failed.append(name)
                    log.seek(0)
                    print(f"--- {name}\n{log.read()[-6000:].decode('utf-8', 'replace')}", flush=True)
    print(f"{len(names)} targets, {share:.1f} s each; findings: {', '.join(failed) or 'none'}")
    return 1 if failed else 0


def _run(targets: Any, name: str, data: bytes) -> None:
    try:
        started = time.process_time()
        targets.run(name, data)
        taken = time.process_time() - started
        if name in targets.GRAMMARS and taken > targets.SECONDS * SLOWEST:
            raise AssertionError(f"{taken:.1f} s of CPU")
    except BaseException:
        file = _folder(name) / hashlib.sha256(data).hexdigest()[:16]
        file.write_bytes(data)
        print(f"kept in {file}", flush=True)
        raise


def _folder(name: str) -> Path:
    folder = FOUND / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _by_chance(name: str, seconds: float) -> int:
    from tests.fuzz import targets

    until = time.monotonic() + seconds
    for data in mutate.seeds(name):
        _run(targets, name, data)
    for data in mutate.mutated(name, time.time_ns()):
        if time.monotonic() >= until:
            break
        _run(targets, name, data)
    return 0


def _with_atheris(name: str, seconds: float) -> int:
    import atheris

    # only our own code is followed: what libraries do inside is theirs
    with atheris.instrument_imports(include=["agent", "alerts", "collector", "inventory"]):
        from tests.fuzz import targets
    with tempfile.TemporaryDirectory(prefix="haidang-fuzz-") as fresh:
        options = [
            f"-max_total_time={max(1, round(seconds))}", f"-max_len={mutate.MAX_INPUT}", f"-timeout={SLOWEST * 4}",
            f"-rss_limit_mb={MEMORY}", f"-artifact_prefix={_folder(name)}/",
        ]  # fmt: skip
        folders = [fresh, str(mutate.CORPUS / name)]
        atheris.Setup([sys.argv[0], *options, *folders], lambda data: _run(targets, name, data))
        atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
