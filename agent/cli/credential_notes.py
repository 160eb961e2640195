"""What ``haidang-agent doctor`` says of credentials: which are missing, which files show them, which lines to add."""

import asyncio
import ipaddress
import socket
from collections.abc import Iterator, Sequence
from typing import Final

from agent import probes
from agent.cli.diagnosis import Diagnosis, note, wrong
from agent.config import DEFAULT_FILE, Settings
from agent.credentials import HOSTS, exposed_files
from agent.probe import Address, CredentialUse, Destination
from agent.uplink.plans import StoredPlan
from inventory.protocol.plan import PlannedCheck

RESOLVE_SECONDS: Final = 5.0  # for all names together


def credential_files(settings: Settings) -> Iterator[Diagnosis]:
    for path, what in exposed_files(settings.credentials, settings.at.file):
        advice = f"chmod o-rwx {path}" if "everybody" in what else "Checks that need it stay unknown until it can."
        yield wrong(f"{path}, which holds credentials, {what}", advice)


def missing_credentials(stored: StoredPlan | None, settings: Settings) -> Iterator[Diagnosis]:
    named = {check.params.get("credential") or "" for check in stored.plan.checks} if stored is not None else set()
    for name in sorted(named - {""} - set(settings.credentials)):
        file = settings.at.file or DEFAULT_FILE
        yield wrong(
            f"checks of the plan need the credential {name!r}, which this agent does not have",
            f"Write it into {file} (credentials:), then restart the agent.",
        )


async def bound_credentials(stored: StoredPlan | None, settings: Settings) -> list[Diagnosis]:
    """For each credential of the plan: what it is refused, with the lines to add; and what to write to bind it."""
    uses = sorted(set(_uses(stored)), key=lambda use: (use.name, use.host, use.proved, use.exposed))
    known = settings.make_credentials()
    addresses = await _resolve({use.host for use in uses if use.host})
    diagnoses: list[Diagnosis] = []
    refused: set[str] = set()
    unbound: dict[str, set[str]] = {}
    for use in uses:
        if use.name not in known:
            continue
        destinations = [
            Destination(use.host, address, use.proved, use.exposed) for address in addresses.get(use.host, (None,))
        ]
        why = min((known.why_not(use.name, to) for to in destinations), key=len)  # "" where one of them may have it
        if why:
            advice = "Then restart the agent. If nobody asked for this, ask who wrote the inventory."
            diagnoses.append(wrong(why, advice))
            refused.add(use.name)
        elif HOSTS not in settings.credentials[use.name]:
            unbound.setdefault(use.name, set()).add(use.host or "localhost")
    for name, hosts in unbound.items():
        if name not in refused:
            diagnoses.append(
                note(
                    f"the credential {name!r} says no hosts, so a plan may send it to any machine of this site",
                    f"Add to it in {settings.at.file or DEFAULT_FILE}: hosts: [{', '.join(sorted(hosts))}]",
                )
            )
    return diagnoses


def _uses(stored: StoredPlan | None) -> Iterator[CredentialUse]:
    for check in stored.plan.checks if stored is not None else ():
        yield from _uses_of(check)


def _uses_of(check: PlannedCheck) -> Sequence[CredentialUse]:
    try:
        return probes.build(check.kind, check.params).credential_uses()
    except Exception:  # whatever a kind makes of parameters from elsewhere: told among what the agent refuses
        return ()


async def _resolve(hosts: set[str]) -> dict[str, Sequence[Address | None]]:
    """The addresses of each name that has any, as far as they are had in time."""
    loop = asyncio.get_running_loop()
    found: dict[str, Sequence[Address | None]] = {}

    async def one(host: str) -> None:
        try:
            answers = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            found[host] = [ipaddress.ip_address(str(answer[4][0]).partition("%")[0]) for answer in answers]
        except (OSError, UnicodeError, ValueError):
            pass  # the check itself says that the name is not found

    tasks = [asyncio.create_task(one(host)) for host in hosts]
    if tasks:
        await asyncio.wait(tasks, timeout=RESOLVE_SECONDS)
    for task in tasks:
        task.cancel()
    return found
