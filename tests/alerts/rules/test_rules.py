"""The rules for Prometheus: each fires when it should and only then, by promtool; the sample configurations."""

import argparse
import asyncio
import json
import random
import re
import shutil
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import inventory
from alerts.rules import collector, prometheus
from alerts.rules import goals as rules_goals
from alerts.rules.burn_rates import BURN_WINDOW_PAIRS
from inventory.assembly.load import load
from inventory.base.problems import Invalid
from inventory.base.types import duration_text
from inventory.model import goals
from inventory.model.alerting import MINUTE
from inventory.model.entities import Check, Inventory
from inventory.yaml import whereabouts
from tests.support.paths import ROOT

DEPLOY = ROOT / "deploy"
SOCTRANG = Path(inventory.__file__).parent / "examples" / "soctrang"
DAY = date(2026, 11, 27)


def tool(name: str, *words: object, cwd: Path) -> str:
    """What a program says; fails the test if it finds something wrong."""
    package = {"promtool": "prometheus", "amtool": "prometheus-alertmanager"}[name]
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed (Debian's package {package})")
    done = subprocess.run([name, *map(str, words)], cwd=cwd, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


BASE = """\
province: {id: p, name: P, hub: centre}
agencies:
  centre:
    name: Centre
    site: {agent: dc}
    checks:
      web: {kind: icmp, params: {host: 192.0.2.1}, interval: 30s, tags: [service]}
      mail: {kind: icmp, params: {host: 192.0.2.2}, interval: 30s, tags: [service]}
      power: {kind: icmp, params: {host: 192.0.2.3}, interval: 60s, tags: [power]}
  gone: {name: Gone, to: 2020-01-01, site: {}}
  lost: {name: Lost, site: {agent: {id: stolen, revoked: true}}}
goals:
  services:
    name: {vi: Dịch vụ, en: Services}
    select: {tags: [service]}
    objective: 99%
    targets: {2025: 95%, 2026: 99%}
  power: {name: Power, select: {kinds: [icmp], agents: [dc]}, combine: all, objective: 99.9%}
"""


def made(directory: Path, text: str = BASE) -> Inventory:
    (directory / "all.yaml").write_text(text, "utf-8")
    return load(directory)


@pytest.fixture
def small(tmp_path: Path) -> Inventory:
    folder = tmp_path / "inventory"
    folder.mkdir()
    return made(folder)


# --- what promtool and amtool say of it -------------------------------------------------------------------------


@pytest.mark.real
@pytest.mark.parametrize("language", ["vi", "en"])
def test_promtool_takes_the_rules_of_a_whole_province(tmp_path: Path, language: str) -> None:
    text = prometheus.prometheus(load(SOCTRANG), DAY, language)
    (tmp_path / "haidang.rules.yml").write_text(text, "utf-8")
    told = tool("promtool", "check", "rules", "--lint=all", "--lint-fatal", "haidang.rules.yml", cwd=tmp_path)
    assert re.search(r"SUCCESS: \d+ rules found", told)


@pytest.mark.real
def test_promtool_takes_the_sample_configuration(tmp_path: Path) -> None:
    for name in ("prometheus.yml", "haidang.boards.rules.yml"):
        shutil.copy(DEPLOY / "prometheus" / name, tmp_path)
    (tmp_path / "haidang.rules.yml").write_text(prometheus.prometheus(load(SOCTRANG), DAY), "utf-8")
    told = tool("promtool", "check", "config", "prometheus.yml", cwd=tmp_path)
    assert "2 rule files found" in told
    found = yaml.safe_load((tmp_path / "prometheus.yml").read_text("utf-8"))
    # what the rules take for granted
    assert prometheus.JOB in [job["job_name"] for job in found["scrape_configs"]]
    assert found["global"]["scrape_interval"] == f"{rules_goals.SCRAPE_INTERVAL_S}s"


@pytest.mark.real
def test_amtool_takes_the_sample_configuration() -> None:
    assert "SUCCESS" in tool("amtool", "check-config", "alertmanager.yml", cwd=DEPLOY / "alertmanager")


@pytest.mark.real
@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (["alertname=HaidangWatchdog", "severity=info"], "dead-man"),
        (["alertname=HaidangCollectorDown", "severity=critical"], "duty"),
        (["alertname=HaidangGoalBurning", "severity=critical", "goal=g1"], "duty"),
        (["alertname=HaidangGoalBurning", "severity=warning", "goal=g1"], "desk"),
        (["alertname=HaidangAgentSilent", "severity=warning", "agent=a"], "desk"),
        (["alertname=HaidangMailNoRelay", "severity=critical"], "other-way"),
        (["alertname=HaidangMailNotGoingOut", "severity=critical"], "other-way"),
        (["alertname=HaidangMailRelayDown", "severity=warning", "relay=r"], "desk"),
        (["alertname=HaidangIncident", "severity=critical", "incident=0123456789abcdef"], "seen-only"),
    ],
)
def test_where_the_sample_routes_alerts(labels: list[str], receiver: str) -> None:
    words = ("config", "routes", "test", "--config.file=alertmanager.yml", f"--verify.receivers={receiver}", *labels)
    tool("amtool", *words, cwd=DEPLOY / "alertmanager")


