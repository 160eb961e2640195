"""What results cost on the wire, and how long a week's backlog takes to come in."""

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import msgspec

from inventory.protocol.plan import Column, Plan
from inventory.protocol.reasons import sentence, to_wire
from inventory.protocol.wire import VERSION, Batch, Echo, Position, Push, Reading, encode_push
from tests.support.paths import ROOT
from tests.support.push_source import CHECKS, INTERVAL, plan_of

PUSHES = 200
KINDS = ["icmp"] * 8 + ["tcp"] * 5 + ["http"] * 4 + ["dns"] * 2 + ["tls"]  # of an agency's twenty checks
SHAPED = "ip link set lo up mtu 1500 && tc qdisc add dev lo root tbf rate 64kbit burst 6kb latency 4s && exec "


def _columns() -> dict[str, tuple[Column, ...]]:
    kinds = json.loads((ROOT / "inventory" / "protocol" / "kinds.json").read_text(encoding="utf-8"))
    return {kind: tuple(Column(m["name"], m["per"]) for m in kinds[kind]["measures"]) for kind in set(KINDS)}


def _looks(rnd: random.Random, about: float, columns: Sequence[Column]) -> tuple[int, list[int | None]]:
    """One look as such a probe gives it: round trips that vary by a tenth, what is fixed stays fixed."""
    trips = sorted(max(0.0001, rnd.gauss(about, about / 10)) for _ in range(3))
    fixed = {"loss_ratio": 0, "http_status": 200, "redirects": 0, "answers": 2, "duplicates": 0, "ignored_replies": 0}
    seen: dict[str, float | None] = {
        "rtt_min_seconds": trips[0],
        "rtt_avg_seconds": sum(trips) / 3,
        "rtt_max_seconds": trips[2],
        "jitter_seconds": trips[2] - trips[0],
        "mos_score": 4.4 - trips[2],
        "body_bytes": 18_204,
        "certificate_expiry_timestamp_seconds": 1_830_000_000,
        "chain_expiry_timestamp_seconds": 1_900_000_000,
        "tls_version": 13,
        "ttl_seconds": 300,
        "banner_seconds": None,
    }
    values: list[int | None] = []
    for column in columns:
        value = fixed.get(column.name, seen.get(column.name, max(0.00005, rnd.gauss(about / 4, about / 40))))
        values.append(None if value is None else round(value * column.per))
    return round(sum(trips) / 3 * 1e6), values


REASON = to_wire(
    sentence("{host} port {port} did not answer within {timeout:n} s", host="10.84.17.20", port=443, timeout=5.0)
)


def steady(with_measures: bool) -> tuple[float, float]:
    """(compressed bytes a result, measures a result) of pushes of twenty looks every 30 s, 1% of them a change."""
    rnd = random.Random(5)
    columns = _columns() if with_measures else {}
    plan = _plan(columns)
    about = [rnd.uniform(0.002, 0.06) for _ in KINDS]
    spread = [rnd.randrange(INTERVAL) for _ in KINDS]
    states = [0] * CHECKS
    size = measures = 0
    for push in range(PUSHES):
        at = [offset + rnd.randrange(3) for offset in spread]
        latency, values, reasons = [], [], []
        for place, kind in enumerate(KINDS):
            if rnd.random() < 0.01:
                states[place] = 2 - states[place]
                reasons.append((place, REASON if states[place] else ""))
            delay, more = _looks(rnd, about[place], columns.get(kind, ()))
            latency.append(None if states[place] else delay)
            values += more
        base = 10**9 + push * INTERVAL
        batch = Batch(
            epoch=rnd.getrandbits(62) if push == 0 else 3 * 2**60 + 12345,
            previous=Position(3 * 2**60 + 12345, push * CHECKS),
            last=(push + 1) * CHECKS,
            plan=plan.digest,
            boot=b"\x8c\x11\x92\xe0\x55\x01\xfa\x37",
            base=base + min(at),
            checks=[0] + [1] * (CHECKS - 1),
            counts=[1] * CHECKS,
            at=[each - min(at) for each in at],
            states=bytes(states),
            latency=latency,
            values=values,
            reasons=[(place, text) for place, text in reasons if text],
        )
        sent = Reading(batch.boot, base + INTERVAL + 40, 1_795_000_000_000 + push * INTERVAL)
        echo = Echo(sent.wall_ms - INTERVAL + 12, sent.boot_ms - INTERVAL + 31)
        size += len(encode_push(Push(version=VERSION, sent=sent, echo=echo, batch=batch)))
        measures += len(values)
    return size / (PUSHES * CHECKS), measures / (PUSHES * CHECKS)


def _plan(columns: dict[str, tuple[Column, ...]]) -> Plan:
    plan = plan_of("agent-000")
    checks = tuple(msgspec.structs.replace(c, kind=k) for c, k in zip(plan.checks, KINDS, strict=True))
    return msgspec.structs.replace(plan, checks=checks, columns=columns)


def _draining(days: float, before: Sequence[str] = ()) -> dict[str, float]:
    command = [*before, sys.executable, "-m", "tests.bench.drain", str(days)]
    if before:
        command = [*before, f"{SHAPED}{sys.executable} -m tests.bench.drain {days}"]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, float] = json.loads(said.strip().splitlines()[-1])
    return found


def _row(name: str, value: float, unit: str, target: str, met: bool) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "peer": None, "ratio": None, "target": target, "met": met}


def run() -> list[dict[str, Any]]:
    plain, _ = steady(with_measures=False)
    full, measures = steady(with_measures=True)
    each = (full - plain) / measures
    week = _draining(7)
    rows = [
        _row("wire, state and latency, 20 checks", plain, "bytes/result", "<= 12", plain <= 12),
        _row(f"wire, each further measure ({measures:.1f} a result)", each, "bytes", "<= 3", each <= 3),
        _row("a backlog of 7 days, loopback", week["seconds"], "s", "< 120", week["seconds"] < 120),
    ]
    if os.geteuid() == 0 and shutil.which("tc") and shutil.which("unshare"):
        day = _draining(1, ("unshare", "-n", "sh", "-c"))
        seconds = day["seconds"] * week["bytes"] / day["bytes"]
        name = "the same at 64 kbit/s (tbf), from 1 day measured"
    else:
        seconds = (week["bytes"] + week["pushes"] * 1_200) * 8 / 64_000
        name = "the same at 64 kbit/s, computed from its bytes"
    rows.append(_row(name, seconds, "s", "< 7,200", seconds < 7_200))
    return rows
