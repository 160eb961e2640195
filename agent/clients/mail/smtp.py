"""SMTP client (RFC 5321, STARTTLS of RFC 3207, AUTH of RFC 4954)."""

import base64
import re
import time
from typing import Final

import msgspec

from agent.clients.mail.session import STARTTLS, Login, MailSession
from agent.failure import ProbeFailed
from inventory.protocol.reasons import sentence
from inventory.protocol.states import DOWN

MAX_LINES: Final = 100  # of one reply
_REPLY: Final = re.compile(rb"([2-5]\d\d)(?:([ -])(.*))?", re.DOTALL)
_ADDRESS: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


class SmtpReply(msgspec.Struct, frozen=True):
    """``code`` as in RFC 5321; the lines without their codes."""

    code: int
    lines: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return 200 <= self.code < 400


def is_address(text: str) -> bool:
    """A mail address of plain letters, as SMTP without extensions takes it."""
    return _ADDRESS.fullmatch(text) is not None


def _address_literal(address: str) -> str:
    """How a machine without a public name calls itself (RFC 5321, 4.1.3)."""
    return f"[IPv6:{address.partition('%')[0]}]" if ":" in address else f"[{address}]"


class SmtpClient(MailSession):
    """``open``, then ``login`` if there is a credential, then ``hand_over`` mails, then ``quit``."""

    protocol = "SMTP"
    helo = ""  # how this machine calls itself; its own address when empty
    extensions: dict[str, str]  # the extensions by name, upper case, each with its parameters

    async def _read_greeting(self) -> None:
        self.waiting = sentence("no greeting came")
        started = time.monotonic()
        reply = await self.read_reply()
        self.timings["greeting"] = time.monotonic() - started
        if reply.code != 220:
            raise self.refusal(reply, sentence("{who} does not take mail now", who=self.who))
        await self._send_hello()

    async def _send_hello(self) -> None:
        assert self._stream is not None
        self.waiting = sentence("EHLO was not answered")
        name = self.helo or _address_literal(self._stream.local_address)
        reply = await self.command(f"EHLO {name}")
        if not reply.ok and self.server.security != STARTTLS and reply.code in (500, 502):
            reply = await self.command(f"HELO {name}")  # a small device, or a server from before 1995
        if not reply.ok:
            raise self.refusal(reply, sentence("{who} refuses this machine's EHLO", who=self.who))
        self.extensions = {}
        for line in reply.lines[1:]:
            name, _, rest = line.strip().partition(" ")
            self.extensions[name.upper()] = rest

    async def _request_starttls(self) -> None:
        if "STARTTLS" not in self.extensions:
            raise ProbeFailed(
                sentence("{who} does not offer STARTTLS (not set up there, or taken out on the way)", who=self.who)
            )
        self.waiting = sentence("STARTTLS was not answered")
        reply = await self.command("STARTTLS")
        if reply.code != 220:
            raise self.refusal(reply, sentence("{who} offers STARTTLS but refuses it", who=self.who))

    async def _after_tls(self) -> None:
        if self.server.security == STARTTLS:
            await self._send_hello()  # what was offered before TLS does not count

    async def login(self, login: Login) -> None:
        """AUTH by PLAIN or LOGIN. Raises Trouble; a refused password is told as such."""
        self.hide_password(login)
        self.waiting = sentence("the login was not answered")
        started = time.monotonic()
        offered = set(self.extensions.get("AUTH", "").upper().split())
        if "PLAIN" in offered:
            reply = await self.command(f"AUTH PLAIN {login.plain}")
        elif "LOGIN" in offered:
            reply = await self.command("AUTH LOGIN")
            for secret in (login.user, login.password):
                if reply.code == 334:
                    reply = await self.command(base64.b64encode(secret.encode()).decode())
        else:
            mechanisms = sentence("only {offered}", offered=", ".join(sorted(offered))) if offered else "none"
            raise ProbeFailed(
                sentence(
                    "{who} offers no way to log in that this agent knows (PLAIN, LOGIN): {mechanisms}",
                    who=self.who,
                    mechanisms=mechanisms[:60],
                )
            )
        if reply.code != 235:
            raise self._login_refused(reply, login)
        self.timings["login"] = time.monotonic() - started

    def _login_refused(self, reply: SmtpReply, login: Login) -> ProbeFailed:
        if reply.code in (534, 535):
            return ProbeFailed(
                sentence(
                    "{who} refuses the user or password of the credential {name} ({code})",
                    who=self.who,
                    name=repr(login.name),
                    code=reply.code,
                )
            )
        if 400 <= reply.code < 500:
            return ProbeFailed(
                sentence("{who} cannot check passwords at the moment ({code})", who=self.who, code=reply.code)
            )
        return ProbeFailed(sentence("{who} refuses the login ({code})", who=self.who, code=reply.code))

    async def send_mail(self, sender: str, recipient: str, message: bytes) -> SmtpReply:
        """One mail; the reply that took it over. Raises Trouble with the step at which it was refused."""
        steps = ((f"MAIL FROM:<{sender}>", sentence("sender")), (f"RCPT TO:<{recipient}>", sentence("recipient")))
        for command, what in steps:
            self.waiting = sentence("the {what} was not answered", what=what)
            reply = await self.command(command)
            if not reply.ok:
                raise self.refusal(reply, sentence("{who} refuses the {what}", who=self.who, what=what))
        self.waiting = sentence("the mail was not asked for")
        reply = await self.command("DATA")
        if reply.code != 354:
            raise self.refusal(reply, sentence("{who} refuses to take a mail", who=self.who))
        self.waiting = sentence("the mail was sent but not taken over")
        lines = message.replace(b"\r\n", b"\n").removesuffix(b"\n").split(b"\n")
        body = b"\r\n".join(b"." + line if line.startswith(b".") else line for line in lines)
        await self.send(body + b"\r\n.\r\n")
        reply = await self.read_reply()
        if not reply.ok:
            raise self.refusal(reply, sentence("{who} refuses the mail", who=self.who))
        return reply

    async def quit(self) -> None:
        """A farewell that is not waited for: what was to be seen has been seen."""
        try:
            await self.send(b"QUIT\r\n")
        except ProbeFailed:
            pass  # gone already

    async def command(self, text: str) -> SmtpReply:
        await self.send(text.encode() + b"\r\n")
        return await self.read_reply()

    async def read_reply(self) -> SmtpReply:
        """The next reply, all its lines. Raises Trouble when it is none."""
        lines: list[str] = []
        code = b""
        while len(lines) < MAX_LINES:
            line = await self.read_line()
            matched = _REPLY.fullmatch(line)
            if not matched or code not in (b"", matched[1]):
                raise ProbeFailed(
                    sentence("{who} answers {line}, which is not SMTP", who=self.who, line=self.quoted(line))
                )
            code = matched[1]
            lines.append((matched[3] or b"").decode("utf-8", "replace"))
            if matched[2] != b"-":
                return SmtpReply(int(code), tuple(lines))
        raise ProbeFailed(sentence("{who} answers with more than {max_lines} lines", who=self.who, max_lines=MAX_LINES))

    def refusal(self, reply: SmtpReply, what: str) -> ProbeFailed:
        """The server, what it does, and its own words."""
        words = self.quoted(" ".join(reply.lines))
        return ProbeFailed(sentence("{what}: {code} {words}", what=what, code=reply.code, words=words), DOWN)
