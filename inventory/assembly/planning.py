"""Make an agent's plan from the inventory."""

from datetime import date, datetime

from inventory.model.entities import Check, Inventory
from inventory.protocol import kinds as kinds_module
from inventory.protocol.kinds import Kinds
from inventory.protocol.plan import Plan, PlannedCheck


class NoSuchAgent(KeyError):
    """The inventory has no agent of this id."""


def plan_of(inventory: Inventory, agent_id: str, on: date | None = None, kinds: Kinds | None = None) -> Plan:
    """What the agent is to do on a day (today in the province's time zone). Raises NoSuchAgent.

    Checks whose life has ended, or has not begun, are left out. A plan is the same whatever the files' order.
    """
    agent = inventory.agents.get(agent_id)
    if agent is None:
        raise NoSuchAgent(agent_id)
    kinds = kinds_module.load() if kinds is None else kinds
    day = today(inventory) if on is None else on
    checks = [check for check in inventory.checks.values() if check.agent == agent_id and check.on(day)]
    return _plan(inventory, agent_id, checks, kinds)


def plans_of(inventory: Inventory, on: date | None = None, kinds: Kinds | None = None) -> dict[str, Plan]:
    """The plans of all agents, by agent id, in one pass over the checks."""
    kinds = kinds_module.load() if kinds is None else kinds
    day = today(inventory) if on is None else on
    checks: dict[str, list[Check]] = {agent: [] for agent in inventory.agents}
    for check in inventory.checks.values():
        if check.on(day):
            checks[check.agent].append(check)
    return {agent: _plan(inventory, agent, agent_checks, kinds) for agent, agent_checks in checks.items()}


def today(inventory: Inventory) -> date:
    """The day it is in the province."""
    return datetime.now(inventory.province.zone).date()


def _plan(inventory: Inventory, agent_id: str, checks: list[Check], kinds: Kinds) -> Plan:
    agent = inventory.agents[agent_id]
    checks.sort(key=lambda check: check.name)
    return Plan(
        agent=agent_id,
        agency=agent.agency,
        site=agent.site,
        checks=tuple(map(planned_check, checks)),
        columns={name: kinds[name].columns for name in sorted({check.kind for check in checks})},
        push_every=inventory.province.push_every,
        collectors=inventory.province.collectors,
        authorities=inventory.province.authorities,
    )


def planned_check(check: Check) -> PlannedCheck:
    """A check as its agent is told to make it."""
    return PlannedCheck(
        uid=check.uid,
        name=check.name,
        kind=check.kind,
        interval=check.interval,
        timeout=check.timeout,
        hold=check.hold,
        recheck=check.recheck,
        params=dict(check.params),
        thresholds=check.thresholds,
    )
