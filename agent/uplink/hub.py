"""The hub: the collector that is the plan's authority, and the TLS context for talking to it."""

import ssl
from pathlib import Path

from agent.probe import Hub
from agent.uplink.connection import tls_context
from agent.uplink.identity import Identity, path_in
from inventory.protocol.authority import SERVER_NAME
from inventory.protocol.plan import Plan


def hub_of(plan: Plan, identity: Identity, state_dir: Path) -> Hub:
    """The collector that is the plan's authority; where the plan names none, the one enrolled with."""
    url = next((address.url for address in plan.collectors if address.authority), identity.url)

    def context() -> ssl.SSLContext:  # anew each time: the certificate may have been renewed
        return tls_context([identity.authority, *plan.authorities], path_in(state_dir))

    return Hub(url.rstrip("/"), context, SERVER_NAME)
