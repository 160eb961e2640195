"""The causes of time that is not up, by the names that goals, metrics, pages and mails use.

``service``: the thing itself. ``lan``: its site's own network. ``wan``: the leased circuit. ``power``: none at the
site. ``agent``: who looks was not there. ``collector``: who listens was not there. ``not known``: the evidence does not
decide.
"""

from typing import Final

SERVICE: Final = "service"
LAN: Final = "lan"
WAN: Final = "wan"
POWER: Final = "power"
AGENT: Final = "agent"
COLLECTOR: Final = "collector"
NOT_KNOWN: Final = "not known"
CAUSES: Final = (SERVICE, LAN, WAN, POWER, AGENT, COLLECTOR, NOT_KNOWN)
