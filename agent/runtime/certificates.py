"""Renews the agent's certificate when that is due, in a process of its own: the library for keys is large."""

import asyncio
import logging
import os
import sys
from collections.abc import Callable
from typing import Final

from agent.runtime.state import RunningAgent
from agent.uplink import identity as identities
from agent.uplink.push import START, START_VARIABLE
from inventory.base.clock import Clock

log = logging.getLogger("agent.certificate")

EVERY: Final = 3_600_000  # ms between attempts


class CertificateRenewer:
    """``on_renewed`` is called once the new certificate is the agent's."""

    def __init__(self, state: RunningAgent, clock: Clock, on_renewed: Callable[[], None]) -> None:
        self._state = state
        self._clock = clock
        self._on_renewed = on_renewed
        self._due = asyncio.Event()
        self._tried: int | None = None  # boot-time ms

    def hurry(self) -> None:
        """It may have expired."""
        self._due.set()

    def check(self, now: int) -> None:
        """Whether it is due at this time of the collector's."""
        if now >= self._state.identity.renew_at:
            self._due.set()

    async def run(self) -> None:
        """For ever."""
        while True:
            await self._due.wait()
            self._due.clear()
            if self._take_up_new_identity():
                continue
            now = self._clock.boot_ms()
            if self._tried is not None and now - self._tried < EVERY:
                continue
            self._tried = now
            await self._renew()

    def _take_up_new_identity(self) -> bool:
        """Whether this machine was enrolled again, or renewed by hand, while the agent ran: it goes on with that."""
        try:
            stored = identities.load(self._state.state_dir)
        except identities.NoIdentity:
            return False
        if stored.agent != self._state.identity.agent or stored.certificate == self._state.identity.certificate:
            return False
        log.info("the certificate of the agent %s was changed", stored.agent)
        self._state.identity = stored
        self._on_renewed()
        return True

    async def _renew(self) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "agent.cli.main", "renew", "--state-dir", str(self._state.state_dir),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, START_VARIABLE: START},
        )  # fmt: skip
        stdout, _ = await process.communicate()
        text = stdout.decode(errors="replace").strip()
        if process.returncode != 0:
            log.warning("the certificate was not renewed: %s", text)
            return
        log.info("%s", text)
        self._state.identity = identities.load(self._state.state_dir)
        self._on_renewed()
