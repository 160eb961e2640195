"""rsnapshot: rotating trees (``daily.0``, ``daily.1``, ``weekly.0`` …), the newest touched when its run ended.

Each run's tree holds one folder a backup point; a point that the run before had and the newest has not did not
come along.
"""

import re
import stat
from typing import Final

from agent.backup import place
from agent.backup.facts import BackupCopy, BackupFacts, BackupQuery, RepositoryLock
from agent.backup.repositories.files import RepositoryDirectory
from inventory.base.forms import one_form
from inventory.protocol.reasons import sentence

_TREE: Final = re.compile(r"([A-Za-z][A-Za-z0-9]*)\.(\d+)")
_LEFTOVER: Final = re.compile(r"_delete\.\d+")


def scan(query: BackupQuery, now: float) -> BackupFacts:
    """The trees, newest first. Raises Refused."""
    facts = BackupFacts(now=now)
    with RepositoryDirectory(query) as tree:
        trees: list[tuple[float, str]] = []
        for name, status in tree.entries():
            if not stat.S_ISDIR(status.st_mode):
                continue
            if _TREE.fullmatch(name):
                trees.append((status.st_mtime, name))
            elif _LEFTOVER.fullmatch(name):
                facts.locks.append(RepositoryLock(name, status.st_mtime))
        trees.sort(key=lambda item: (-int(item[0]), int(item[1].rpartition(".")[2])))  # it writes whole seconds
        facts.count = len(trees)
        points = {name: set(map(one_form, _points(tree, name))) for _, name in trees[:2]}
        for at, name in trees[:40]:
            wrong = sentence("is empty") if name in points and not points[name] else ""
            facts.copies.append(BackupCopy(name=name.encode(), at=at, future=max(0.0, at - now), wrong=wrong))
        expected = set(query.sources or query.hosts)
        if not expected and len(trees) > 1:
            expected = points[trees[1][1]]
        if trees and (gone := sorted(expected - points[trees[0][1]])):
            words = sentence("{trees} lacks {gone}", trees=trees[0][1], gone=", ".join(gone[:3]))
            if len(gone) > 3:
                words = sentence("{so} and {gone} more", so=words, gone=len(gone) - 3)
            (facts.missing if query.sources or query.hosts else facts.notes).append(words)
    return facts


def _points(tree: RepositoryDirectory, name: str) -> set[str]:
    """The backup points of one tree that hold anything."""
    return {
        place.path_text(point)
        for point, status in tree.entries(name)
        if not stat.S_ISDIR(status.st_mode) or next(tree.entries(f"{name}/{point}"), None) is not None
    }