def test_the_sample_inhibits_by_names_that_exist() -> None:
    """A renamed alert must not leave a rule of the sample without what it is about."""
    known = {rule.name for rule in collector.COLLECTOR_RULES} | {"HaidangGoalBurning", "HaidangIncident"}
    found = yaml.safe_load((DEPLOY / "alertmanager" / "alertmanager.yml").read_text("utf-8"))
    matchers = [one for route in found["route"]["routes"] for one in route["matchers"]]
    for rule in found["inhibit_rules"]:
        matchers += [*rule["source_matchers"], *rule["target_matchers"]]
    patterns = [one.partition('"')[2].rstrip('"') for one in matchers if one.startswith("alertname")]
    assert len(patterns) >= 14
    for pattern in patterns:
        assert any(re.fullmatch(pattern, name) for name in known), pattern
        for either in re.findall(r"\(([^)]*)\)", pattern):
            for name in either.split("|"):
                whole = re.sub(r"\([^)]*\)", name, pattern)
                assert whole in known, f"{pattern} names {whole}"


# --- each alert about the collector -----------------------------------------------------------------------------

UP = 'up{job="haidang-collector",instance="c:8440"}'
OWN = '{job="haidang-collector",instance="c:8440"}'
CHECKS = f"haidang_collector_inventory_checks{OWN}"


def agent(name: str) -> str:
    return f'haidang_agent_last_seen_timestamp_seconds{{job="haidang-collector",instance="c:8440",agent="{name}"}}'


