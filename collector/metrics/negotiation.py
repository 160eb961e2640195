"""What a scraper is answered with: content negotiation over the formats that there are, as RFC 9110 has it."""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import msgspec

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class Format(msgspec.Struct, frozen=True):
    openmetrics: bool  # else Prometheus's text format
    gzip: bool  # whether the body is to be compressed

    @property
    def content_type(self) -> str:
        return OPENMETRICS if self.openmetrics else TEXT


class NotAcceptable(Exception):
    """The asker refuses every format that there is."""


class _Range(NamedTuple):
    """One element of an Accept header, such as ``text/*;q=0.5``."""

    name: str
    parameters: Mapping[str, str]
    quality: float


class _Rank(NamedTuple):
    """How much an offer is wanted. The greater the better."""

    quality: float
    specificity: int
    position: int  # of the range, from the end: the first is the greatest


def negotiate(accept: str, accept_encoding: str) -> Format:
    """The format wanted most; the text format where the header says nothing. Raises NotAcceptable."""
    ranges = list(_ranges(accept))
    if not ranges:
        return Format(False, _prefers_gzip(accept_encoding))
    text, openmetrics = _rank(TEXT, ranges), _rank(OPENMETRICS, ranges)
    best = max(text, openmetrics)
    if not best.quality:
        raise NotAcceptable(f"there are {TEXT} and {OPENMETRICS}")
    return Format(openmetrics > text, _prefers_gzip(accept_encoding))


def _rank(offer: str, ranges: list[_Range]) -> _Rank:
    """By the most specific range that an offer falls into; of equals the first counts."""
    offered = next(_ranges(offer))
    matches = [
        _Rank(wanted.quality, specificity, -position)
        for position, wanted in enumerate(ranges)
        if (specificity := _specificity(wanted, offered))
    ]
    return max(matches, key=lambda rank: rank[1:], default=_Rank(0.0, 0, 0))


def _specificity(wanted: _Range, offered: _Range) -> int:
    """0 where the range does not hold the offer. Parameters that an offer does not have (``escaping``) ask nothing."""
    family = offered.name.partition("/")[0]
    try:
        level = ("*/*", f"{family}/*", offered.name).index(wanted.name) + 1
    except ValueError:
        return 0
    shared = wanted.parameters.keys() & offered.parameters.keys()
    if any(wanted.parameters[name] != offered.parameters[name] for name in shared):
        return 0
    return level * 10 + len(shared)


def _prefers_gzip(accept_encoding: str) -> bool:
    qualities = {coding.name: coding.quality for coding in reversed(list(_ranges(accept_encoding)))}
    gzip = qualities.get("gzip", qualities.get("*", 0.0))
    return gzip > 0 and gzip >= qualities.get("identity", 0.0)


def _ranges(header: str) -> Iterator[_Range]:
    """The elements of the header; one whose quality is no number is left out."""
    for element in header.lower().split(","):
        name, *pairs = (part.strip() for part in element.split(";"))
        parameters = {
            key.strip(): value.strip().strip('"') for key, _, value in (pair.partition("=") for pair in pairs)
        }
        try:
            quality = float(parameters.pop("q", "1"))
        except ValueError:
            continue
        if name and 0 <= quality <= 1:
            yield _Range(name, parameters, quality)
