"""What a request of an agent says of the machine that it comes from: this boot, this start of the program, its name.

It is a header beside the push, so that two machines with one identity (a copied disk) are told apart and named. An
agent may say there what it likes; it is believed in nothing else.
"""

import re
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote

import msgspec

HEADER: Final = "Haidang-Machine"
MAX_NAME: Final = 64  # characters
_FORM: Final = re.compile(r"([0-9a-f]{8,64}) ([0-9a-f]{8,32}) (\S{0,400})", re.ASCII)


class SendingMachine(msgspec.Struct, frozen=True):
    """``boot`` is this boot's id, ``start`` random for each start of the program; both hex, "" when it said nothing."""

    boot: str = ""
    start: str = ""
    name: str = ""


def machine_text(machine: SendingMachine) -> str:
    """The header's value."""
    return f"{machine.boot} {machine.start} {quote(machine.name[:MAX_NAME], safe='')}"


@lru_cache(maxsize=4_096)  # an agent says the same with every push
def read_machine(text: str) -> SendingMachine:
    """From the header; what is not of its form says nothing. The name has printable characters only."""
    match = _FORM.fullmatch(text)
    if match is None:
        return SendingMachine()
    name = "".join(letter for letter in unquote(match[3], errors="replace") if letter.isprintable())
    return SendingMachine(match[1], match[2], name[:MAX_NAME])
