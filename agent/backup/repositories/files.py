"""Read small files of a repository, by names that are known, under one open directory."""

import os
import stat
from collections.abc import Iterator

from agent.backup import place
from agent.backup.facts import BackupQuery, BackupRefused, RepositoryLock
from inventory.protocol.reasons import sentence


class RepositoryDirectory:
    """A repository's directory, open. Nothing in it is followed out of it."""

    def __init__(self, query: BackupQuery) -> None:
        self.path = query.path
        self._top = place.open_directory(query.path, query.allowed)
        self.inside = place.real_roots(query.allowed) if query.allowed else (place.real_path(self._top),)

    def __enter__(self) -> "RepositoryDirectory":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._top)

    def has(self, name: str) -> bool:
        try:
            place.stat_file(name, self._top, self.inside)
        except (OSError, place.PathEscapes):
            return False
        return True

    def open(self, name: str) -> int:
        """A descriptor. Raises OSError, place.LeadsOut."""
        return place.open_file(name, self._top, self.inside)

    def names(self, folder: str = "") -> list[str]:
        """What a folder has, sorted; nothing where there is none. Raises Refused when it cannot be read."""
        return sorted(name for name, _ in self.entries(folder))

    def entries(self, folder: str = "") -> Iterator[tuple[str, os.stat_result]]:
        """(name, what it is) of plain files and directories; links are passed over. Raises Refused."""
        try:
            opened = os.open(
                folder or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._top
            )
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise BackupRefused(
                sentence(
                    "{path}/{folder} cannot be looked at: {error}",
                    path=self.path,
                    folder=folder,
                    error=place.error_text(error),
                )
            ) from None
        try:
            with os.scandir(opened) as listing:
                for entry in listing:
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode):
                        yield entry.name, status
        except OSError as error:
            raise BackupRefused(
                sentence(
                    "{path}/{folder} cannot be looked at: {error}",
                    path=self.path,
                    folder=folder,
                    error=place.error_text(error),
                )
            ) from None
        finally:
            os.close(opened)

    def locks(self, folder: str) -> list[RepositoryLock]:
        """Files of a folder of locks."""
        return [
            RepositoryLock(f"{folder}/{place.path_text(name[:16])}", status.st_mtime)
            for name, status in self.entries(folder)
        ]
