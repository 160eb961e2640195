"""A busy province with Debian's Prometheus beside it: a month of scrapes at simulated times, then live ones."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tests.support.prometheus import HistoryFile, Prometheus, running_prometheus
from tests.support.province import HOUR, MINUTE, Province

LIVE_STEPS: Final = 10  # seconds of live scrapes before anybody asks

# ms before the end: coarse for most of the month, so that it takes seconds; the last day well enough to be drawn
COARSE: Final = (
    *(hours * HOUR for hours in range(708, 36, -48)),
    *(hours * HOUR for hours in range(36, 12, -1)),
    *(halves * 30 * MINUTE for halves in range(24, 1, -1)),
)
FINE: Final = (
    *(hours * HOUR for hours in range(708, 30, -12)),
    *(tens * 10 * MINUTE for tens in range(180, 5, -1)),
)
LAST: Final = (40 * MINUTE, 30 * MINUTE, 20 * MINUTE, 8 * MINUTE)


@asynccontextmanager
async def watched_province(
    folder: Path, moments: Sequence[int] = COARSE, *, lookback: str = "5m"
) -> AsyncIterator[tuple[Province, Prometheus]]:
    """Every scrape is a real one, of a real collector over HTTP; those of the past were taken while its clock was
    there, and came into Prometheus' database by promtool, for Prometheus itself scrapes only the present."""
    async with Province(folder) as province:
        history = HistoryFile(folder / "history.txt")

        async def keep(at: int) -> None:
            history.add(await province.scrape(), at)

        half = len(moments) // 3
        await province.pass_time(list(moments[:half]), keep)
        await province.restart()  # after a gap in which nobody listened
        await province.pass_time(list(moments[half:]), keep)
        await province.people_act()
        await province.pass_time(list(LAST), keep)
        (folder / "tsdb").mkdir()
        await history.import_into(folder / "tsdb")
        province.go_live()
        async with running_prometheus(folder, province.metrics_address, lookback=lookback) as prometheus:
            living = asyncio.create_task(_live(province))
            await asyncio.sleep(LIVE_STEPS)  # scrapes of another process
            try:
                yield province, prometheus
            finally:
                living.cancel()
                await asyncio.gather(living, return_exceptions=True)
            if not living.cancelled():
                living.result()


async def _live(province: Province) -> None:
    while True:
        await province.step()
        await asyncio.sleep(1)
