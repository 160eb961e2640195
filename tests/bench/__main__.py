"""scripts/bench: run the benchmarks and print a table, or with --json one object a line.

A benchmark is ``tests/bench/bench_NAME.py`` with ``run() -> list[dict]``: name, value, unit, peer (what it is
compared with, or None), ratio (ours to the peer's), target (in words), met (bool).
"""

import argparse
import importlib
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
from typing import Any

PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"  # where Debian puts servers
HERE = pathlib.Path(__file__).parent
PEERS = {
    "fping": "fping",
    "prometheus": "prometheus",
    "prometheus-blackbox-exporter": "prometheus-blackbox-exporter",
    "prometheus-snmp-exporter": "prometheus-snmp-exporter",
    "snmpd": "snmpd",
}


def main() -> int:
    names = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measure, against peers, in one run.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of: {', '.join(names)} (default: all)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    wanted = parser.parse_args()
    for name in wanted.names:
        if name not in names:
            parser.error(f"no benchmark {name!r}; there are: {', '.join(names)}")
    _install_peers()
    if not wanted.json:
        print(f"{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} cores\n")
        print(f"{'what':58} {'measured':>14} {'unit':14} {'peer':34} {'ratio':>7}  target")
    met = True
    for name in wanted.names or names:
        for row in importlib.import_module(f"tests.bench.bench_{name}").run():
            met &= bool(row["met"])
            print(json.dumps(row, ensure_ascii=False) if wanted.json else _line(row), flush=True)
    return 0 if met else 1


def _line(row: dict[str, Any]) -> str:
    ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
    mark = "met" if row["met"] else "MISSED"
    peer = row["peer"] or ""
    return f"{row['name']:58} {row['value']:>14,.4g} {row['unit']:14} {peer!s:34} {ratio:>7}  {row['target']} ({mark})"


def _install_peers() -> None:
    missing = [package for program, package in PEERS.items() if shutil.which(program, path=PATH) is None]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"Installing {' '.join(missing)} ...", file=sys.stderr)
        quiet = {"stdout": subprocess.DEVNULL, "check": True}
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-qq"], **quiet)
        subprocess.run(
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing], env=environment, **quiet
        )
    elif missing:
        print(f"Not installed, so not compared with: {' '.join(missing)}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
