"""``haidang-alerts``: preview the mails, test the delivery channels, make rules for Prometheus.

Exit codes: 0 fine, 1 something is wrong, 2 the command was not understood. Each command is a module of its own, loaded
when it is asked for, with ``add_arguments(parser)`` and ``run(arguments) -> exit code``. One that raises
argparse.ArgumentError was misunderstood.
"""

import argparse
import importlib
import os
import sys
from typing import Final

from inventory.base.problems import Invalid
from inventory.base.version import VERSION

COMMANDS: Final = {
    "preview": ("alerts.cli.preview", "Show the mails that people would get, made of an inventory's real names."),
    "test": ("alerts.cli.delivery_test", "Send a trial mail by every way out and say what became of it."),
    "rules": (
        "alerts.rules.prometheus",
        "Print rules for Prometheus: the collector's own death, and goals that burn too fast.",
    ),
}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="haidang-alerts",
        description="Mails about incidents, and rules for Prometheus.",
        epilog="haidang-alerts COMMAND --help says more. "
        + " ".join(f"{name}: {words}" for name, (_, words) in COMMANDS.items()),
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {VERSION}")
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help=" | ".join(COMMANDS))
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="the command's own")
    args = parser.parse_args(argv)
    module, words = COMMANDS[args.command]
    command = importlib.import_module(module)
    command_parser = argparse.ArgumentParser(prog=f"haidang-alerts {args.command}", description=words)
    command.add_arguments(command_parser)
    try:
        code: int = command.run(command_parser.parse_args(args.arguments))
    except argparse.ArgumentError as usage:
        command_parser.error(str(usage))
    except Invalid as invalid:
        print(invalid, file=sys.stderr)
        code = 1
    except BrokenPipeError:
        # the reader of our output has enough; keep the interpreter from complaining about it at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    return code


if __name__ == "__main__":
    sys.exit(main())