# by alert: (series as promtool's tests write them, minute looked at, whether it fires)
Series = dict[str, str]
CASES: dict[str, list[tuple[Series, int, bool]]] = {
    "HaidangCollectorDown": [
        ({UP: "1x5 0x10"}, 10, True),
        ({UP: "1x5 0x10"}, 7, False),  # two minutes first
        ({UP: "1x5 0x2 1x10"}, 12, False),
        ({'up{job="other"}': "0x20", UP: "1x20"}, 15, False),
    ],
    "HaidangCollectorUnknown": [
        ({'up{job="other"}': "1x20"}, 10, True),
        ({UP: "0x20"}, 10, False),  # known, and down: another alert's
        ({UP: "1x20"}, 10, False),
    ],
    "HaidangScrapeFailing": [
        ({UP: "1 0 1 1 0 1 1 0 1 1 0 1 1 0 1 1 0 1 1 0 1 1 0 1 1 0 1 1 1 1 1 1"}, 30, True),
        ({UP: "1x15 0 1x20"}, 20, False),  # one failed scrape is nothing
        ({UP: "0x40"}, 30, False),  # that is down
    ],
    "HaidangScrapeEmpty": [
        ({UP: "1x30"}, 20, True),
        ({UP: "1x30", CHECKS: "0x30"}, 20, True),
        ({UP: "1x30", CHECKS: "12x30"}, 20, False),
        ({UP: "0x30"}, 20, False),
    ],
    "HaidangScrapeSlow": [
        ({UP: "1x30", f"scrape_duration_seconds{OWN}": "9x30"}, 20, True),
        ({UP: "1x30", f"scrape_duration_seconds{OWN}": "7x30"}, 20, False),
        ({UP: "1x30", f"scrape_duration_seconds{OWN}": "1x10 9x3 1x20"}, 20, False),
        ({'scrape_duration_seconds{job="other"}': "9x30"}, 20, False),
    ],
    # time in these tests begins at 0, and so do the agents' timestamps
    "HaidangAgentSilent": [
        ({agent("a"): "0+60x10 600x30"}, 25, True),
        ({agent("a"): "0+60x40"}, 25, False),
        ({agent("a"): "0+60x10 600x8 1080+60x20"}, 25, False),  # eight minutes
        ({agent("a"): "0+60x10 600x30", agent("b"): "0+60x40"}, 25, True),
        ({agent("a"): "0+60x10 600x4 _x40"}, 40, False),  # the collector is gone: not the agent's silence
        ({agent("stolen"): "0x40"}, 25, False),  # revoked
        ({agent("gone"): "0x40"}, 25, False),  # its agency ended
    ],
    "HaidangAgentsSilent": [
        ({agent(n): "0+60x10 600x30" for n in "abc"} | {agent("d"): "0+60x40"}, 25, True),
        ({agent(n): "0+60x10 600x30" for n in "ab"} | {agent(n): "0+60x40" for n in "cd"}, 25, False),  # half
        ({agent("a"): "0+60x10 600x30"}, 25, False),  # one alone is no sign of the centre's side
        ({agent(n): "0+60x40" for n in "abcd"}, 25, False),
    ],
    "HaidangStoreFailing": [
        ({f"haidang_collector_commit_consecutive_failures{OWN}": "0x5 1+1x10"}, 10, True),
        ({f"haidang_collector_commit_consecutive_failures{OWN}": "0x5 1 0x10"}, 10, False),
    ],
    "HaidangStoreSlow": [
        ({f"haidang_collector_last_commit_duration_seconds{OWN}": "1.5x30"}, 15, True),
        ({f"haidang_collector_last_commit_duration_seconds{OWN}": "0.1x8 3 0.1x20"}, 15, False),
    ],
    "HaidangClockNotTrusted": [
        ({f"haidang_collector_clock_trusted{OWN}": "1x5 0x20"}, 15, True),
        ({f"haidang_collector_clock_trusted{OWN}": "0x3 1x20"}, 15, False),  # at a start it is not yet
    ],
    "HaidangInventoryMistaken": [
        ({f"haidang_collector_inventory_mistakes{OWN}": "0x5 2x60"}, 50, True),
        ({f"haidang_collector_inventory_mistakes{OWN}": "0x5 2x10 0x60"}, 50, False),  # being edited
    ],
    "HaidangMailNotGoingOut": [
        ({f"haidang_alert_oldest_waiting_seconds{OWN}": "0+60x40"}, 20, True),
        ({f"haidang_alert_oldest_waiting_seconds{OWN}": "0+60x9 0x40"}, 20, False),
    ],
    "HaidangMailHeapingUp": [
        ({f"haidang_alert_outbox_waiting{OWN}": "0+100x40"}, 25, True),
        ({f"haidang_alert_outbox_waiting{OWN}": "0+100x8 0x40"}, 25, False),  # a wave that went out
    ],
    "HaidangMailRelayDown": [
        ({f'haidang_alert_relay_up{OWN[:-1]},relay="a"}}': "0x40"}, 15, True),
        ({f'haidang_alert_relay_up{OWN[:-1]},relay="a"}}': "1x40"}, 15, False),
    ],
    "HaidangMailNoRelay": [
        ({f'haidang_alert_relay_up{OWN[:-1]},relay="{n}"}}': "1x5 0x40" for n in "ab"}, 15, True),
        (
            {
                f'haidang_alert_relay_up{OWN[:-1]},relay="a"}}': "0x40",
                f'haidang_alert_relay_up{OWN[:-1]},relay="b"}}': "1x40",
            },
            15,
            False,
        ),
        ({UP: "1x40"}, 15, False),  # no mail is configured
    ],
    "HaidangWatchdog": [({UP: "0x10"}, 5, True), ({}, 1, True)],
}


