"""The figures that an agent reports about itself (wire.Push.health), and the families under which they are exposed.

The names on the wire are older than the families' and stay, for agents and collectors of other versions.
"""

from typing import Final, NamedTuple

from inventory.base.families import Family

LABELS: Final = ("agency", "site", "agent")


class HealthFigure(NamedTuple):
    """One figure: on the wire value * ``per``, exposed in the family's base unit."""

    family: Family
    per: int = 1


def _gauge(name: str, help_text: str) -> Family:
    return Family(f"haidang_agent_{name}", "gauge", help_text, LABELS)


def _counter(name: str, help_text: str) -> Family:
    return Family(f"haidang_agent_{name}", "counter", help_text, LABELS)


# By name on the wire.
FIGURES: Final[dict[str, HealthFigure]] = {
    "cpu_seconds": HealthFigure(_counter("cpu_seconds_total", "Processor time of the agent's process.")),
    "rss_bytes": HealthFigure(_gauge("resident_memory_bytes", "Memory of the agent's process.")),
    "uptime_seconds": HealthFigure(_gauge("uptime_seconds", "For how long the agent's process has run.")),
    "checks": HealthFigure(_gauge("checks", "Checks in the plan that the agent works by.")),
    "checks_refused": HealthFigure(_gauge("checks_refused", "Checks of the plan that the agent's own file forbids.")),
    "looks": HealthFigure(_counter("looks_total", "Looks made since the agent's process started.")),
    "certificate_expires": HealthFigure(
        _gauge("certificate_expiry_timestamp_seconds", "When the agent's client certificate expires.")
    ),
    "pings_taken": HealthFigure(_counter("pings_taken_total", "Pings of jobs taken since the agent listens.")),
    "pings_refused": HealthFigure(_counter("pings_refused_total", "Pings that were no valid request.")),
    "pings_unknown": HealthFigure(_counter("pings_unknown_total", "Pings of jobs that the plan does not have.")),
    "spool_bytes": HealthFigure(_gauge("spool_bytes", "Size of the agent's spool on its disk.")),
    "spool_segments": HealthFigure(_gauge("spool_segments", "Files of the agent's spool.")),
    "spool_frames": HealthFigure(_gauge("spool_frames", "Frames in the agent's spool, acknowledged ones too.")),
    "spool_buffered": HealthFigure(_gauge("spool_buffered", "Frames in memory, still to be written to the spool.")),
    "spool_folded": HealthFigure(
        _counter("spool_folded_total", "Frames folded into spans for want of room, since the agent started.")
    ),
    "spool_dropped": HealthFigure(
        _counter("spool_dropped_total", "Frames dropped for want of room, since the agent started.")
    ),
    "spool_damaged": HealthFigure(
        _counter("spool_damaged_total", "Frames found damaged on the disk, since the agent started.")
    ),
    "spool_oldest_unacked_ms": HealthFigure(
        _gauge("spool_oldest_unacked_seconds", "For how long the oldest frame has waited to be acknowledged."), 1000
    ),
    "spool_failing": HealthFigure(_gauge("spool_failing", "1 while the agent's spool cannot be written.")),
}
