"""The causes of time that is not up, by the names that goals, metrics, pages and mails use."""

from typing import Final, Literal, get_args

CauseKind = Literal["service", "lan", "wan", "power", "agent", "collector", "not known"]

SERVICE: Final = "service"  # the thing itself
LAN: Final = "lan"  # its site's own network
WAN: Final = "wan"  # the leased circuit
POWER: Final = "power"  # none at the site
AGENT: Final = "agent"  # who looks was not there
COLLECTOR: Final = "collector"  # who listens was not there
NOT_KNOWN: Final = "not known"  # the evidence does not decide
CAUSES: Final[tuple[CauseKind, ...]] = get_args(CauseKind)