def test_every_alert_is_tried_both_ways() -> None:
    assert set(CASES) == {rule.name for rule in collector.COLLECTOR_RULES}
    for name, cases in CASES.items():
        wanted = {True} if name == "HaidangWatchdog" else {True, False}
        assert {fires for *_, fires in cases} == wanted


def test_of(series: Series, minute: int, samples: dict[str, int]) -> dict[str, Any]:
    """One unit test of promtool: ``samples``: an expression and its one value; 0 for none."""
    return {
        "interval": "1m",
        "input_series": [{"series": one, "values": values} for one, values in series.items()] or [],
        "promql_expr_test": [
            {
                "expr": expr,
                "eval_time": f"{minute}m",
                "exp_samples": [{"labels": "{}", "value": value}] if value else [],
            }
            for expr, value in samples.items()
        ],
    }


test_of.__test__ = False  # type: ignore[attr-defined]  # it makes tests, and is none


def unit_tests(directory: Path, made: Inventory, tests: list[dict[str, Any]]) -> None:
    """Has promtool run them all, in one go."""
    (directory / "haidang.rules.yml").write_text(prometheus.prometheus(made, DAY, "en"), "utf-8")
    files = []
    for number, test in enumerate(tests):
        test = dict(test)
        every = test.pop("every", "1m")
        whole = {"rule_files": ["haidang.rules.yml"], "evaluation_interval": every, "tests": [test]}
        files.append(f"tests-{number}.yml")
        (directory / files[-1]).write_text(json.dumps(whole), "utf-8")  # JSON is YAML
    tool("promtool", "test", "rules", *files, cwd=directory)


@pytest.mark.real
@pytest.mark.parametrize("name", CASES)
def test_it_fires_when_it_should_and_not_when_it_should_not(tmp_path: Path, small: Inventory, name: str) -> None:
    expr = f'clamp_max(count(ALERTS{{alertname="{name}",alertstate="firing"}}), 1)'
    unit_tests(tmp_path, small, [test_of(series, minute, {expr: int(fires)}) for series, minute, fires in CASES[name]])


@pytest.mark.real
def test_a_test_of_a_rule_can_fail(tmp_path: Path, small: Inventory) -> None:
    expr = 'count(ALERTS{alertname="HaidangCollectorDown",alertstate="firing"})'
    with pytest.raises(AssertionError, match="FAILED"):
        unit_tests(tmp_path, small, [test_of({UP: "1x20"}, 15, {expr: 1})])


@pytest.mark.real
def test_the_texts_say_who(tmp_path: Path, small: Inventory) -> None:
    """Templates are filled in: an alert as Alertmanager gets it."""
    labels = {"severity": "warning", "job": "haidang-collector", "instance": "c:8440", "agent": "a", "agency": "x"}
    series = agent("a").replace('agent="a"', 'agent="a",agency="x"')
    test = {
        "interval": "1m",
        "input_series": [{"series": series, "values": "0x30"}],
        "alert_rule_test": [
            {
                "eval_time": "15m",
                "alertname": "HaidangAgentSilent",
                "exp_alerts": [
                    {
                        "exp_labels": labels,
                        "exp_annotations": {
                            "summary": "The agent a of x is silent",
                            "description": "Silence does not mean down: look at the line, then at the power, then at "
                            "the agent's machine.",
                        },
                    }
                ],
            }
        ],
    }
    unit_tests(tmp_path, small, [test])


# --- goals that burn --------------------------------------------------------------------------------------------

Minutes = list[tuple[int, int]]  # [from, to) stretches, minutes


