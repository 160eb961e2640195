"""Check formats by their own programs, where this machine has them: 7z archives, PostgreSQL custom dumps."""

import re
from typing import Final

from agent.backup import commands
from agent.backup.integrity.meter import BrokenCopy, CannotVerify, MeteredFile
from inventory.protocol.reasons import sentence

SEVENZIP: Final = b"7z\xbc\xaf\x27\x1c"
POSTGRES: Final = b"PGDMP"
LONGEST: Final = 12 * 3600.0  # seconds


def seven_zip(source: MeteredFile) -> int | None:
    """7-Zip's own test; the bytes that came out, if it says. Raises Broken, Cannot."""
    program = commands.find_program("7zz", "7z", "7za", "7zr")
    if program is None:
        raise CannotVerify(sentence("this machine has no 7z to read it with; install p7zip or 7zip"))
    # a password that is none: an encrypted archive fails instead of asking
    result = _run(source, program, "t", "-bd", "-y", "-p-", "-mmt=1", _path(source))
    if result.code == 0:
        said = result.out.decode("utf-8", "replace")
        size = re.search(r"^Size:\s+(\d+)", said, re.MULTILINE)
        return int(size[1]) if size else 0 if re.search(r"^No files to process", said, re.MULTILINE) else None
    output = result.words + result.out.decode("utf-8", "replace")
    if re.search(r"Wrong password|encrypted", output):
        raise CannotVerify(sentence("it is encrypted: its content cannot be judged"))
    if "allocate" in output:
        raise CannotVerify(sentence("to unpack it takes more memory than a read may have"))
    lines = [
        line.strip() for line in output.splitlines() if re.match(r"(ERROR|ERRORS|Unexpected|Data Error)", line.strip())
    ]
    words = next((line for line in lines if not line.endswith(":")), result.last_error)
    raise BrokenCopy(
        sentence("7z finds it damaged: {it}", it=words.replace(_path(source), "the file").removeprefix("ERROR: "))
    )


def postgres_dump(source: MeteredFile) -> None:
    """Header, then every table's data unpacked by pg_restore, to nowhere. Raises Broken, Cannot."""
    header = source.read_at(0, min(source.size, 11))
    if len(header) < 11 or header[5] != 1:
        raise BrokenCopy(sentence("its header makes no sense"))
    program = commands.find_program("pg_restore")
    if program is None:
        raise CannotVerify(sentence("this machine has no pg_restore to read it with; install postgresql-client"))
    for words in (("--list",), ("--file=/dev/null",)):
        result = _run(source, program, "--format=custom", *words, _path(source), quiet=True)
        if result.code == 0:
            continue
        if "unsupported version" in result.words:
            raise CannotVerify(sentence("it was made by a newer PostgreSQL than this machine's pg_restore"))
        if "out of memory" in result.words:
            raise CannotVerify(sentence("to unpack it takes more memory than a read may have"))
        if "not built with" in result.words or "compression is not supported" in result.words:
            raise CannotVerify(sentence("this machine's pg_restore does not know its compression"))
        raise BrokenCopy(
            sentence("pg_restore finds it damaged: {it}", it=result.last_error.removeprefix("pg_restore: error: "))
        )


def second_opinion(source: MeteredFile, kind: str) -> str:
    """The program that reads all of an archive (zip, tar) which our own reading finds broken, or ""."""
    path = _path(source)
    for name, *words in _SECOND[kind]:
        program = commands.find_program(name)
        if program is None:
            continue
        try:
            result = _run(source, program, *(word.replace("FILE", path) for word in words), quiet=True)
        except CannotVerify:
            continue
        if result.code == 0 or (result.code == 1 and name in _WARNS):
            return name
    return ""


# to nowhere: members are tested, or written to a pipe that is thrown away
_SECOND: Final = {
    "zip": (
        ("7zz", "t", "-bd", "-y", "-p-", "FILE"),
        ("7z", "t", "-bd", "-y", "-p-", "FILE"),
        ("unzip", "-tqq", "FILE"),
    ),
    # not bsdtar, which passes over what is damaged and ends as if all had come out
    "tar": (("tar", "-xOf", "FILE"),),
}
_WARNS: Final = frozenset({"unzip"})  # exit code 1: all came out, with a warning


def _path(source: MeteredFile) -> str:
    return f"/proc/self/fd/{source.descriptor}"


def _run(source: MeteredFile, *argv: str, quiet: bool = False) -> commands.CommandResult:
    while source.read():
        pass  # at the rate that is allowed; the program then finds most of it in memory
    source.offset = 0
    try:
        return commands.run(
            argv, seconds=LONGEST, descriptors=(source.descriptor,), quiet=quiet, tick=lambda: source.meter.consume(0)
        )
    except commands.CommandTimeout:
        raise CannotVerify(sentence("reading it took more than {longest:n} hours", longest=LONGEST / 3600)) from None
    except commands.CommandOutputTooLarge:
        raise CannotVerify(sentence("its program said too much")) from None
    except OSError as error:
        raise CannotVerify(sentence("its program does not start: {error}", error=error.strerror)) from None
