"""The starter inventory of ``scripts/run``: one site, one agent, a check for each thing found around the machine."""

from pathlib import Path
from typing import Any

import yaml

from deploy.local.surroundings import StarterCheck

AGENT = "this-machine"

HEAD = """\
# Made by scripts/run from what it found around this machine. It is yours now: change it and the collector reads it
# again by itself. Checks keep their history as long as their target stays the same.
"""


def write(path: Path, starter_checks: list[StarterCheck]) -> None:
    """One YAML file with an agency, its site, its agent and the checks; and a goal over all of them."""
    checks = {each.id: {"name": {"vi": each.vi, "en": each.en}, "kind": each.kind, "params": each.params,
                        "interval": "10s", "timeout": "5s", "recheck": "2s"} for each in starter_checks}  # fmt: skip
    inventory: dict[str, Any] = {
        "province": {"id": "local", "name": {"vi": "Máy này", "en": "This machine"}, "push_every": "5s"},
        "agencies": {
            "this-agency": {
                "name": {"vi": "Cơ quan này", "en": "This agency"},
                "site": {"agent": AGENT, "checks": checks},
            }
        },
        "goals": {
            "all-day": {
                "name": {"vi": "Đáp ứng 24/24 giờ", "en": "Answers around the clock"},
                "combine": "mean",
                "objective": "99%",
                "windows": ["day", "rolling-30d"],
            }
        },
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(inventory, allow_unicode=True, sort_keys=False, width=110)
    path.write_text(HEAD + text, "utf-8")