class Story:
    """What became of one check, minute by minute: down stretches, and silences whose evidence comes at their ends
    (``late``) or never. The first three days are up and heard, so that every window has its past."""

    PAST = 3 * 1440 + 10

    def __init__(self, down: Minutes = (), late: Minutes = (), unseen: Minutes = (), end: int = 0) -> None:  # type: ignore[assignment]
        self.end = self.PAST + end
        self.down, self.late, self.unseen = (
            [(self.PAST + a, self.PAST + b) for a, b in one] for one in (down, late, unseen)
        )

    def is_down(self, minute: int) -> bool:
        return any(a <= minute < b for a, b in self.down)

    def series(self, check: str, degraded: bool = False) -> Series:
        """Counters as they are scraped, one sample a minute."""
        bad = "degraded" if degraded else "down"
        counts = {"up": 0, "degraded": 0, "down": 0, "unknown": 0}
        held: dict[str, int] = dict.fromkeys(counts, 0)
        lines: dict[str, list[str]] = {state: ["0"] for state in counts}
        for minute in range(self.end):
            state = bad if self.is_down(minute) else "up"
            if any(a <= minute < b for a, b in self.unseen):
                state = "unknown"
            held[state] += 60
            if not any(a <= minute < b for a, b in [*self.late, *self.unseen]):
                for one, seconds in held.items():
                    counts[one] += seconds
                held = dict.fromkeys(counts, 0)
            for one in counts:
                lines[one].append(str(counts[one]))
        name = (
            'haidang_check_seconds_total{{job="haidang-collector",instance="c:8440",agent="dc",check="{}",state="{}"}}'
        )
        return {name.format(check, state): " ".join(values) for state, values in lines.items()}

    def bad(self, window: int) -> float:
        """The truth: the share of the last ``window`` ms that it was down."""
        minutes = window // MINUTE
        return sum(self.is_down(minute) for minute in range(self.end - minutes, self.end)) / minutes


def at_end(series: Series, samples: dict[str, int]) -> dict[str, Any]:
    """A test of the series' last moment; the rules are evaluated at it and at the beginning alone, which is quick."""
    end = len(next(iter(series.values())).split()) - 1
    return {"every": f"{end}m", **test_of(series, end, samples)}


def fires(goal: str, *windows: str) -> dict[str, int]:
    """Expressions for which pairs of windows burn and which do not."""
    alert = f'ALERTS{{alertname="HaidangGoalBurning",alertstate="firing",goal="{goal}",windows="%s"}}'
    pairs = [f"{duration_text(pair.long)}+{duration_text(pair.short)}" for pair in BURN_WINDOW_PAIRS]
    assert set(windows) <= set(pairs)
    return {f"count({alert % pair})": int(pair in windows) for pair in pairs}


def both(story: Story, other: Story | None = None) -> Series:
    return story.series("web") | (other or Story(end=story.end - Story.PAST)).series("mail")


@pytest.mark.real
def test_a_goal_burns_by_the_windows_that_it_should(tmp_path: Path, small: Inventory) -> None:
    """Objective 99% over two checks: 14.4 x 1% is reached when one is down for 17.3 minutes of the hour."""
    stories = [
        (both(Story(end=120)), ()),
        (both(Story(down=[(0, 16)], end=16)), ()),
        (both(Story(down=[(0, 19)], end=19)), ("1h+5m",)),
        (both(Story(down=[(0, 19)], end=21)), ("1h+5m",)),  # the short window still has three minutes of it
        (both(Story(down=[(0, 19)], end=26)), ()),  # over
        (both(Story(down=[(0, 60)], end=60)), ("1h+5m", "6h+30m")),  # 50% of an hour, 8.3% of six
        (both(Story(down=[(0, 60)], end=66)), ("6h+30m",)),
        (both(Story(down=[(n * 60, n * 60 + 5) for n in range(72)], end=72 * 60)), ("1d+2h", "3d+6h")),  # 4.2%
        (both(Story(down=[(n * 60, n * 60 + 2) for n in range(72)], end=72 * 60)), ("3d+6h",)),  # 1.7%
        (both(Story(down=[(n * 60, n * 60 + 1) for n in range(72)], end=72 * 60)), ()),  # 0.8%
        # silence is no evidence: the silent check says nothing, and the other is up
        (both(Story(down=[(0, 60)], unseen=[(0, 60)], end=60)), ()),
        # one is silent and the other down for ten of sixty minutes: the mean of what is known is 16.7%
        (both(Story(down=[(50, 60)], end=60), Story(unseen=[(-30, 60)], end=60)), ("1h+5m",)),
        # what is not known does not thin out what is bad: eleven of the 35 minutes that are known, of one of two checks
        (both(Story(down=[(49, 60)], unseen=[(0, 25)], end=60)), ("1h+5m",)),
        # three hours of backlog at once, two of them down: long over, so none of the fast pairs; of a day it is 4.2%,
        # but of the last two hours nothing is said: what came in them does not fit into them
        (both(Story(down=[(30, 150)], late=[(0, 180)], end=184)), ("3d+6h",)),
        # the same, and it is down again: as soon as the backlog has left the short window
        (both(Story(down=[(30, 150), (180, 280)], late=[(0, 180)], end=280)), ("1h+5m", "6h+30m", "3d+6h")),
    ]
    unit_tests(tmp_path, small, [at_end(series, fires("services", *windows)) for series, windows in stories])


