"""One thing that ``haidang-agent doctor`` has to say."""

from typing import Literal

import msgspec


class Diagnosis(msgspec.Struct, frozen=True):
    """``wrong`` ends doctor with exit code 1; ``note`` is worth knowing. ``advice``: what to do."""

    level: Literal["ok", "note", "wrong"]
    what: str
    advice: str = ""


def ok(what: str) -> Diagnosis:
    return Diagnosis("ok", what)


def note(what: str, advice: str = "") -> Diagnosis:
    return Diagnosis("note", what, advice)


def wrong(what: str, advice: str) -> Diagnosis:
    return Diagnosis("wrong", what, advice)
