"""The four programs as they are called. One whose libraries are not installed says so, instead of failing half-way."""

import importlib
import sys
from importlib.util import find_spec
from typing import Final

NEEDS: Final = {  # what an extra brings, by the names that are imported
    "agent": ("icmplib", "OpenSSL", "psutil", "pysnmp"),
    "collector": ("aiosmtplib", "apsw", "holidays", "jinja2", "prometheus_client"),
}
NOT_INSTALLED: Final = 2  # exit code


def agent() -> int:
    """``haidang-agent``."""
    return _start("haidang-agent", "agent.cli.main", "agent")


def collector() -> int:
    """``haidang-collector``."""
    return _start("haidang-collector", "collector.commands.main", "collector")


def alerts() -> int:
    """``haidang-alerts``."""
    return _start("haidang-alerts", "alerts.cli.main", "collector")


def inventory() -> int:
    """``haidang-inventory``."""
    return _start("haidang-inventory", "inventory.cli.main", "")


def _start(program: str, module: str, extra: str) -> int:
    missing = [name for name in NEEDS.get(extra, ()) if find_spec(name) is None]
    if missing:
        print(
            f"{program} is not part of this installation: {', '.join(missing)} missing. "
            f"Install haidang[{extra}], or {program}'s package.",
            file=sys.stderr,
        )
        return NOT_INSTALLED
    exit_code: int = importlib.import_module(module).main()
    return exit_code
