"""Figures as Grafana writes them, for the units that the boards use."""

import math


def formatted(value: float, unit: str, decimals: int | None) -> str:
    if math.isinf(value):
        return "∞"
    if math.isnan(value):
        return "–"
    if unit == "percentunit":
        return f"{value * 100:.{1 if decimals is None else decimals}f}%"
    if unit == "dtdurations" or (unit == "s" and abs(value) >= 60):
        return _length(value)
    if unit == "s":
        return f"{value * 1000:.{0 if decimals is None else decimals}f} ms" if abs(value) < 1 else f"{value:.1f} s"
    if unit == "d":
        return f"{value:.{0 if decimals is None else decimals}f} d"
    if unit in ("bytes", "bps"):
        sign, size, base = ("-" if value < 0 else ""), abs(value), 1024 if unit == "bytes" else 1000
        names = ("B", "KiB", "MiB", "GiB", "TiB") if unit == "bytes" else ("b/s", "kb/s", "Mb/s", "Gb/s")
        for name in names:
            if size < base or name == names[-1]:
                return f"{sign}{size:.{1 if size < 100 and name != names[0] else 0}f} {name}"
            size /= base
    suffix = {"celsius": " °C", "reqps": " req/s", "cps": " c/s"}.get(unit, "")
    whole = value == int(value) and decimals is None
    return (f"{int(value)}" if whole else f"{value:.{2 if decimals is None else decimals}f}") + suffix


def _length(seconds: float) -> str:
    days, rest = divmod(int(seconds), 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, left = divmod(rest, 60)
    parts = [(days, "d"), (hours, "h"), (minutes, "m"), (left, "s")]
    kept = [f"{number}{name}" for number, name in parts if number][:2]
    return " ".join(kept) or "0s"
