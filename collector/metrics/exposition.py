"""The exposition formats: what was asked for, how a family is announced, how a label is written.

Prometheus's text format 0.0.4, and OpenMetrics 1.0 for those who ask for it. The fleet's series are written here and
not by prometheus-client, which takes 1.2 s per 100,000 series.
"""

from typing import Literal

import msgspec

CLASSIC = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


class Format(msgspec.Struct, frozen=True):
    """``openmetrics`` or classic; ``gzip``: whether the body is to be compressed."""

    openmetrics: bool
    gzip: bool

    @property
    def content_type(self) -> str:
        return OPENMETRICS if self.openmetrics else CLASSIC


class Family(msgspec.Struct, frozen=True):
    """One metric. ``name`` as its samples have it; ``help`` one sentence."""

    name: str
    kind: Literal["gauge", "counter", "info"]
    help: str

    def head(self, openmetrics: bool) -> str:
        """The lines before the samples. OpenMetrics names a counter without its suffix, classic with it."""
        name, kind = self.name, self.kind
        if openmetrics and kind == "counter":
            name = name.removesuffix("_total")
        elif kind == "info":
            kind, name = ("info", name.removesuffix("_info")) if openmetrics else ("gauge", name)
        return f"# HELP {name} {self.help}\n# TYPE {name} {kind}\n"


def negotiate(accept: str, accept_encoding: str) -> Format:
    """What to answer to these headers: the first of the accepted types that we have, in the order given."""
    openmetrics = False
    for part in accept.split(","):
        media, *parameters = (word.strip().lower() for word in part.split(";"))
        if media == "text/plain" or media == "*/*":
            break
        if media == "application/openmetrics-text" and not any(word == "version=0.0.1" for word in parameters):
            openmetrics = True
            break
    return Format(openmetrics, _accepts_gzip(accept_encoding))


def _accepts_gzip(accept_encoding: str) -> bool:
    for part in accept_encoding.split(","):
        coding, *parameters = (word.strip().lower() for word in part.split(";"))
        if coding in ("gzip", "*"):
            return not any(word.startswith("q=0") and word.strip("q=0.") == "" for word in parameters)
    return False


def labels(**pairs: str) -> str:
    """``a="b",c="d"``, escaped, ready to stand between braces."""
    return ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in pairs.items())


def seconds(ms: int) -> str:
    """Milliseconds as seconds."""
    return f"{ms / 1000:.15g}"
