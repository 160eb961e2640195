"""The data centre's kinds, from real services through an agent and a collector to /metrics; and no secret anywhere."""

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from deploy.programs import Program
from tests.conftest import Lab
from tests.province import CANARIES, ON_BATTERY, ON_MAINS, WRONG, Province, mail, power, province

pytestmark = [pytest.mark.real, pytest.mark.root]

SITE = ("haidang_site_power_seconds_total", "")
Samples = dict[tuple[str, str], dict[frozenset[tuple[str, str]], float]]


def add_wrong(made: Province) -> None:
    """Each way of asking once more, with a wrong secret, so that what is said of it is seen too."""
    made.secret("wrong-community", community=WRONG)
    made.secret("wrong-auth", user="kin-dao", auth_password=WRONG, priv_password=WRONG)
    made.secret("wrong-mail", user="robot", password=WRONG)
    for name, kind, given, changed in (
        ("ups-2c", "ups", "wrong-community", {}),
        ("ups-3", "ups", "wrong-auth", {}),
        ("power-3", "power", "wrong-auth", {}),
        ("snmp-3", "snmp", "wrong-auth", {}),
        ("smtp", "smtp", "wrong-mail", {}),
        ("imap", "imap", "wrong-mail", {}),
    ):
        params: dict[str, Any] = {**made.checks[name]["params"], "credential": given, **changed}
        made.check(f"wrong-{name}", kind, **params)


async def series(lab: Lab) -> Samples:
    """Samples of /metrics by name and check, each by its other labels."""
    async with lab.collector.session.get(f"{lab.collector.page}/metrics") as answer:
        text = await answer.text()
    found: Samples = {}
    for family in parse(text):
        for sample in family.samples:
            rest = frozenset(item for item in sample.labels.items() if item[0] in ("source", "state"))
            found.setdefault((sample.name, sample.labels.get("check", "")), {})[rest] = sample.value
    return found


def kept(folder: Path) -> dict[Path, bytes]:
    """Everything that the two programs keep and log."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_the_series_have_their_names_and_nothing_shows_a_secret(lab: Lab) -> None:
    async with province(mail, power) as made:
        add_wrong(made)
        config = made.configure(state_dir=str(lab.agent.state), log={"level": "debug"})
        lab.agent.program = Program("agent", "run", "--config", str(config), log=lab.agent.directory / "log")
        lab.watch({name: {**check, "interval": "2s", "timeout": "2s"} for name, check in made.checks.items()})
        await lab.start()
        for name in made.checks:
            await lab.until(name, lambda seen: seen["last_result"] is not None)
        for name in ("power-2c", "power-nut", "power-3"):
            await lab.until(name, lambda seen: seen["last_result"] - seen["since"] >= 2_000)
        samples = await series(lab)
        while not samples.get(SITE, {}).get(frozenset({("source", "mains")})):  # it is counted now and then
            await asyncio.sleep(0.5)
            samples = await series(lab)
        states = {name: await lab.check(name) for name in made.checks}
        pages = [await page(lab, path) for path in ("/", "/metrics", "/api/v1/checks", "/api/v1/agents")]
        await lab.stop()
    judge(samples)
    for name, seen in states.items():
        wanted = {"smtp": "down", "imap": "down"}.get(name.removeprefix("wrong-"), "unknown")
        if name.startswith("wrong-"):
            assert seen["state"] == wanted and seen["reason"], name
        else:
            assert seen["state"] == ("degraded" if name in ("ups-3", "power-3") else "up"), (name, seen["reason"])
    for path, content in itertools.chain(kept(lab.directory).items(), enumerate(pages)):
        shown = [secret for secret in CANARIES if secret.encode() in content]
        assert not shown, f"{path} shows {shown}"


def judge(samples: Samples) -> None:
    """By name: what the other side of a dashboard relies on."""
    one = {key: value for key, values in samples.items() for value in values.values()}
    assert one["haidang_snmp_value", "snmp"] == 36
    assert one["haidang_snmp_interfaces_up", "snmp"] == 1 and one["haidang_snmp_interfaces_down", "snmp"] == 0
    assert one["haidang_snmp_uptime_seconds", "snmp-3"] == 86_400.5
    assert one["haidang_snmp_value", "snmp-3"] == 88
    for check, recording in (("ups-2c", ON_MAINS), ("ups-3", ON_BATTERY)):
        for measure, value in recording.measures.items():
            assert one[f"haidang_ups_{measure}", check] == pytest.approx(value, abs=0.01), measure
    assert one["haidang_ups_charge_ratio", "ups-nut"] == 0.97
    assert one["haidang_mail_transit_seconds", "mail"] > 0
    assert one["haidang_smtp_certificate_expiry_timestamp_seconds", "smtp"] > 1e9
    for check, on in (("power-2c", "mains"), ("power-nut", "mains"), ("power-3", "battery")):
        seconds = {dict(rest)["source"]: value for rest, value in samples["haidang_power_seconds_total", check].items()}
        assert seconds.keys() == {"mains", "battery", "none", "unknown"}
        assert {source for source, value in seconds.items() if value > 0} == {on}, check
    assert not [
        key for key in one if key[1].startswith("wrong-") and key[0].startswith(("haidang_ups_", "haidang_snmp_"))
    ]


async def page(lab: Lab, path: str) -> bytes:
    async with lab.collector.session.get(lab.collector.page + path) as answer:
        return await answer.read()
