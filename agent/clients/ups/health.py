"""How much of its runtime a UPS's battery has kept: the runtime promised now, to the best ever promised.

Runtimes can be compared only at comparable loads, with a full battery. So for each twentieth of the rated load a
running mean of what is promised is kept, and the highest that this mean has been; a new battery raises that by itself.
Where a UPS only reckons from the charge, nothing ever changes: then the age and the self-tests are what there is.
"""

import hashlib
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from agent.clients.ups.model import UpsReading
from inventory.base import files

BAND_WIDTH: Final = 0.05  # of the rated load
FULL: Final = 0.95  # charge
MEAN_SAMPLES: Final = 100  # that the mean is over; with fewer nothing is said
WRITE_INTERVAL: Final = 3600.0  # seconds between writes; a restart costs at most what came in that time

log = logging.getLogger(__name__)


class LoadBand(msgspec.Struct):
    """What was promised at one load: the mean of the last looks (seconds), its highest, how many looks."""

    mean: float = 0.0
    best: float = 0.0
    looks: int = 0

    def add(self, runtime: float) -> None:
        self.looks = min(self.looks + 1, MEAN_SAMPLES)
        self.mean += (runtime - self.mean) / self.looks
        if self.looks == MEAN_SAMPLES:
            self.best = max(self.best, self.mean)


class _Battery(msgspec.Struct):
    """One UPS's record. ``bands``: by load in twentieths of the rated load. ``written``: monotonic."""

    bands: dict[int, LoadBand]
    written: float


class BatteryHealth:
    """The batteries of all UPSs (a shared client)."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._batteries: dict[str, _Battery] = {}

    def record(self, who: str, reading: UpsReading, storage: Path | None) -> None:
        """Take in a reading, and put into it ``runtime_kept_ratio`` if that can be told."""
        flags, values = reading.flags, reading.values
        load, runtime = values.get("load_ratio"), values.get("runtime_seconds")
        steady = flags.get("mains") and not (flags.get("calibrating") or flags.get("testing") or reading.lost)
        if not steady or not load or not runtime or values.get("charge_ratio", 0.0) < FULL:
            return
        file = storage / f"{hashlib.sha256(who.encode()).hexdigest()[:16]}.json" if storage is not None else None
        battery = self._batteries.get(who)
        if battery is None:
            battery = self._batteries[who] = _Battery(_read(file), self._clock())
        band = battery.bands.setdefault(int(load / BAND_WIDTH), LoadBand())
        band.add(runtime)
        if band.best > 0:
            reading.set_value("runtime_kept_ratio", band.mean / band.best)
        if file is not None and self._clock() - battery.written >= WRITE_INTERVAL:
            battery.written = self._clock()
            _write(file, battery.bands)

    async def close(self) -> None:
        self._batteries.clear()


def _read(file: Path | None) -> dict[int, LoadBand]:
    """What was kept; nothing if there is none, or it cannot be understood."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[int, LoadBand]) if file is not None else {}
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError) as error:
        log.warning("the record of a battery in %s cannot be used, it begins anew: %s", file, error)
        return {}


def _write(file: Path, bands: dict[int, LoadBand]) -> None:
    try:
        files.make_directory(file.parent)
        files.replace(file, msgspec.json.encode(bands), mode=0o600, durable=False)
    except OSError as error:
        log.warning("cannot keep the record of a battery in %s: %s", file, error.strerror)
