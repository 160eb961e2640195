"""NUT client: one UPS's variables from upsd, by its network protocol (RFC 9271; port 3493).

Lines of text: ``LIST VAR name`` is answered by ``VAR name variable "value"`` lines between BEGIN and END, or by ERR
and a word. upsd takes any user and password until a command needs rights, and reading needs none.
"""

import re
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Final

from agent.clients.net.stream import TcpStream
from agent.clients.ups.dates import parse_date
from agent.clients.ups.model import UpsReading, parse_number
from agent.failure import ProbeFailed, printable
from inventory.protocol.reasons import sentence
from inventory.protocol.states import UNKNOWN

PORT: Final = 3493
MOST: Final = 256 * 1024  # bytes of an answer
LONGEST: Final = 8192  # bytes of a line

_ERRORS: Final = {
    "ACCESS-DENIED": sentence("upsd does not let this agent see it (ACCESS-DENIED)"),
    "DATA-STALE": sentence("upsd has no fresh data: its driver does not hear the UPS (DATA-STALE)"),
    "DRIVER-NOT-CONNECTED": sentence("upsd's driver for it is not running (DRIVER-NOT-CONNECTED)"),
    "UNKNOWN-UPS": sentence("upsd knows no UPS of that name (UNKNOWN-UPS)"),
    "INVALID-USERNAME": sentence("upsd does not accept the user (INVALID-USERNAME)"),
    "INVALID-PASSWORD": sentence("upsd does not accept the password (INVALID-PASSWORD)"),
    "USERNAME-REQUIRED": sentence("upsd wants a user and a password (USERNAME-REQUIRED)"),
    "PASSWORD-REQUIRED": sentence("upsd wants a password (PASSWORD-REQUIRED)"),
    "FEATURE-NOT-CONFIGURED": sentence("upsd is not set up for this (FEATURE-NOT-CONFIGURED)"),
}
_STATUS: Final = {
    "OL": "mains",
    "OB": "battery",
    "LB": "low",
    "RB": "replace",
    "BYPASS": "bypass",
    "CAL": "calibrating",
    "TEST": "testing",
    "OFF": "off",
    "OVER": "overload",
    "TRIM": "trim",
    "BOOST": "boost",
    "FSD": "ending",
}
# measure -> (variables in the order of preference, scale); of several phases the worst counts
_VALUES: Final = {
    "charge_ratio": (("battery.charge",), 0.01),
    "runtime_seconds": (("battery.runtime",), 1.0),
    "battery_volts": (("battery.voltage",), 1.0),
    "input_hertz": (("input.frequency", "input.L1.frequency"), 1.0),
    "output_hertz": (("output.frequency", "output.L1.frequency"), 1.0),
    "temperature_celsius": (("battery.temperature", "ups.temperature"), 1.0),
}
_RUNNING: Final = re.compile(r"in ?progress|running")
_PASSED: Final = re.compile(r"pass|\bok\b|good|success|no error")
_FAILED: Final = re.compile(r"fail|error|warning|bad|replace")


class UpsdError(ProbeFailed):
    """upsd answered ERR; ``word`` is what it said."""

    def __init__(self, word: str) -> None:
        words = _ERRORS.get(word) or sentence("upsd answered with an error: {word}", word=printable(word))
        super().__init__(words, UNKNOWN)
        self.word = word


class UpsdClient:
    """One conversation with upsd over a connected stream. Raises Trouble for everything that is not as it should be."""

    def __init__(self, stream: TcpStream) -> None:
        self._stream = stream
        self._buffer = b""
        self._received = 0

    async def login(self, credential: Mapping[str, str]) -> None:
        """Say who asks. A wrong password is not noticed: reading needs none."""
        for command, key in (("USERNAME", "user"), ("PASSWORD", "password")):
            if key in credential:
                credential_value = credential[key]
                if not credential_value.isprintable():
                    raise ProbeFailed(
                        sentence("the credential's {key} has characters that NUT cannot take", key=key), UNKNOWN
                    )
                answer = await self._request(f'{command} "{_escaped(credential_value)}"')
                if not answer.startswith("OK"):
                    raise self._unexpected(answer)

    async def names(self) -> list[str]:
        """The UPSs that it serves."""
        return sorted([words[1] async for words in self._list("UPS") if words[0] == "UPS" and len(words) > 1])

    async def variables(self, ups: str) -> dict[str, str]:
        """Everything that it knows of one UPS."""
        return {words[2]: words[3] async for words in self._list(f"VAR {ups}") if words[0] == "VAR" and len(words) > 3}

    async def logout(self) -> None:
        """Say goodbye, so that upsd logs no lost connection."""
        await self._stream.send(b"LOGOUT\n")

    async def _list(self, query: str) -> AsyncIterator[list[str]]:
        answer = await self._request(f"LIST {query}")
        if answer.split() != f"BEGIN LIST {query}".split():
            raise self._unexpected(answer)
        while (line := await self._read_line()) != f"END LIST {query}":
            if line.startswith("ERR "):
                raise UpsdError(line.split()[1])
            yield _split_words(line) or [""]

    async def _request(self, command: str) -> str:
        await self._stream.send(command.encode() + b"\n")
        answer = await self._read_line()
        if answer.startswith("ERR "):
            raise UpsdError(answer.split()[1])
        return answer

    async def _read_line(self) -> str:
        while b"\n" not in self._buffer:
            if len(self._buffer) > LONGEST or self._received > MOST:
                raise ProbeFailed(sentence("{who} sends without end, unlike upsd", who=self._stream.who), UNKNOWN)
            more = await self._stream.receive()
            if not more:
                raise ProbeFailed(
                    sentence("{who} closed the connection in the middle of an answer", who=self._stream.who), UNKNOWN
                )
            self._buffer += more
            self._received += len(more)
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode("utf-8", "replace").strip()

    def _unexpected(self, answer: str) -> ProbeFailed:
        return ProbeFailed(
            sentence("{who} does not answer like upsd: {answer}", who=self._stream.who, answer=printable(answer)),
            UNKNOWN,
        )


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _split_words(line: str) -> list[str]:
    """The words of a line; quotes keep spaces together, a backslash takes the next character as it is."""
    words: list[str] = []
    word, quoted, escaped, in_word = "", False, False, False
    for character in line:
        if escaped:
            word, escaped = word + character, False
        elif character == "\\":
            escaped = in_word = True
        elif character == '"':
            quoted, in_word = not quoted, True
        elif character.isspace() and not quoted:
            if in_word:
                words.append(word)
            word, in_word = "", False
        else:
            word, in_word = word + character, True
    return [*words, word] if in_word else words


