"""``scripts/boards [BOARD ...] [--to DIRECTORY]``: every board in both languages as an operator would see it.

Grafana is not needed: the boards' own JSON, the answers of a real Prometheus beside a busy province (which takes a few
minutes to live a month), drawn as pages and, where Debian's chromium is installed, as pictures.
"""

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from deploy.grafana.boards import BOARDS
from deploy.grafana.make import DASHBOARDS
from tests.boards.page import ROW, page
from tests.support.grafana import GrafanaQueries
from tests.support.paths import ROOT
from tests.support.watched_province import COARSE, FINE, watched_province

CHOSEN = {"agency": {"agency": "ke-sach"}, "goals": {"goal": "g3"}}
WIDTH = 1_600


async def draw(boards: list[str], target: Path, fine: bool, day: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="haidang-boards-") as text:
        folder = Path(text)
        moments, lookback = (FINE, "11m") if fine else (COARSE, "35m")
        async with watched_province(folder, moments, lookback=lookback) as (province, prometheus):
            end = province.clock.wall_ms() / 1000
            if fine:  # by a Prometheus of its own time: what the recording rules would have recorded
                await prometheus.backfill_rules(folder / "tsdb", end - 30 * 3_600, end - 600, step="10m", window="25m")
                await asyncio.sleep(75)  # blocks are found once a minute
            for language in ("vi", "en"):
                for spec in BOARDS:
                    if boards and spec.slug not in boards:
                        continue
                    board = json.loads((DASHBOARDS / language / f"{spec.slug}.json").read_text("utf-8"))
                    if day:
                        board["time"]["from"] = "now-24h"
                    queries = GrafanaQueries(
                        board, prometheus, chosen=CHOSEN.get(spec.slug), scrape_interval=600 if fine else 1_800
                    )
                    await queries.resolve()
                    html = page(queries, await queries.answers(), await queries.annotations())
                    file = target / f"{spec.slug}-{language}.html"
                    file.write_text(html, "utf-8")
                    print(file, flush=True)


def picture(file: Path) -> None:
    """A PNG beside the page."""
    board = json.loads((DASHBOARDS / file.stem[-2:] / f"{file.stem[:-3]}.json").read_text("utf-8"))
    height = max(one["gridPos"]["y"] + one["gridPos"]["h"] for one in board["panels"]) * ROW + 140
    subprocess.run(
        [
            "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            f"--window-size={WIDTH},{height}", f"--screenshot={file.with_suffix('.png')}", file.as_uri(),
        ],
        check=True, stderr=subprocess.DEVNULL, timeout=120,
    )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/boards", description=__doc__)
    parser.add_argument("board", nargs="*", help="only these: " + ", ".join(spec.slug for spec in BOARDS))
    parser.add_argument("--to", type=Path, default=ROOT / "var" / "boards", help="where the pages go")
    parser.add_argument("--coarse", action="store_true", help="quicker: half an hour between two scrapes")
    parser.add_argument("--own-range", action="store_true", help="each board's own range, not the last day")
    arguments = parser.parse_args()
    arguments.to.mkdir(parents=True, exist_ok=True)
    asyncio.run(draw(arguments.board, arguments.to, not arguments.coarse, not arguments.own_range))
    if shutil.which("chromium") is None:
        print("chromium is not installed: open the pages in a browser")
        return 0
    for file in sorted(arguments.to.glob("*.html")):
        picture(file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
