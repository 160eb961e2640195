"""Who this agent is and the plan that it works by: both may change while it runs."""

import ssl
from pathlib import Path
from typing import Final

from agent.probe import Hub
from agent.uplink.connection import tls_context
from agent.uplink.hub import hub_of
from agent.uplink.identity import Identity, path_in
from agent.uplink.plans import StoredPlan
from inventory.protocol.plan import CollectorAddress, Plan

DEFAULT_COLLECTOR: Final = "collector"  # the one enrolled with, where the plan names none


class RunningAgent:
    """Looked up by every part of the service; changed by who renews the certificate and by who takes up a plan."""

    def __init__(self, state_dir: Path, identity: Identity, stored: StoredPlan) -> None:
        self.state_dir = state_dir
        self.identity = identity
        self.stored = stored
        self.refused: list[tuple[str, str]] = []  # checks of the plan, by name, and why they are not looked at
        self.looks = 0  # results recorded since the start

    @property
    def plan(self) -> Plan:
        return self.stored.plan

    @property
    def collectors(self) -> tuple[CollectorAddress, ...]:
        return collectors_of(self.plan, self.identity)

    @property
    def authority(self) -> str:
        """The name of the collector whose plan this agent works by."""
        return max(self.collectors, key=lambda address: address.authority).name

    def tls_context(self) -> ssl.SSLContext:
        """Our certificate, and whom we trust: the authority enrolled with and those of the plan."""
        return tls_context([self.identity.authority, *self.plan.authorities], path_in(self.state_dir))

    def hub(self) -> Hub:
        return hub_of(self.plan, self.identity, self.state_dir)


def collectors_of(plan: Plan, identity: Identity) -> tuple[CollectorAddress, ...]:
    """The collectors to serve; a plan that names none means the one this agent was enrolled with."""
    return plan.collectors or (CollectorAddress(name=DEFAULT_COLLECTOR, url=identity.url, authority=True),)
