"""A server that speaks as much of NUT's protocol as reading takes: UPSs whose variables a test or benchmark sets."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping

MAINS = {
    "ups.status": "OL CHRG",
    "ups.load": "35",
    "battery.charge": "100",
    "battery.runtime": "2400",
    "input.voltage": "228.4",
    "output.voltage": "230.1",
}


class Nut:
    """``upses``: variables by name of the UPS. ``asked``: how often all variables of each were read."""

    def __init__(self, upses: Mapping[str, Mapping[str, str]]) -> None:
        self.upses = {name: dict(variables) for name, variables in upses.items()}
        self.asked = dict.fromkeys(upses, 0)
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
            self.asked[name] += 1
            return self._list(f"VAR {name}", [f'VAR {name} {key} "{text}"' for key, text in self.upses[name].items()])
        return "ERR UNKNOWN-COMMAND\n"

    @staticmethod
    def _list(what: str, lines: list[str]) -> str:
        return "".join(f"{line}\n" for line in (f"BEGIN LIST {what}", *lines, f"END LIST {what}"))


@contextlib.asynccontextmanager
async def nut(**upses: Mapping[str, str]) -> AsyncIterator[Nut]:
    """One on a free port of loopback, for as long as the block lasts."""
    made = Nut(upses)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await asyncio.gather(*made.talks)
