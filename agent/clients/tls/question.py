"""What the process that asks about a certificate's revocation is told, and what it answers."""

from typing import Any

import msgspec


class StapleQuestion(msgspec.Struct, frozen=True):
    """What the process is told."""

    address: str
    port: int
    name: str  # for SNI
    chain: tuple[bytes, ...]  # of the certificate that was judged, leaf first, with its issuers; DER
    seconds: float  # to take at most
    now: float  # seconds since the epoch
    ask: bool = False  # the responder or the CRL, where nothing is stapled
    networks: tuple[str, ...] = ()  # that these may be in; empty: any
    ports: tuple[int, ...] = ()


class StapleAnswer(msgspec.Struct):
    """``known``: somebody said that the certificate is not revoked. ``notes``: what a person may want to know."""

    state: int = 0
    reason: Any = ""
    known: bool = False
    notes: tuple[Any, ...] = ()