async def read(stream: TcpStream, ups: str, credential: Mapping[str, str]) -> tuple[UpsReading, float]:
    """What upsd says of ``ups`` (of its only one when that is empty), and how long the answer took, in seconds."""
    upsd = UpsdClient(stream)
    await upsd.login(credential)
    if not ups:
        names = await upsd.names()
        if len(names) != 1:
            if not names:
                raise ProbeFailed(sentence("upsd at {who} has no UPS", who=stream.who), UNKNOWN)
            listed = printable(", ".join(names), 80)
            raise ProbeFailed(
                sentence(
                    "upsd at {who} has {names} UPSs ({listed}): say which one (ups)",
                    who=stream.who,
                    names=len(names),
                    listed=listed,
                ),
                UNKNOWN,
            )
        ups = names[0]
    started = time.monotonic()
    try:
        variables = await upsd.variables(ups)
    except UpsdError as error:
        if error.word != "UNKNOWN-UPS":
            raise
        names = await upsd.names()
        raise ProbeFailed(
            sentence("{reason}; it has {names}", reason=error.reason, names=printable(", ".join(names) or "none", 80)),
            UNKNOWN,
        ) from None
    elapsed = time.monotonic() - started
    await upsd.logout()
    return to_reading(variables, time.time()), elapsed


def to_reading(variables: Mapping[str, str], now: float) -> UpsReading:
    """The model of NUT's variables. ``now``: Unix time, for the battery's age."""
    reading = UpsReading()
    _status(reading, variables.get("ups.status", "").upper().split())
    for measure, (names, scale) in _VALUES.items():
        for name in names:
            value = parse_number(variables.get(name))
            reading.set_value(measure, None if value is None else value * scale)
    load = _numbers(variables, "ups.load") or _numbers(
        variables, *(f"output.L{n}.power.percent" for n in "123"), *(f"ups.L{n}.load" for n in "123")
    )
    reading.set_value("load_ratio", max(load) / 100 if load else None)
    for side in ("input", "output"):
        volts = (
            _numbers(variables, f"{side}.voltage")
            or _numbers(variables, *(f"{side}.L{n}-N.voltage" for n in "123"))
            or _numbers(variables, f"{side}.L1-L2.voltage", f"{side}.L2-L3.voltage", f"{side}.L3-L1.voltage")
        )
        reading.set_value(f"{side}_volts", lowest_line(volts))
    manufactured = parse_date(variables.get("battery.date", "")) or parse_date(variables.get("battery.mfr.date", ""))
    reading.set_value("battery_age_seconds", None if manufactured is None else now - manufactured)
    _self_test(reading, variables.get("ups.test.result", ""), variables.get("ups.test.date", ""))
    if reading.flags.get("alarm"):
        reading.notes.append(variables.get("ups.alarm", "").strip() or "alarm")
    return reading


def _status(reading: UpsReading, tokens: list[str]) -> None:
    if not tokens or "WAIT" in tokens:
        reading.lost = sentence("upsd's driver has not told the UPS's status yet")
        return
    if "NOCOMM" in tokens or "COMMLOST" in tokens:
        reading.lost = sentence("upsd's driver has lost the UPS; its numbers are old")
    for token, flag in _STATUS.items():
        reading.set_flag(flag, token in tokens)
    reading.flags["alarm"] = "ALARM" in tokens
    if "DISCHRG" in tokens:
        reading.set_flag("discharging", True)
    if not {"OL", "OB", "OFF"} & set(tokens):
        # BYPASS, BOOST, TRIM and the like do not say it by themselves, but they are modes of running on the mains
        reading.flags["mains"] = bool({"BYPASS", "BOOST", "TRIM"} & set(tokens))
        if not reading.flags["mains"]:
            for source in ("mains", "battery", "off"):
                del reading.flags[source]


def _self_test(reading: UpsReading, result: str, date: str) -> None:
    outcome = result.lower()
    if _RUNNING.search(outcome):
        reading.set_flag("testing", True)
    elif _FAILED.search(outcome.replace("no error", "")):
        reading.set_flag("test_passed", False)
    elif _PASSED.search(outcome):
        reading.set_flag("test_passed", True)
    if "test_passed" in reading.flags:
        reading.set_value("self_test_timestamp", parse_date(date))


def _numbers(variables: Mapping[str, str], *names: str) -> list[float]:
    return [value for name in names if (value := parse_number(variables.get(name))) is not None]


def lowest_line(volts: Iterable[float]) -> float | None:
    """Of several lines the lowest that carries anything: rows of lines that are not there are 0."""
    values = list(volts)
    return min((value for value in values if value > 0), default=0.0 if values else None)
