"""Debian's apcupsd as a process, polling a simulated network card; it can shut nothing down.

Its scripts are looked for in a folder of the test's, where the only one does nothing, and none of its own reasons to
shut down is on.
"""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.programs import free_port
from tests.support.paths import ROOT

COMPONENTS = ROOT / ".venv" / "components"  # unpacked there by scripts/test
PROGRAM = COMPONENTS / "sbin/apcupsd"


@contextlib.contextmanager
def apcupsd(folder: Path, card: int, community: str) -> Iterator[int]:
    """The port of its information server, once it knows its UPS. ``card``: the port of PowerNet's card."""
    library = next((COMPONENTS / "lib").glob("*/libusb-0.1.so.4"), None) if COMPONENTS.exists() else None
    if not PROGRAM.exists() or library is None:
        pytest.skip("needs apcupsd (scripts/test unpacks it)")
    (folder / "scripts").mkdir(parents=True)
    script = folder / "scripts" / "apccontrol"
    script.write_text("#!/bin/sh\nexit 0\n", "utf-8")
    script.chmod(0o755)
    port = free_port()
    (folder / "conf").write_text(_configuration(folder, card, community, port), "utf-8")
    environment = {**os.environ, "LD_LIBRARY_PATH": str(library.parent)}
    command = [str(PROGRAM), "-b", "-f", str(folder / "conf"), "-P", str(folder / "pid")]
    with (folder / "said").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 20
        while "SELFTEST" not in _status(port, environment):  # it serves before it has asked for everything
            assert process.poll() is None and time.monotonic() < deadline, (folder / "said").read_text("utf-8")
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _status(port: int, environment: dict[str, str]) -> str:
    command = [str(PROGRAM.with_name("apcaccess")), "-h", f"127.0.0.1:{port}"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=10, check=False).stdout


def _configuration(folder: Path, card: int, community: str, port: int) -> str:
    return f"""## apcupsd.conf v1.1 ##
UPSNAME tram
UPSCABLE ether
UPSTYPE snmp
DEVICE 127.0.0.1:{card}:APC:{community}
POLLTIME 1
LOCKFILE {folder}
SCRIPTDIR {folder}/scripts
PWRFAILDIR {folder}
NOLOGINDIR {folder}
ONBATTERYDELAY 600
BATTERYLEVEL -1
MINUTES -1
TIMEOUT 0
ANNOY 0
NOLOGON disable
KILLDELAY 0
NETSERVER on
NISIP 127.0.0.1
NISPORT {port}
EVENTSFILE {folder}/events
EVENTSFILEMAX 10
UPSCLASS standalone
UPSMODE disable
STATTIME 0
STATFILE {folder}/status
LOGSTATS off
DATATIME 0
"""
