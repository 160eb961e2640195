"""A DNS server on loopback, UDP and TCP, with a small zone; a test may change what goes back."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

ZONE = {
    ("soctrang.example.", "A"): ["192.0.2.10", "192.0.2.11"],
    ("soctrang.example.", "AAAA"): ["2001:db8::10"],
    ("soctrang.example.", "MX"): ["10 Mail.Soctrang.example.", "20 mail2.soctrang.example."],
    ("soctrang.example.", "NS"): ["ns1.soctrang.example."],
    ("soctrang.example.", "TXT"): ['"v=spf1 mx " "-all"'],
    ("soctrang.example.", "SOA"): ["ns1.soctrang.example. admin.soctrang.example. 1 2 3 4 5"],
    ("_imap._tcp.soctrang.example.", "SRV"): ["0 1 993 mail.soctrang.example."],
    ("10.2.0.192.in-addr.arpa.", "PTR"): ["soctrang.example."],
    ("xn--cng-kna.example.", "A"): ["192.0.2.12"],
}
ALIASES = {"www.soctrang.example.": "soctrang.example."}


def reply_to(wire: bytes) -> dns.message.Message:
    """The honest answer."""
    question = dns.message.from_wire(wire)
    reply = dns.message.make_response(question)
    (query,) = question.question
    name, kind = query.name.to_text().lower(), dns.rdatatype.to_text(query.rdtype)
    if name in ALIASES:
        reply.answer.append(dns.rrset.from_text(name, 300, "IN", "CNAME", ALIASES[name]))
        name = ALIASES[name]
    if (name, kind) in ZONE:
        reply.answer.append(dns.rrset.from_text(name, 60, "IN", kind, *ZONE[name, kind]))
    elif not any(owner == name for owner, _ in ZONE):
        reply.set_rcode(dns.rcode.NXDOMAIN)
    return reply


UdpReplies = Callable[[bytes, int], list[tuple[float, bytes]]]


def honest(wire: bytes, earlier: int) -> list[tuple[float, bytes]]:
    return [(0.0, reply_to(wire).to_wire())]


class DnsServer(asyncio.DatagramProtocol):
    """``packets(question, how many came before)`` says what goes back by UDP, and when."""

    def __init__(self, packets: UdpReplies) -> None:
        self.udp_replies = packets
        self.queries = 0
        self.tcp_queries = 0
        self.tcp_answer: Callable[[bytes], bytes] = lambda wire: reply_to(wire).to_wire()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        loop = asyncio.get_running_loop()
        for delay, packet in self.udp_replies(data, self.queries):
            loop.call_later(delay, self._send, packet, addr)
        self.queries += 1

    def _send(self, packet: bytes, addr: Any) -> None:
        if not self.transport.is_closing():
            self.transport.sendto(packet, addr)

    async def serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tcp_queries += 1
        try:
            size = int.from_bytes(await reader.readexactly(2), "big")
            writer.write(self.tcp_answer(await reader.readexactly(size)))
            await writer.drain()
        finally:
            writer.close()


def framed(wire: bytes) -> bytes:
    return len(wire).to_bytes(2, "big") + wire


@asynccontextmanager
async def dns_server(packets: UdpReplies = honest, host: str = "127.0.0.1") -> AsyncIterator[tuple[DnsServer, int]]:
    loop = asyncio.get_running_loop()
    zone_server = DnsServer(packets)
    zone_server.tcp_answer = lambda wire: framed(reply_to(wire).to_wire())
    listener = await asyncio.start_server(zone_server.serve_tcp, host, 0)
    port = listener.sockets[0].getsockname()[1]
    transport, _ = await loop.create_datagram_endpoint(lambda: zone_server, local_addr=(host, port))
    try:
        yield zone_server, port
    finally:
        transport.close()
        listener.close()
        await listener.wait_closed()
