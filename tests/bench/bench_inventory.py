"""How long 10,000 agencies with 20 checks each take to load and check, and how much memory.

Twice: written as a province would (a template gives the checks, a few lines an agency), and with every check
written out. Each in a process of its own, so that the memory is that of one load.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.support.paths import ROOT

AGENCIES, CHECKS, FILES = 10_000, 20, 50

_CHILD = """
import json, resource, sys, time
began = time.perf_counter()
from inventory.assembly.load import load
found = load(sys.argv[1])
took = time.perf_counter() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([len(found.agencies), len(found.checks), took, peak / 1024]))
"""


def run() -> list[dict[str, Any]]:
    rows = []
    for how, written_out in (("from a template", False), ("written out", True)):
        with tempfile.TemporaryDirectory() as directory:
            generate(Path(directory), AGENCIES, CHECKS, FILES, written_out=written_out)
            command = [sys.executable, "-c", _CHILD, directory]
            answer = subprocess.run(command, capture_output=True, check=True, text=True, cwd=ROOT)
        agencies, checks, seconds, mebibytes = json.loads(answer.stdout)
        assert agencies == AGENCIES + 1 and checks == AGENCIES * CHECKS, (agencies, checks)
        name = f"inventory: 10,000 agencies x 20 checks, {how}"
        rows.append(_row(name, seconds, "s", "under 10 s", seconds < 10))
        rows.append(_row(f"{name}, memory", mebibytes, "MiB", "under 1 GiB", mebibytes < 1024))
    return rows


def _row(name: str, value: float, unit: str, target: str, met: bool) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "peer": None, "ratio": None, "target": target, "met": met}


def generate(directory: Path, agencies: int, checks: int, files: int, *, written_out: bool) -> None:
    """An inventory of ``agencies`` with ``checks`` each, and a hub, in ``files`` files."""
    lines = ["province: {id: large, name: Large, hub: centre}", "providers: {net: {name: Net}}"]
    if not written_out:
        lines += ["templates:", "  office:", "    checks:"]
        lines += [f"      {_check(n, '{gateway}', '{site}')}" for n in range(checks)]
    lines += ["agencies:", "  centre: {name: Centre, kind: data-centre, site: {wan: 192.0.2.1}}"]
    (directory / "base.yaml").write_text("\n".join(lines) + "\n", "utf-8")
    for file in range(files):
        lines = ["agencies:"]
        for number in range(file, agencies, files):
            address = f"2001:db8:{number:x}::1"
            lines += [
                f"  office-{number}:",
                f"    name: {{vi: Cơ quan số {number}, en: Office {number}}}",
                "    kind: office",
                "    register: {staff: 40, pcs: 35, on_lan: 30}",
                "    site:",
                f'      gateway: "{address}"',
                "      link: {provider: net, objective: 99%}",
            ]
            if written_out:
                lines.append("    checks:")
                lines += [f"      {_check(n, address, f'office-{number}')}" for n in range(checks)]
            else:
                lines.append("    template: office")
        (directory / f"agencies-{file:03}.yaml").write_text("\n".join(lines) + "\n", "utf-8")


def _check(number: int, address: str, site: str) -> str:
    """Kinds in turn, as an office might have them."""
    kind, params = [
        ("icmp", f'host: "{address}", count: 5'),
        ("tcp", f'host: "{address}", port: {8000 + number}'),
        ("http", f'url: "http://[{address}]/{site}/{number}"'),
        ("dns", f'server: "{address}", name: n{number}.example.org, type: A'),
    ][number % 4]
    return f"check-{number}: {{kind: {kind}, params: {{{params}}}, interval: 30s, tags: [lan]}}"
