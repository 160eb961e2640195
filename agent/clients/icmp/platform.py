"""The way to ping that fits this platform."""

import sys

from agent.clients.icmp.pinger import IcmpPinger


def open_pinger() -> IcmpPinger:
    """The best way to ping that this platform has."""
    if sys.platform == "linux":
        return IcmpPinger()
    from agent.clients.icmp.portable import PortablePinger  # icmplib only where it is needed

    return PortablePinger()