@pytest.mark.real
def test_the_rules_agree_with_the_truth_of_what_came_in_time(tmp_path: Path) -> None:
    """On twenty histories drawn by lot; what is within a tenth of a limit is left out."""
    folder = tmp_path / "inventory"
    folder.mkdir()
    one = made(folder, BASE.replace("tags: [service]}\n      power", "tags: [other]}\n      power"))
    dice = random.Random(20261127)
    tests, fired = [], set()
    while len(tests) < 20:
        end = dice.randrange(10, 2000)
        starts = [dice.randrange(end) for _ in range(dice.randrange(1, 8))]
        longest = dice.choice([2, 10, 60, 300])
        story = Story(down=[(a, min(end, a + dice.randrange(1, longest))) for a in starts], end=end)
        if any(
            _close(story.bad(window), pair.factor * 0.01)
            for pair in BURN_WINDOW_PAIRS
            for window in (pair.long, pair.short)
        ):
            continue
        windows = [
            f"{duration_text(pair.long)}+{duration_text(pair.short)}"
            for pair in BURN_WINDOW_PAIRS
            if min(story.bad(pair.long), story.bad(pair.short)) > pair.factor * 0.01
        ]
        fired |= set(windows)
        tests.append(at_end(story.series("web"), fires("services", *windows)))
    assert len(fired) == 4, "the lot ought to draw histories for every pair"
    unit_tests(tmp_path, one, tests)


def _close(share: float, limit: float) -> bool:
    """Whether scraping by the minute could decide it."""
    return abs(share - limit) <= 0.1 * limit


@pytest.mark.real
def test_all_is_at_least_as_bad_as_the_worst(tmp_path: Path, small: Inventory) -> None:
    """A goal over all of its checks, 99.9%: one of three down for a minute of the hour is 1.7% of it."""
    fine = {"web": Story(end=62), "mail": Story(end=62), "power": Story(end=62)}
    down = {**fine, "power": Story(down=[(60, 62)], end=62)}
    tests = [
        at_end({k: v for one, story in stories.items() for k, v in story.series(one).items()}, wanted)
        for stories, wanted in ((fine, fires("power")), (down, fires("power", "1h+5m")))
    ]
    unit_tests(tmp_path, small, tests)


@pytest.mark.real
def test_degraded_counts_where_the_goal_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "inventory"
    folder.mkdir()
    for word, windows in (("up", ()), ("down", ("1h+5m", "6h+30m"))):
        one = made(folder, BASE.replace("    objective: 99%\n", f"    objective: 99%\n    degraded: {word}\n"))
        story = Story(down=[(0, 60)], end=60)
        series = story.series("web", degraded=True) | Story(end=60).series("mail")
        unit_tests(tmp_path, one, [at_end(series, fires("services", *windows))])


# --- what is made of which goal ---------------------------------------------------------------------------------

GOAL = "goals:\n  g: {name: G, select: {tags: [service]}, objective: 99%"


@pytest.mark.parametrize(
    ("more", "left"),
    [
        (", combine: any}", "it combines its members by any, moment by moment, and the counters are sums"),
        (", combine: k-of-n, k: 1}", "it combines its members by k-of-n, moment by moment, and the counters are sums"),
        (
            ", per: agency}",
            "its members combine their checks by all, moment by moment, and the counters are sums",
        ),
        (", combine: share, member_objective: 99%}", "a share of members is no share of time that could burn"),
        (", causes: [service]}", "only some causes count, and the counters know none"),
        (", calendar: c}\ncalendars: {c: {}}", "only some hours count, and the counters count all"),
        (", targets: {2026: 100%}}", "an objective of 100% leaves no budget that could burn"),
        (", lacks: [x]}", "nothing measures it yet"),
        (
            ", targets: {2026: 80%}}",
            "the windows 1h+5m, 6h+30m: so many times the budget would be more than all of the time",
        ),
    ],
)
def test_what_is_left_to_the_collector_says_why(tmp_path: Path, more: str, left: str) -> None:
    found = made(tmp_path, BASE.partition("goals:")[0] + GOAL + more + "\n")
    text = prometheus.prometheus(found, DAY).replace("\n# ", " ")
    assert f"g: left to the collector: {left}." in text
    assert ("haidang-goal-g" in text) == left.startswith("the windows")


