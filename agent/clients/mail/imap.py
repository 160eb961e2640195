"""IMAP client (RFC 3501): greeting, TLS, login, a mailbox, mails found by a mark and removed."""

import base64
import re
import time
from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from agent.clients.mail.session import STARTTLS, Login, MailSession
from agent.failure import ProbeFailed
from inventory.protocol.reasons import sentence

MAX_RESPONSES: Final = 2000  # untagged ones to one command
_LITERAL: Final = re.compile(rb"\{(\d{1,9})\}$")
_TAGGED: Final = re.compile(rb"(OK|NO|BAD)(?: (.*))?$", re.IGNORECASE | re.DOTALL)
_CODE: Final = re.compile(rb"(?:OK |NO |BAD )?\[([A-Za-z0-9-]+)(?: ([^\]]*))?\]", re.IGNORECASE)
_EXISTS: Final = re.compile(rb"(\d{1,10}) EXISTS", re.IGNORECASE)
_PASSWORD_NOT_CHECKED: Final = frozenset({b"UNAVAILABLE", b"INUSE", b"LIMIT", b"SERVERBUG"})  # RFC 5530


class ImapResponse(msgspec.Struct, frozen=True):
    """The end of a command (``status``: OK, NO or BAD; ``text``) and the untagged responses before it."""

    status: bytes
    text: bytes
    untagged: tuple[bytes, ...]

    @property
    def ok(self) -> bool:
        return self.status == b"OK"

    def code(self, name: bytes) -> bytes | None:
        """What a response code says, the one in brackets at the start of a text; None when it is not there."""
        for text in (self.text, *self.untagged):
            matched = _CODE.match(text)
            if matched and matched[1].upper() == name:
                return matched[2] or b""
        return None


def modified_utf7(name: str) -> str:
    """A mailbox's name as IMAP spells it (RFC 3501, 5.1.3)."""
    spelled = []
    for run in re.findall(r"[ -~]+|[^ -~]+", name):
        if " " <= run[0] <= "~":
            spelled.append(run.replace("&", "&-"))
        else:
            coded = base64.b64encode(run.encode("utf-16-be")).decode().rstrip("=")
            spelled.append(f"&{coded.replace('/', ',')}-")
    return "".join(spelled)


