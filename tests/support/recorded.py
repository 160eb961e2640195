"""What the program wrote at earlier versions: tests/data/recorded, with what it holds."""

import json
from pathlib import Path
from typing import Any, Final

from tests.support.paths import ROOT

V1: Final = ROOT / "tests" / "data" / "recorded" / "v1"


class Exchange:
    """A request and its answer, as they went over the network."""

    def __init__(self, entry: dict[str, Any]) -> None:
        self.entry = entry
        self.number: int = entry["n"]
        self.path: str = entry["path"]
        self.status: int = entry["status"]
        self.request = _bytes(entry, "request_body")
        self.response = _bytes(entry, "response_body")
        self.media_type: str = entry.get("response_headers", {}).get("content-type", "")
        self.ack: dict[str, Any] | None = entry.get("ack")

    def __repr__(self) -> str:
        return f"{self.number:02}-{self.path.rpartition('/')[2]}"


def _bytes(entry: dict[str, Any], name: str) -> bytes:
    return (V1 / "wire" / entry[name]).read_bytes() if name in entry else b""


def exchanges() -> list[Exchange]:
    """All of them, in order."""
    return list(map(Exchange, json.loads((V1 / "wire" / "manifest.json").read_text("utf-8"))["exchanges"]))


def results(exchange: Exchange, every: list[Exchange]) -> list[list[Any]]:
    """The results of its push: check, boot ms, state, latency, measures, reason."""
    held: Any = exchange.entry.get("holds", {}).get("results", [])
    while isinstance(held, dict):
        held = every[held["as_of_exchange"]].entry["holds"]["results"]
    assert isinstance(held, list)
    return held


def read_json(path: str) -> Any:
    return json.loads((V1 / path).read_text("utf-8"))


def spool(name: str) -> Path:
    """An agent's state directory, to be copied."""
    return V1 / "spool" / name