def test_a_goal_of_seldom_checks_has_longer_windows(tmp_path: Path) -> None:
    text = BASE.partition("goals:")[0].replace("interval: 30s", "interval: 10m") + GOAL + "}\n"
    made_ = prometheus.prometheus(made(tmp_path, text), DAY)
    assert '"1h+30m"' in made_.replace("windows: 1h+30m", '"1h+30m"') and "1h+5m" not in made_
    text = text.replace("interval: 10m", "interval: 30m")
    made_ = prometheus.prometheus(made(tmp_path, text), DAY)
    assert "# g: left to the collector: the windows 1h+5m: results come up to 30m apart, too seldom for that." in made_
    assert "windows: 6h+1h30m" in made_


def test_a_goal_over_means_of_agencies(tmp_path: Path) -> None:
    more = ", per: agency, within: mean}\n"
    text = prometheus.prometheus(made(tmp_path, BASE.partition("goals:")[0] + GOAL + more), DAY)
    assert "avg(avg by (agency) (" in text


def test_the_objective_is_the_years(small: Inventory) -> None:
    assert "> 14.4 * 0.01" in prometheus.prometheus(small, DAY)
    assert "> 14.4 * 0.05" in prometheus.prometheus(small, date(2025, 1, 1))
    assert "targets of 2025" in prometheus.prometheus(small, date(2025, 1, 1))


def test_soctrang_has_rules_for_what_prometheus_can_say() -> None:
    text = prometheus.prometheus(load(SOCTRANG), DAY)
    groups = {group["name"] for group in yaml.safe_load(text)["groups"]}
    made_of = {"g1", "g2", "g4", "g9", "g9-round-trip"}
    assert groups == {"haidang-collector", *(f"haidang-goal-{goal}" for goal in made_of)}
    for goal in ("g3", "g3-districts", "g4-throughput", "g5", "g6", "g7", "g8", "g10"):
        assert f"# {goal}: left to the collector: " in text


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_the_matchers_find_exactly_the_checks(data: st.DataObject) -> None:
    names, agents = ("web", "a.web", "b.web-2", "axweb"), ("one", "two", "three")
    everything = [
        Check(
            uid=f"{agent}/{name}",
            name=name,
            key="k",
            agent=agent,
            agency="x",
            site="x",
            kind="icmp",
            interval=1,
            timeout=1,
            hold=1,
            recheck=1,
        )
        for agent in agents
        for name in names
        if data.draw(st.booleans())
    ]
    if not everything:
        return
    wanted = data.draw(st.lists(st.sampled_from(everything), min_size=1, unique_by=lambda check: check.uid))
    whole = Inventory(checks={check.uid: check for check in everything})
    found = {
        check.uid
        for which in rules_goals.selectors(wanted, whole)
        for check in everything
        if all(_matches(one, {"agent": check.agent, "check": check.name}) for one in which.split(","))
    }
    assert found == {check.uid for check in wanted}


def _matches(matcher: str, labels: dict[str, str]) -> bool:
    """One label matcher, as Prometheus reads it: patterns are anchored."""
    parts = re.fullmatch(r'(\w+)(=~|!~|!=|=)"(.*)"', matcher)
    assert parts is not None, matcher
    value, pattern = labels[parts[1]], parts[3].replace("\\\\", "\\")
    same = re.fullmatch(pattern, value) is not None if "~" in parts[2] else value == pattern
    return same != parts[2].startswith("!")


