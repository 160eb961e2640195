"""The checks as lines of text: redrawn in place on a terminal, a line per change where there is none."""

import shutil
import time
from datetime import datetime
from typing import Any, TextIO

COLOURS = {"up": "\x1b[32m", "degraded": "\x1b[33m", "down": "\x1b[31m", "unknown": "\x1b[90m"}
PLAIN = "\x1b[0m"


class Table:
    """Shows the checks as the API gives them."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._terminal = out.isatty()
        self._lines = 0
        self._states: dict[str, str] = {}

    def show(self, checks: list[dict[str, Any]]) -> None:
        if self._terminal:
            room = shutil.get_terminal_size().columns - len(HEAD) + len("reason")
            self._redraw([HEAD, *(line(check, colour=True, room=max(room, 20)) for check in checks)])
        else:
            for check in checks:
                if self._states.get(check["uid"]) != check["state"]:
                    print(f"{datetime.now():%H:%M:%S} {line(check)}", file=self._out, flush=True)
        self._states = {check["uid"]: check["state"] for check in checks}

    def finish(self, checks: list[dict[str, Any]], goals: list[dict[str, Any]]) -> None:
        """The summary at the end."""
        print("\nSummary (last 24 hours):", HEAD, *map(line, checks), sep="\n", file=self._out)
        for goal in goals:
            print(f"Goal {goal['id']} ({goal['window']}): {goal['words']}", file=self._out)
        self._out.flush()

    def _redraw(self, lines: list[str]) -> None:
        up = f"\x1b[{self._lines}A" if self._lines else ""
        print(up + "\n".join(f"{text}\x1b[K" for text in lines), file=self._out, flush=True)
        self._lines = len(lines)


HEAD = f"{'check':24} {'state':9} {'since':9} {'latency':>10} {'available':>10} {'proven':>19}  reason"


def line(check: dict[str, Any], colour: bool = False, room: int | None = None) -> str:
    """One check in a line; the reason, which says what to do, is cut only to ``room`` characters of a terminal."""
    state = f"{check['state']:9}"
    if colour:
        state = f"{COLOURS[check['state']]}{state}{PLAIN}"
    since = "" if check["since"] is None else ago(time.time() - check["since"] / 1000)
    latency = "" if check["latency"] is None else f"{check['latency'] * 1000:.2f} ms"
    figure = check["figure"]
    best = "" if figure["best"] is None else f"{figure['best']:.2%}"
    bounds = "" if figure["lower"] is None else f"{figure['lower']:.1%} to {figure['upper']:.1%}"
    reason = check["reason"][:room]
    return f"{check['check']:24.24} {state} {since:9} {latency:>10} {best:>10} {bounds:>19}  {reason}".rstrip()


def ago(seconds: float) -> str:
    """A duration in two units: 3 h 05 min."""
    whole = max(int(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"
