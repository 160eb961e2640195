"""Choose the newest copy of each wanted host and source in a repository shared by many."""

from collections.abc import Callable, Iterable

from agent.backup.facts import MOST_COPIES, BackupCopy, BackupQuery
from inventory.base.forms import one_form
from inventory.protocol.reasons import sentence


def split_name(copy: BackupCopy) -> tuple[str, str, tuple[str, ...]]:
    """(id, host, sources) of a copy whose name has them line by line."""
    snapshot_id, host, *sources = (*one_form(copy.name.decode("utf-8", "replace")).split("\n"), "", "")
    return snapshot_id, host, tuple(sources)


def _covers(source: str, sources: tuple[str, ...]) -> bool:
    return any(path == source or path.startswith(source.rstrip("/") + "/") or source == "/" for path in sources)


def newest_of_each(
    copies: Iterable[BackupCopy],
    query: BackupQuery,
    now: float,
    among: Callable[[str, tuple[str, ...]], bool] = _covers,
) -> tuple[list[BackupCopy], list[str]]:
    """(the newest copies, the stalest of those that are wanted first; what is missing altogether).

    ``among`` says whether a wanted source is one of a snapshot's; for paths: one of them, or above one.
    """
    pairs = [(host, source) for host in query.hosts or ("",) for source in query.sources or ("",)]
    newest: dict[tuple[str, str], BackupCopy] = {}
    for copy in copies:
        if copy.wrong or copy.growing:
            continue
        _, host, sources = split_name(copy)
        for pair in pairs:
            fits = pair[0] in ("", host) and (not pair[1] or among(pair[1], sources))
            if fits and copy.at <= now + 86_400 and (pair not in newest or copy.at > newest[pair].at):
                newest[pair] = copy
    missing: list[str] = [
        sentence("there is no backup of {pair}", pair=_source_text(*pair)) for pair in pairs if pair not in newest
    ]
    return sorted(newest.values(), key=lambda copy: copy.at)[:MOST_COPIES], missing


def _source_text(host: str, source: str) -> str:
    return " of ".join(filter(None, (source, host)))
