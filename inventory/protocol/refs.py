"""A reference to one thing: its kind and its id as one value.

Roots of causes (``wan:LINK``), elements on the way of a check (``gateway:SITE``) and problems (``down:UID``) are such.
Text only at the edge: it is printed by ``str`` for the store, the API and mails, and read by :meth:`Ref.parse`.
"""

from typing import NamedTuple


class Ref(NamedTuple):
    """Frozen, ordered as its text is."""

    kind: str
    id: str  # of a problem it may have parts of its own: GOAL:WINDOW

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"

    @classmethod
    def parse(cls, text: str) -> "Ref":
        kind, _, ident = text.partition(":")
        return cls(kind, ident)
