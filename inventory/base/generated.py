"""The command of a module that makes a file of the repository from the code: write it, or say that it is stale."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path


def write_or_check(module: str, file: Path, render: Callable[[], str], argv: Sequence[str] | None = None) -> int:
    """``python -m MODULE [--check]``; the exit code."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=f"Write {file.name}, from the code.")
    parser.add_argument("--check", action="store_true", help="only say whether the file is stale (exit code 1)")
    checking = parser.parse_args(argv).check
    text = render()
    if not checking:
        file.write_text(text, "utf-8")
        return 0
    if file.exists() and file.read_text("utf-8") == text:
        return 0
    print(f"{file} is stale: run python -m {module}", file=sys.stderr)
    return 1
