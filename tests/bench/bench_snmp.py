"""GETs of 10 objects by SNMP 2c per CPU second, beside Prometheus's snmp_exporter: same device (snmpd), same objects.

snmpd, our looks and the exporter are three processes; each side's own CPU time is counted (user and system, the
exporter's from /proc). The exporter is asked over kept connections. Version 3 goes by pysnmp, and is measured alone.
"""

import asyncio
import http.client
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Coroutine
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from tests.bench.bench_http import _cpu_of, _free_port, _wait_for
from tests.support.paths import ROOT
from tests.support.snmp import Snmpd

GETS = {"2c": 12_000, "look": 4_000, "3": 800}
AT_ONCE = 8
EXPORTER = "prometheus-snmp-exporter"
COLUMNS = (2, 5, 7, 8, 10, 14, 16, 20)  # of ifTable, for the loopback interface
OIDS = ["1.3.6.1.2.1.1.3.0", "1.3.6.1.2.1.1.5.0", *(f"1.3.6.1.2.1.2.2.1.{column}.1" for column in COLUMNS)]
USER = "createUser bench SHA bench-password AES bench-password\nrouser bench authpriv\n"


def run() -> list[dict[str, Any]]:
    if shutil.which("snmpd") is None and shutil.which("snmpd", path="/usr/sbin") is None:
        return []
    with tempfile.TemporaryDirectory() as folder:
        server = Snmpd(Path(folder), USER).start()
        try:
            ours = _ours(server.port, "2c")
            theirs = _exporters(server.port, GETS["2c"] // 4, Path(folder)) if shutil.which(EXPORTER) else None
            looks, by_user = _ours(server.port, "look"), _ours(server.port, "3")
        finally:
            server.stop()
    ratio = ours / theirs if theirs else None
    return [
        {
            "name": f"SNMP GETs of 10 objects, 2c, {AT_ONCE} at once",
            "value": round(ours),
            "unit": "GETs/CPU s",
            "peer": f"snmp_exporter {theirs:,.0f}" if theirs else None,
            "ratio": ratio,
            "target": "at least snmp_exporter",
            "met": ratio is None or ratio >= 1,
        },
        {
            "name": f"snmp looks of one port (2 GETs, 15 objects), {AT_ONCE} at once",
            "value": round(looks),
            "unit": "looks/CPU s",
            "peer": f"snmp_exporter {theirs:,.0f} GETs of 10" if theirs else None,
            "ratio": looks / theirs if theirs else None,
            "target": "at least snmp_exporter",
            "met": theirs is None or looks >= theirs,
        },
        {
            "name": f"SNMP GETs of 10 objects, 3 (SHA-1, AES-128), {AT_ONCE} at once",
            "value": round(by_user),
            "unit": "GETs/CPU s",
            "peer": None,
            "ratio": None,
            "target": "by pysnmp; none",
            "met": True,
        },
    ]


def _ours(port: int, version: str) -> float:
    """GETs per CPU second of a process that does nothing else; the first few warm it up and do not count."""
    root = ROOT
    command = [sys.executable, __file__, str(port), version]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, check=True, timeout=100, env={**os.environ, "PYTHONPATH": str(root)}
    )
    return float(done.stdout)


def _exporters(port: int, gets: int, folder: Path) -> float:
    config, own = folder / "snmp.yml", _free_port()
    metrics = [
        {"name": f"object_{place}", "oid": oid, "type": "DisplayString" if oid.endswith((".5.0", ".2.1")) else "gauge"}
        for place, oid in enumerate(OIDS)
    ]
    module = {"get": OIDS, "metrics": metrics, "version": 2, "auth": {"community": "public"}}
    config.write_text(json.dumps({"bench": module}))  # JSON is YAML
    command = [EXPORTER, f"--config.file={config}", f"--web.listen-address=127.0.0.1:{own}", "--log.level=error"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(own)
            path = f"/snmp?module=bench&target=127.0.0.1:{port}"
            _ask(own, path, 80)
            before = _cpu_of(process.pid)
            _ask(own, path, gets)
            return gets / (_cpu_of(process.pid) - before)
        finally:
            process.kill()


def _ask(port: int, path: str, gets: int) -> None:
    """Drive the exporter from AT_ONCE threads; every answer must have all objects."""
    failed: list[object] = []

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        for _ in range(gets // AT_ONCE):
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200 or body.count(b"\nobject_") != len(OIDS):
                failed.append(body[:500])
                return
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise RuntimeError(f"the exporter answered {failed[0]!r}")


async def _get(port: int, version: str) -> float:
    from agent.clients.snmp import Community, SnmpClient, SnmpTarget, access_from_credential
    from inventory.base.types import Secret

    password = "bench-password"
    user = {"user": "bench", "auth_password": password, "priv_password": password}
    access = access_from_credential("bench", "3", user) if version == "3" else Community("2c", Secret("public"))
    target = SnmpTarget(ip_address("127.0.0.1"), port, access)
    snmp = SnmpClient()

    async def gets_of_ten(count: int) -> None:
        for _ in range(count):
            found = await (await snmp.session(target, 5.0)).get(OIDS)
            if len(found) != len(OIDS):
                raise RuntimeError(f"only {sorted(found)} came")

    some = _looker(port) if version == "look" else gets_of_ten
    await asyncio.gather(*(some(10) for _ in range(AT_ONCE)))
    gets = GETS[version] // AT_ONCE
    before = resource.getrusage(resource.RUSAGE_SELF)
    await asyncio.gather(*(some(gets) for _ in range(AT_ONCE)))
    after = resource.getrusage(resource.RUSAGE_SELF)
    await snmp.close()
    return gets * AT_ONCE / (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def _looker(port: int) -> Callable[[int], Coroutine[Any, Any, None]]:
    """Whole looks, as the scheduler makes them."""
    from agent.probe import Limits, ProbeContext
    from agent.probes import build

    probe = build("snmp", {"host": "127.0.0.1", "port": port, "interface": "lo"})
    clients: dict[type[Any], Any] = {}

    async def looks(count: int) -> None:
        for _ in range(count):
            outcome = await probe.run(ProbeContext(5.0, Limits(), clients))
            if outcome.state:
                raise RuntimeError(outcome.reason)

    return looks


if __name__ == "__main__":
    print(asyncio.run(_get(int(sys.argv[1]), sys.argv[2])))