def quoted_string(text: str) -> str:
    """A quoted string for a command; ``text`` is printable ASCII."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


class ImapClient(MailSession):
    """``open``, then ``login``, then ``select``; then mails are found and removed; then ``logout``."""

    protocol = "IMAP"
    capabilities: frozenset[str] = frozenset()
    _tag_count = 0

    # the way in

    async def _read_greeting(self) -> None:
        self.waiting = sentence("no greeting came")
        started = time.monotonic()
        line = await self.read_line()
        self.timings["greeting"] = time.monotonic() - started
        first, _, rest = line.partition(b" ")
        word = rest.partition(b" ")[0].upper()
        if first != b"*" or word not in (b"OK", b"PREAUTH", b"BYE"):
            raise ProbeFailed(sentence("{who} answers {line}, which is not IMAP", who=self.who, line=self.quoted(line)))
        if word == b"BYE":
            raise ProbeFailed(
                sentence("{who} takes no connections now: {rest}", who=self.who, rest=self.quoted(rest[4:]))
            )
        if word == b"PREAUTH":
            # TLS cannot begin after a login: an old trick of who sits in between
            raise ProbeFailed(
                sentence("{who} says that this machine is logged in already, before any password", who=self.who)
            )
        listed = ImapResponse(b"OK", rest, ()).code(b"CAPABILITY")
        if listed is None:
            await self._request_capabilities()
        else:
            self.capabilities = _capability_set(listed)

    async def _request_capabilities(self) -> None:
        self.waiting = sentence("CAPABILITY was not answered")
        response = await self.command("CAPABILITY")
        listed = [line[11:] for line in response.untagged if line[:11].upper() == b"CAPABILITY "]
        if not response.ok or not listed:
            raise self.refusal(response, sentence("{who} does not say what it can do", who=self.who))
        self.capabilities = _capability_set(listed[-1])

    async def _request_starttls(self) -> None:
        if "STARTTLS" not in self.capabilities:
            raise ProbeFailed(
                sentence("{who} does not offer STARTTLS (not set up there, or taken out on the way)", who=self.who)
            )
        self.waiting = sentence("STARTTLS was not answered")
        response = await self.command("STARTTLS")
        if not response.ok:
            raise self.refusal(response, sentence("{who} offers STARTTLS but refuses it", who=self.who))

    async def _after_tls(self) -> None:
        if self.server.security == STARTTLS:
            await self._request_capabilities()  # what was said before TLS does not count

    async def login(self, login: Login) -> None:
        """LOGIN, or AUTHENTICATE PLAIN where only that goes. Raises Trouble; a refused password is told as such."""
        self.hide_password(login)
        self.waiting = sentence("the login was not answered")
        started = time.monotonic()
        plain = f"{login.user}{login.password}"
        if "LOGINDISABLED" not in self.capabilities and plain.isascii():
            response = await self.command(f"LOGIN {quoted_string(login.user)} {quoted_string(login.password)}")
        elif "AUTH=PLAIN" in self.capabilities:
            response = await self.command("AUTHENTICATE PLAIN", (login.plain,))
        else:
            raise ProbeFailed(
                sentence("{who} offers no way to log in that this agent knows (LOGIN, PLAIN)", who=self.who)
            )
        if not response.ok:
            raise self._login_refused(response, login)
        self.timings["login"] = time.monotonic() - started
        listed = response.code(b"CAPABILITY")
        if listed is None:
            await self._request_capabilities()
        else:
            self.capabilities = _capability_set(listed)

    def _login_refused(self, response: ImapResponse, login: Login) -> ProbeFailed:
        named = _CODE.match(response.text)
        code = named[1].upper() if named else b""
        if code in _PASSWORD_NOT_CHECKED:
            return ProbeFailed(
                sentence("{who} cannot check passwords at the moment ({code})", who=self.who, code=code.decode())
            )
        if code == b"EXPIRED":
            return ProbeFailed(
                sentence(
                    "{who} says that the password of the credential {name} has expired",
                    who=self.who,
                    name=repr(login.name),
                )
            )
        if response.status == b"NO":
            return ProbeFailed(
                sentence(
                    "{who} refuses the user or password of the credential {name}", who=self.who, name=repr(login.name)
                )
            )
        return ProbeFailed(sentence("{who} does not understand the login", who=self.who))

    # mailboxes and mails

    async def select(self, mailbox: str, read_only: bool) -> tuple[int | None, int | None]:
        """Open a mailbox: how many mails it has and the UID that the next one gets; None where it does not say."""
        self.waiting = sentence("the mailbox was not opened")
        started = time.monotonic()
        response = await self.command(f"{'EXAMINE' if read_only else 'SELECT'} {quoted_string(modified_utf7(mailbox))}")
        if not response.ok:
            raise self.refusal(response, sentence("{who} does not open the mailbox", who=self.who))
        self.timings["select"] = time.monotonic() - started
        counts = [int(matched[1]) for line in response.untagged if (matched := _EXISTS.fullmatch(line))]
        following = response.code(b"UIDNEXT") or b""
        return (counts[-1] if counts else None), (int(following) if following.isdigit() else None)

    async def search(self, criteria: str) -> list[int]:
        """UIDs of the mails that fit, ascending. The mailbox is brought up to date first."""
        await self.command("NOOP")
        response = await self.command(f"UID SEARCH {criteria}")
        if not response.ok:
            raise self.refusal(response, sentence("{who} does not search the mailbox", who=self.who))
        results = [line[6:] for line in response.untagged if line[:6].upper() == b"SEARCH"]
        return sorted({int(word) for line in results for word in line.split() if word.isdigit() and len(word) <= 10})

    async def remove(self, uids: Collection[int]) -> bool:
        """Delete these mails for good, and no other. False when the server cannot do that without others' mails."""
        if not uids:
            return True
        self.waiting = sentence("mails were not deleted")
        uid_set = ",".join(map(str, sorted(uids)))
        response = await self.command(f"UID STORE {uid_set} +FLAGS.SILENT (\\Deleted)")
        if not response.ok:
            raise self.refusal(response, sentence("{who} does not delete mails", who=self.who))
        if "UIDPLUS" in self.capabilities:
            response = await self.command(f"UID EXPUNGE {uid_set}")
        elif set(await self.search("DELETED")) <= set(uids):
            response = await self.command("EXPUNGE")
        else:
            return False  # EXPUNGE would take mails along that somebody else has marked
        return response.ok

    async def logout(self) -> None:
        """A farewell that is not waited for: what was to be seen has been seen."""
        try:
            await self.send(b"bye LOGOUT\r\n")
        except ProbeFailed:
            pass  # gone already

    # commands and responses

    async def command(self, text: str, continuations: Sequence[str] = ()) -> ImapResponse:
        """``answers`` go out one by one when the server asks for more. Raises Trouble when it does not speak IMAP."""
        self._tag_count += 1
        tag = b"a%d" % self._tag_count
        await self.send(tag + b" " + text.encode() + b"\r\n")
        rest = list(continuations)
        untagged: list[bytes] = []
        while len(untagged) < MAX_RESPONSES:
            line = await self._read_response()
            first, _, content = line.partition(b" ")
            if first == b"*":
                untagged.append(content)
                if content[:4].upper() == b"BYE ":
                    raise ProbeFailed(
                        sentence("{who} ends the session: {content}", who=self.who, content=self.quoted(content[4:]))
                    )
            elif first == b"+" and rest:
                await self.send(rest.pop(0).encode() + b"\r\n")
            elif first == tag and (matched := _TAGGED.fullmatch(content)):
                return ImapResponse(matched[1].upper(), matched[2] or b"", tuple(untagged))
            else:
                raise ProbeFailed(
                    sentence("{who} answers {line}, which is not IMAP", who=self.who, line=self.quoted(line))
                )
        raise ProbeFailed(
            sentence(
                "{who} gives more than {max_responses} responses to one command",
                who=self.who,
                max_responses=MAX_RESPONSES,
            )
        )

    async def _read_response(self) -> bytes:
        """One response: a line, and with a literal in it the literal and what follows."""
        pieces = [await self.read_line()]
        while literal := _LITERAL.search(pieces[-1]):
            pieces += (b"\r\n", await self.read_exactly(int(literal[1])), await self.read_line())
        return b"".join(pieces)

    def refusal(self, response: ImapResponse, what: str) -> ProbeFailed:
        """The server, what it does, and its own words."""
        return ProbeFailed(sentence("{what}: {words}", what=what, words=self.quoted(response.text or response.status)))


def _capability_set(listed: bytes) -> frozenset[str]:
    return frozenset(listed.decode("ascii", "replace").upper().split())
