"""``python -m deploy.grafana.make [--check]``: write the boards' JSON, or say which is stale."""

import argparse
import sys
from pathlib import Path
from typing import Final

from deploy.grafana import render
from deploy.grafana.boards import BOARDS

DASHBOARDS: Final = Path(__file__).parent / "dashboards"


def files() -> dict[Path, str]:
    """Every file that there ought to be, with its text."""
    return {
        DASHBOARDS / language / f"{spec.slug}.json": render.dashboard_json(spec, language, BOARDS)
        for language in render.LANGUAGES
        for spec in BOARDS
    }


def stale() -> list[Path]:
    """Files that are missing, are not as the source says, or that no board has any more."""
    wanted = files()
    there = set(DASHBOARDS.rglob("*.json"))
    wrong = [path for path, text in wanted.items() if path not in there or path.read_text("utf-8") != text]
    return sorted({*wrong, *(there - wanted.keys())})


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.grafana.make", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say what is stale")
    if parser.parse_args(argv).check:
        for path in stale():
            print(f"{path.relative_to(DASHBOARDS)} is stale: run python -m deploy.grafana.make")
        return 1 if stale() else 0
    for path in stale():
        path.unlink(missing_ok=True)
    for path, text in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
