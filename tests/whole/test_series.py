"""The data centre's kinds, from real services through an agent and a collector to /metrics; and no secret anywhere."""

import asyncio
import contextlib
import itertools
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from collector.metrics.measured import family_of
from deploy.programs import Program
from inventory.protocol import kinds
from tests.conftest import Lab
from tests.support.site import CANARIES, ON_BATTERY, ON_MAINS, WRONG, LiveSite, live_site, mail, power

pytestmark = [pytest.mark.real, pytest.mark.root]

UPS = kinds.load()["ups"]
UPS_SERIES = {measure.name: family_of(UPS, measure).name for measure in UPS.measures}
SITE = ("haidang_site_power_seconds_total", "")
Samples = dict[tuple[str, str], dict[frozenset[tuple[str, str]], float]]


def add_wrong(made: LiveSite) -> None:
    """Each way of asking once more, with a wrong secret, so that what is said of it is seen too."""
    made.add_credential("wrong-community", community=WRONG)
    made.add_credential("wrong-auth", user="kin-dao", auth_password=WRONG, priv_password=WRONG)
    made.add_credential("wrong-mail", user="robot", password=WRONG)
    for name, given in (
        ("ups-2c", "wrong-community"),
        ("ups-3", "wrong-auth"),
        ("power-3", "wrong-auth"),
        ("snmp-3", "wrong-auth"),
        ("smtp", "wrong-mail"),
        ("imap", "wrong-mail"),
    ):
        right = made.checks[name]
        made.add_check(f"wrong-{name}", right["kind"], **{**right["params"], "credential": given})


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
    async with live_site(mail, power) as made:
        add_wrong(made)
        config = made.configure(state_dir=str(lab.agent.state), log={"level": "debug"})
        lab.agent.program = Program("agent", "run", "--config", str(config), log=lab.agent.directory / "log")
        lab.watch({name: {**check, "interval": "2s", "timeout": "2s"} for name, check in made.checks.items()})
        await lab.start()
        for name, state in expected(made).items():
            seen = await lab.until(
                name, lambda seen, state=state: seen["state"] == state and seen["last_result"] is not None
            )
            assert seen["reason"] or state == "up", name
        await judged(lab)
        pages = [await page(lab, path) for path in ("/", "/metrics", "/api/v1/checks", "/api/v1/agents")]
        await lab.stop()
    for path, content in itertools.chain(kept(lab.directory).items(), enumerate(pages)):
        shown = [secret for secret in CANARIES if secret.encode() in content]
        assert not shown, f"{path} shows {shown}"


def expected(made: LiveSite) -> dict[str, str]:
    """Each check's state. A refused login is down; what cannot be asked says nothing of the power, or the device."""
    right = dict.fromkeys(made.checks, "up") | {"ups-3": "degraded", "power-3": "degraded"}
    wrong = {name: "unknown" for name in made.checks if name.startswith("wrong-")}
    return right | wrong | {"wrong-smtp": "down", "wrong-imap": "down"}


async def judged(lab: Lab) -> None:
    """Until the series are right: power is counted as it settles, a site's now and then."""
    for _ in range(60):
        with contextlib.suppress(AssertionError, KeyError):
            return judge(await series(lab))
        await asyncio.sleep(0.5)
    judge(await series(lab))


def judge(samples: Samples) -> None:
    """By name: what the other side of a dashboard relies on."""
    one = {key: value for key, values in samples.items() for value in values.values()}
    assert one["haidang_snmp_value", "snmp"] == 36
    assert one["haidang_snmp_interfaces_up", "snmp"] == 1 and one["haidang_snmp_interfaces_down", "snmp"] == 0
    assert one["haidang_snmp_uptime_seconds", "snmp-3"] == 86_400.5
    assert one["haidang_snmp_value", "snmp-3"] == 88
    for check, recording in (("ups-2c", ON_MAINS), ("ups-3", ON_BATTERY)):
        for measure, value in recording.measures.items():
            assert one[UPS_SERIES[measure], check] == pytest.approx(value, abs=0.01), measure
    assert one["haidang_ups_charge_ratio", "ups-nut"] == 0.97
    assert one["haidang_mail_transit_seconds", "mail"] > 0
    assert one["haidang_smtp_certificate_expiry_timestamp_seconds", "smtp"] > 1e9
    for check, on in (("power-2c", "mains"), ("power-nut", "mains"), ("power-3", "battery")):
        seconds = {dict(rest)["source"]: value for rest, value in samples["haidang_power_seconds_total", check].items()}
        assert seconds.keys() == {"mains", "battery", "none", "unknown"}
        assert {source for source, value in seconds.items() if value > 0} - {"unknown"} == {on}, check
    whole = {dict(rest)["source"]: value for rest, value in samples[SITE].items()}
    assert whole["mains"] > 0 and whole["battery"] == whole["none"] == 0, "one of its UPSs is on mains"
    measured = ("haidang_ups_", "haidang_snmp_")
    assert not [name for name, check in one if check.startswith("wrong-") and name.startswith(measured)]


async def page(lab: Lab, path: str) -> bytes:
    async with lab.collector.session.get(lab.collector.page + path) as answer:
        return await answer.read()
