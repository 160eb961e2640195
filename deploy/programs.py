"""A collector and agents as processes of their own, each with a state directory: started, killed, stopped, asked.

Everything goes through the commands and listeners that any user has.
"""

import asyncio
import ctypes
import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from agent.uplink import identity as identities

PR_SET_PDEATHSIG = 1
MODULES = {"agent": "agent.cli.main", "collector": "collector.commands.main"}  # by the program's name


class ProgramFailed(Exception):
    """A program of ours did not do what it was asked; the text says which and ends with what it printed."""


def free_port(preferred: int = 0, host: str = "127.0.0.1") -> int:
    """``wanted``, or the next port after it that nobody listens at (0: any)."""
    for port in range(preferred, preferred + 200) if preferred else (0,):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free to a server
            try:
                probe.bind((host, port))
            except OSError:
                continue
            bound_port: int = probe.getsockname()[1]
            return bound_port
    raise ProgramFailed(f"no free port between {preferred} and {preferred + 199}")


class Program:
    """One of our commands, running; what it prints goes to a file."""

    def __init__(self, command: str, *arguments: str, log: Path) -> None:
        self.environment: dict[str, str] = {}  # on top of ours
        self._argv = [sys.executable, "-m", MODULES[command], *arguments]
        self.log = log
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self._argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
                start_new_session=True,  # Ctrl-C is for us: we stop the agent before the collector
                preexec_fn=_die_with_parent,
            )

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.returncode is None

    async def stop(self, patience: float = 15.0) -> int:
        """A clean stop; a kill when it takes longer than ``patience`` seconds. The exit code."""
        if self.process is None:
            return 0
        if self.running:
            self.process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self.process.wait(), patience)
            except TimeoutError:
                self.process.kill()
        return await self.process.wait()

    async def kill(self) -> None:
        """From one moment to the next."""
        if self.process is not None and self.running:
            self.process.kill()
            await self.process.wait()

    def last_words(self, lines: int = 5) -> str:
        try:
            return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-lines:])
        except OSError:
            return ""


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


async def command(name: str, *arguments: str, said: str = "") -> str:
    """Run one of our commands to its end and return what it printed; it is ``said`` this. Raises ProgramFailed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        MODULES[name],
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(said.encode())
    if process.returncode:
        raise ProgramFailed(f"haidang-{name} {arguments[0]} failed:\n{(err or out).decode('utf-8', 'replace').strip()}")
    return out.decode()


class CollectorProcess:
    """A collector with its state below ``directory`` and the inventory in ``inventory``. ``more``: further YAML."""

    def __init__(self, directory: Path, inventory: Path, agents_port: int, operators_port: int, more: str = "") -> None:
        self.directory = directory
        self.agents_port = agents_port
        self.url = f"https://127.0.0.1:{agents_port}"
        self.page = f"http://127.0.0.1:{operators_port}"
        self.config = directory / "collector.yaml"
        directory.mkdir(parents=True, exist_ok=True)
        self.config.write_text(
            f"state_dir: {directory / 'state'}\n"
            f"inventory: {inventory}\n"
            f"agents:\n  listen: 127.0.0.1:{agents_port}\n  url: {self.url}\n"
            f"operators:\n  listen: 127.0.0.1:{operators_port}\n{more}"
        )
        self.program = Program("collector", "run", "--config", str(self.config), log=directory / "log")
        self._session: aiohttp.ClientSession | None = None

    async def start(self, patience: float = 30.0) -> None:
        """Until it is ready. Raises Failed with its last words."""
        await self.program.start()
        deadline = asyncio.get_running_loop().time() + patience
        while not await self._ready():
            if not self.program.running or asyncio.get_running_loop().time() > deadline:
                await self.program.kill()
                raise ProgramFailed(f"the collector did not start:\n{self.program.last_words()}")
            await asyncio.sleep(0.05)

    async def _ready(self) -> bool:
        try:
            async with self.session.get(f"{self.page}/-/ready") as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    @property
    def session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))
        return self._session

    async def ask(self, path: str, query: Mapping[str, str | int] | None = None) -> Any:
        """JSON of the operators' API. Raises Failed."""
        try:
            async with self.session.get(self.page + path, params=query) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ProgramFailed(f"the collector does not answer at {self.page}{path}: {error}") from None
        if answer.status != 200:
            raise ProgramFailed(f"{path} answered {answer.status}: {body[:300]!r}")
        return msgspec.json.decode(body)

    async def code(self, agent: str) -> str:
        """A fresh enrolment code."""
        printed = await command("collector", "code", agent, "--config", str(self.config))
        enrolment_code = next((word for word in printed.split() if word.startswith("hd1-")), "")
        if not enrolment_code:
            raise ProgramFailed(f"haidang-collector code printed no code:\n{printed}")
        return enrolment_code

    async def stop(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None
        await self.program.stop()


class AgentProcess:
    """An agent with its state below ``directory``."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.directory = directory
        self.state = directory / "state"
        self.program = Program("agent", "run", "--state-dir", str(self.state), log=directory / "log")

    async def enrol(self, collector: CollectorProcess, url: str = "") -> None:
        """With a fresh code, or, where it is enrolled already, only pointed to where the collector now listens."""
        url = url or collector.url
        self.state.mkdir(parents=True, exist_ok=True)
        try:
            identity = identities.load(self.state)
        except identities.NoIdentity:
            code = await collector.code(self.name)
            await command("agent", "enroll", url, "--state-dir", str(self.state), said=f"{code}\n")
            return
        if identity.url != url:
            identities.store(self.state, msgspec.structs.replace(identity, url=url))

    async def start(self) -> None:
        await self.program.start()
