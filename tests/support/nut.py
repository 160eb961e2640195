"""UPSs by NUT: Debian's upsd with its dummy driver, and a server that speaks as much of the protocol as reading
needs."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from deploy.programs import free_port

UPSD, DRIVER = Path("/lib/nut/upsd"), Path("/lib/nut/dummy-ups")
PASSWORD = "kim-n6an-canary"
HEALTHY = {
    "ups.status": "OL CHRG",
    "ups.load": "24",
    "ups.temperature": "31.5",
    "battery.charge": "97",
    "battery.runtime": "2460",
    "battery.voltage": "54.60",
    "battery.date": "2024/03/31",
    "input.voltage": "228.4",
    "input.frequency": "50.0",
    "output.voltage": "230.1",
    "output.frequency": "50.0",
    "ups.test.result": "Done and passed",
    "ups.test.date": "2026-02-14",
    "ups.mfr": '"A \\"quoted\\" \\\\ name"',
}

MAINS = {
    "ups.status": "OL CHRG",
    "ups.load": "35",
    "battery.charge": "100",
    "battery.runtime": "2400",
    "input.voltage": "228.4",
    "output.voltage": "230.1",
}


class NutServer:
    """``upses``: variables by name of the UPS. ``asked``: how often all variables of each were read."""

    def __init__(self, upses: Mapping[str, Mapping[str, str]]) -> None:
        self.upses = {name: dict(variables) for name, variables in upses.items()}
        self.reads = dict.fromkeys(upses, 0)
        self.port = 0
        self.talks: set[asyncio.Task[None]] = set()

    def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.create_task(self._talk(reader, writer))
        self.talks.add(talk)
        talk.add_done_callback(self.talks.discard)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while (line := await reader.readline()) and line.strip() != b"LOGOUT":
                writer.write(self._answer(line.decode().split()).encode())
                await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    def _answer(self, words: list[str]) -> str:
        if words == ["LIST", "UPS"]:
            return self._list("UPS", [f'UPS {name} "a UPS"' for name in self.upses])
        if words[:2] == ["LIST", "VAR"] and len(words) == 3:
            name = words[2]
            if name not in self.upses:
                return "ERR UNKNOWN-UPS\n"
            self.reads[name] += 1
            return self._list(f"VAR {name}", [f'VAR {name} {key} "{text}"' for key, text in self.upses[name].items()])
        return "ERR UNKNOWN-COMMAND\n"

    @staticmethod
    def _list(what: str, lines: list[str]) -> str:
        return "".join(f"{line}\n" for line in (f"BEGIN LIST {what}", *lines, f"END LIST {what}"))


@contextlib.asynccontextmanager
async def nut_server(**upses: Mapping[str, str]) -> AsyncIterator[NutServer]:
    """One on a free port of loopback, for as long as the block lasts."""
    fake = NutServer(upses)
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    fake.port = server.sockets[0].getsockname()[1]
    try:
        yield fake
    finally:
        server.close()
        await asyncio.gather(*fake.talks)


class RealUpsd:
    """upsd with one or two dummy UPSs, as real processes with private directories; stopped by their ids."""

    def __init__(self, directory: Path, names: tuple[str, ...] = ("tram",), staleness: int = 15) -> None:
        self.port = free_port()
        self._directory = directory
        self._names = names
        self.drivers: dict[str, subprocess.Popen[bytes]] = {}
        (directory / "state").mkdir(parents=True)
        sections = []
        for name in names:
            lines = [f"{key}: {value}" for key, value in HEALTHY.items()]
            (directory / f"{name}.dev").write_text("\n".join(lines) + "\n", "utf-8")
            sections.append(f"[{name}]\n driver = dummy-ups\n port = {directory}/{name}.dev\n mode = dummy-once\n")
        (directory / "ups.conf").write_text("pollinterval = 1\n" + "".join(sections), "utf-8")
        (directory / "upsd.conf").write_text(
            f"LISTEN 127.0.0.1 {self.port}\nMAXAGE {staleness}\nSTATEPATH {directory}/state\n", "utf-8"
        )
        (directory / "upsd.users").write_text(f"[admin]\n password = {PASSWORD}\n actions = SET\n", "utf-8")
        for file in directory.glob("upsd.*"):
            file.chmod(0o600)
        self._env = {
            "PATH": os.environ["PATH"],
            "NUT_CONFPATH": str(directory),
            "NUT_STATEPATH": f"{directory}/state",
            "NUT_ALTPIDPATH": f"{directory}/state",
            "NUT_QUIET_INIT_SSL": "true",
        }
        self._upsd: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        for name in self._names:
            self.start_driver(name)
        self._upsd = self._run([str(UPSD), "-F", "-u", "root"])
        deadline = time.monotonic() + 20
        while "ups.status: OL" not in self.upsc():
            assert time.monotonic() < deadline, "upsd does not get going"
            time.sleep(0.05)

    def start_driver(self, name: str) -> None:
        self.drivers[name] = self._run([str(DRIVER), "-F", "-u", "root", "-a", name])

    def _run(self, command: list[str]) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(command, env=self._env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def upsc(self) -> str:
        """What NUT's own client sees of the last UPS."""
        command = ["upsc", f"{self._names[-1]}@127.0.0.1:{self.port}"]
        done = subprocess.run(command, env=self._env, capture_output=True, text=True, timeout=10, check=False)
        return done.stdout

    def set_variables(self, name: str = "tram", **variables: str) -> None:
        for variable, value in variables.items():
            assignment = f"{variable.replace('_', '.')}={value}"
            command = ["upsrw", "-s", assignment, "-u", "admin", "-p", PASSWORD, f"{name}@127.0.0.1:{self.port}"]
            done = subprocess.run(command, env=self._env, capture_output=True, text=True, timeout=20, check=False)
            assert done.returncode == 0, done.stderr

    def stop(self) -> None:
        for process in (*self.drivers.values(), self._upsd):
            if process is not None:
                process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait(10)


def require_nut() -> None:
    if not (UPSD.exists() and DRIVER.exists() and shutil.which("upsrw")):
        pytest.skip("needs nut-server and nut-client")
    if os.geteuid() != 0:
        pytest.skip("needs root: NUT's programs run as their own user otherwise")
