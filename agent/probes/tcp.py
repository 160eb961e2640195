"""The kind ``tcp``: does the port take a connection, and does the service say what it should."""

import asyncio
import time
from typing import Annotated, Final, Literal

from msgspec import Meta

from agent.clients.net.resolve import Resolver, address_literal
from agent.clients.net.stream import TcpStream, connect
from agent.failure import ProbeFailed, printable
from agent.first_steps import BUSY, CALL, MACHINE_ON
from agent.probe import Address, Measure, Outcome, Probe, ProbeContext
from inventory.base.forms import one_form
from inventory.protocol.mail_words import MailWords
from inventory.protocol.reasons import Reason, sentence
from inventory.protocol.states import DOWN, UP

MOST_READ: Final = 64 * 1024  # bytes of what a service says that are searched


class Tcp(Probe, frozen=True, kw_only=True):
    """Connects to a TCP port: up when the connection is made and, if asked for, the service says what is expected.

    A name's addresses are tried in the system's order until one takes the connection. Refused, no answer,
    unreachable and no route are told apart. The latency is that of the handshake, without resolving the name.
    """

    kind = "tcp"
    title = "TCP port"
    target = ("host", "port")
    measures = (
        Measure("connect_seconds", "seconds", "From the first packet to the established connection", exported=False),
        Measure("banner_seconds", "seconds", "From the established connection to the expected text", exported=False),
        Measure("resolve_seconds", "seconds", "Resolving the host name; left out for an address", exported=False),
    )
    down_mail = MailWords(
        steps=(
            "Try the program that uses this service: does it work from your PC?",
            MACHINE_ON,
            "If you look after the server: see whether the service runs, and start it again.",
            CALL,
        ),
    )
    degraded_mail = MailWords(
        steps=(
            "The service answers, but slowly. Try the program that uses it.",
            BUSY,
            "If you look after the server: look at its processor, memory and free disk space.",
            CALL,
        ),
    )
    example = "{host: 192.0.2.5, port: 5432}"

    host: Annotated[str, Meta(min_length=1, max_length=253, description="Host name or address")]
    port: Annotated[int, Meta(ge=1, le=65535, description="TCP port")]
    send: Annotated[str, Meta(max_length=4096, description="Text to send once connected, as UTF-8")] = ""
    expect: Annotated[
        str, Meta(max_length=1024, description="Text that the service must say within its first 64 KiB")
    ] = ""
    family: Annotated[Literal["any", "ipv4", "ipv6"], Meta(description="Which addresses of the name to use")] = "any"

    def endpoints(self) -> tuple[tuple[str, int | None], ...]:
        return ((self.host, self.port),)

    async def run(self, context: ProbeContext) -> Outcome:
        measures: dict[str, float] = {}
        stream: TcpStream | None = None
        addresses: list[Address] = []
        try:
            async with asyncio.timeout(context.timeout):
                started = time.monotonic()
                addresses = await context.client(Resolver, Resolver).addresses(self.host, self.family)
                resolved = time.monotonic() - started
                if address_literal(self.host) is None:
                    measures["resolve_seconds"] = resolved
                remaining = context.timeout - resolved
                stream, measures["connect_seconds"] = await connect(addresses, self.port, context.limits, remaining)
                await self._talk(stream, measures)
        except ProbeFailed as failure:
            return Outcome(failure.state, failure.reason, measures.get("connect_seconds"), measures)
        except TimeoutError:
            return Outcome(
                DOWN, self._timeout_text(addresses, stream, context.timeout), measures.get("connect_seconds"), measures
            )
        finally:
            if stream is not None:
                stream.close()
        return Outcome(UP, "", measures["connect_seconds"], measures)

    async def _talk(self, stream: TcpStream, measures: dict[str, float]) -> None:
        """Say what is to be said and hear what is expected. Raises ProbeFailed when something else comes."""
        started = time.monotonic()
        if self.send:
            await stream.send(self.send.encode())
        expected = self.expect.encode()
        received = b""
        while expected not in received and one_form(self.expect) not in one_form(received.decode("utf-8", "replace")):
            if len(received) >= MOST_READ:
                raise ProbeFailed(
                    sentence(
                        "{who} did not say {expect} within {most_read} KiB",
                        who=stream.who,
                        expect=printable(self.expect),
                        most_read=MOST_READ // 1024,
                    )
                )
            more = await stream.receive(MOST_READ - len(received))
            if not more:
                heard = printable(received) if received else sentence("nothing")
                raise ProbeFailed(
                    sentence(
                        "{who} closed the connection; expected {expect}, heard {heard}",
                        who=stream.who,
                        expect=printable(self.expect),
                        heard=heard,
                    )
                )
            received += more
        if expected:
            measures["banner_seconds"] = time.monotonic() - started

    def _timeout_text(self, addresses: list[Address], stream: TcpStream | None, timeout: float) -> Reason:
        """Where the time went."""
        if not addresses:
            return sentence("the name {host} was not resolved within {timeout:n} s", host=self.host, timeout=timeout)
        if stream is not None:
            return sentence(
                "{who} took the connection but did not say {expect} within {timeout:n} s",
                who=stream.who,
                expect=printable(self.expect),
                timeout=timeout,
            )
        return sentence(
            "{host} port {port} did not answer within {timeout:n} s", host=self.host, port=self.port, timeout=timeout
        )