def test_a_large_goal_is_left_to_the_collector(small: Inventory) -> None:
    goal = small.goals["services"]
    (member, *_) = goals.members(goal, small)
    many = [member] * 10_000
    found = rules_goals.rules_of(goal, many, 2026, small, "en")
    assert found.omitted == ("the windows 1d+2h, 3d+6h: 10000 checks are too many samples for one rule",)


# --- the command ------------------------------------------------------------------------------------------------


def command(*words: object) -> int:
    parser = argparse.ArgumentParser()
    prometheus.add_arguments(parser)
    return prometheus.run(parser.parse_args([str(word) for word in words]))


def test_the_command_prints_a_rule_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path)
    assert command("--inventory", tmp_path, "--on", "2025-06-01", "--job", "hd", "--language", "en") == 0
    out = capsys.readouterr().out
    assert out == prometheus.prometheus(load(tmp_path), date(2025, 6, 1), "en", "hd")
    assert 'up{job="hd"} == 0' in out and "The collector {{ $labels.instance }} does not answer" in out
    assert command("--inventory", tmp_path) == 0
    assert "Bộ thu thập {{ $labels.instance }} không trả lời" in capsys.readouterr().out


def test_the_inventory_may_be_named_by_the_collectors_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "inv").mkdir()
    made(tmp_path / "inv")
    (tmp_path / "collector.yaml").write_text("inventory: inv\n", "utf-8")
    assert command("--config", tmp_path / "collector.yaml", "--format", "prometheus") == 0
    assert "haidang-goal-services" in capsys.readouterr().out
    assert whereabouts.inventory_directory(tmp_path / "collector.yaml") == tmp_path / "inv"


def test_what_makes_no_sense_is_refused(tmp_path: Path) -> None:
    made(tmp_path)
    with pytest.raises(argparse.ArgumentError, match="is no name of a job"):
        command("--inventory", tmp_path, "--job", 'a"} or vector(1) #')
    with pytest.raises(SystemExit):
        command("--format", "nagios")
    with pytest.raises(SystemExit):
        command("--on", "tomorrow")
    (tmp_path / "all.yaml").write_text("goals: 1\n", "utf-8")
    with pytest.raises(Invalid, match="ought to be a mapping by id"):
        command("--inventory", tmp_path)


def test_a_goal_that_is_not_in_force_has_no_rules(tmp_path: Path) -> None:
    text = BASE.replace("  power: {name: Power,", "  power: {name: Power, to: 2020-01-01,")
    made_ = prometheus.prometheus(made(tmp_path, text), DAY)
    assert "# power: is not in force on 2026-11-27." in made_ and "haidang-goal-power" not in made_


async def test_the_rules_are_about_series_that_a_collector_has(lab: Any) -> None:
    """Names, and the labels by which the rules choose and join, at a running collector with an agent."""
    lab.watch({"self": {"kind": "tcp", "params": {"host": "127.0.0.1", "port": lab.collector.agents_port}}})
    await lab.start()
    await lab.until("self", lambda check: check["state"] == "up")
    exposed = ""
    async with asyncio.timeout(20):
        while "\nhaidang_check_seconds_total{" not in exposed:  # the first push carries no batch: no ledger yet
            async with lab.collector.session.get(f"{lab.collector.page}/metrics") as answer:
                exposed = await answer.text()
    names = set(re.findall(r"^(haidang_\w+)", exposed, re.M))
    text = prometheus.prometheus(load(lab.inventory), DAY) + prometheus.prometheus(load(SOCTRANG), DAY)
    used = set(re.findall(r"\b(haidang_[a-z_]+)\b", "".join(re.findall(r"expr: (?:\|-\n(?: {8}.*\n)+|.*\n)", text))))
    by_mail = {name for name in used if name.startswith("haidang_alert_")}  # there while mail is configured
    assert by_mail and len(used) > 8
    assert used - by_mail <= names, used - by_mail - names
    (counter,) = [line for line in exposed.splitlines() if 'state="down"' in line and "haidang_check_seconds" in line]
    assert {'agent="site"', 'check="self"', 'agency="agency"'} <= set(re.findall(r'\w+="[^"]*"', counter))
    (seen,) = [line for line in exposed.splitlines() if line.startswith("haidang_agent_last_seen_timestamp_seconds{")]
    assert 'agent="site"' in seen and 'agency="agency"' in seen
