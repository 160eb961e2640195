"""Ask a TLS server for its stapled OCSP response (RFC 6066, section 8) and judge it, in a process of its own.

Python's ssl module neither asks for a stapled response nor gives one out; pyOpenSSL does, for TLS 1.2 and 1.3. It and
cryptography take 13 MB, which an agent is not to hold for an answer that its authority renews every few days: so each
server is asked at the first look, every hour, and at every look while something is wrong with the answer.
"""

import asyncio
import socket
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from agent.clients.net.resolve import address_literal
from agent.clients.tls.question import StapleAnswer, StapleQuestion
from agent.failure import ProbeFailed
from inventory.protocol.reasons import pack, sentence, unpack

if TYPE_CHECKING:
    from OpenSSL import SSL

ASK_AGAIN: Final = 3_600.0  # seconds after a good answer
RETRY: Final = 300.0  # seconds after none
MAX_HANDSHAKE: Final = 262_144  # bytes that are read
MAX_REMEMBERED: Final = 1_000  # servers
_PROGRAM: Final = "import sys; sys.path[:] = sys.argv[1:]; from agent.clients.tls.staple import main; main()"


class StapleChecker:
    """Knows when to ask which server next (a shared client: ``context.client(StapleChecker, StapleChecker)``)."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._next: dict[tuple[object, ...], float] = {}
        self._answers: dict[tuple[object, ...], StapleAnswer] = {}
        self._one = asyncio.Lock()  # a process at a time: each takes a quarter of a second of CPU

    async def check(self, question: StapleQuestion) -> StapleAnswer | None:
        """What is known when nothing speaks against the certificate; None when the server was not heard. Raises
        ProbeFailed. Ends by its caller's deadline."""
        key = (question.address, question.port, question.name, question.chain[0], question.ask)
        if self._monotonic() < self._next.get(key, 0):
            return self._answers.get(key)
        async with self._one:
            if len(self._next) >= MAX_REMEMBERED:
                self._next.clear()
                self._answers.clear()
            self._next[key] = self._monotonic() + RETRY
            self._answers.pop(key, None)
            said = await _ask_in_a_process(question)
        if not said:
            return None
        answer = msgspec.msgpack.decode(said, type=StapleAnswer)
        if answer.reason:
            self._next.pop(key, None)
            raise ProbeFailed(unpack(answer.reason), answer.state)
        answer.notes = tuple(map(unpack, answer.notes))
        self._next[key] = self._monotonic() + ASK_AGAIN
        self._answers[key] = answer
        return answer

    async def close(self) -> None:
        self._next.clear()


async def _ask_in_a_process(question: StapleQuestion) -> bytes:
    """What :func:`main` writes; b"" when the server was not heard."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-c", _PROGRAM, *sys.path,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        answer, _ = await process.communicate(msgspec.msgpack.encode(question))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return answer if process.returncode == 0 else b""


# -- in the process


def main() -> None:
    """One question on standard input; on standard output the state and the reason, "" when all is well, or nothing."""
    from agent.clients.tls import revocation
    from agent.clients.tls.ocsp import check_staple

    question = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=StapleQuestion)
    leaf, staple = _ask(question)
    if leaf != question.chain[0]:
        return  # another certificate (or another machine): not the one that was judged
    answer = StapleAnswer()
    try:
        answer.known = check_staple(staple, question.chain, question.now)
        notes = revocation.deviations(question.chain, question.now)
        if not answer.known and question.ask:
            revocation.ask(question)
            answer.known = True
        elif not answer.known:
            notes.append(sentence("nobody was asked whether the certificate is revoked: no response is stapled"))
        answer.notes = tuple(map(pack, notes))
    except ProbeFailed as failure:
        answer.state, answer.reason = failure.state, pack(failure.reason)
    sys.stdout.buffer.write(msgspec.msgpack.encode(answer))


def _ask(question: StapleQuestion) -> tuple[bytes, bytes]:
    """The certificate shown and the response stapled to it, in DER; b"" for what did not come. Raises OSError."""
    from cryptography.hazmat.primitives.serialization import Encoding
    from OpenSSL import SSL

    staples = [b""]

    def keep(_tls: SSL.Connection, staple: bytes, _data: object) -> bool:
        staples.append(staple)
        return True

    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_cipher_list(b"DEFAULT:@SECLEVEL=0")  # what was judged before may be old; nothing is trusted here
    context.set_ocsp_client_callback(keep)
    tls = SSL.Connection(context, None)
    if not address_literal(question.name):
        tls.set_tlsext_host_name(question.name.encode("ascii"))
    tls.request_ocsp()
    tls.set_connect_state()
    deadline = time.monotonic() + question.seconds
    with socket.create_connection((question.address, question.port), question.seconds) as sock:
        _shake_hands(tls, sock, deadline)
    leaf = tls.get_peer_certificate(as_cryptography=True)
    return leaf.public_bytes(Encoding.DER) if leaf is not None else b"", staples[-1]


def _shake_hands(tls: "SSL.Connection", sock: socket.socket, deadline: float) -> None:
    """As far as it goes: a server may want a certificate of ours, its own was shown before. Raises OSError."""
    from OpenSSL import SSL

    size = 0
    while size < MAX_HANDSHAKE:
        try:
            tls.do_handshake()
            return
        except SSL.WantReadError:
            pass
        except SSL.Error:
            return
        try:
            while True:
                sock.sendall(tls.bio_read(65_536))
        except SSL.WantReadError:
            pass  # all is sent
        sock.settimeout(max(deadline - time.monotonic(), 0.01))
        data = sock.recv(65_536)
        if not data:
            return
        size += len(data)
        tls.bio_write(data)
