"""`python -m showtell.data COMMAND`: tools for data sets that need neither a model nor Hydra."""

import sys
from importlib import import_module

from showtell.config.plugins import take_plugins
from showtell.config.reference import close
from showtell.errors import USER_ERROR, UserError, one_line_errors

COMMANDS = {
    "fetch": "showtell.data.fetch.command",
    "check": "showtell.data.check",
    "show": "showtell.gallery.show",
    "stores": "showtell.data.features.stores",
    "shards": "showtell.data.shards.command",
}
"""Modules with a `main(arguments)`, imported when they are asked for: some take seconds."""


USAGE = f"""\
usage: python -m showtell.data {{{",".join(COMMANDS)}}} ...

Tools for data sets; `python -m showtell.data COMMAND --help` explains each.
"""


def main(arguments: list[str]) -> int:
    """Runs the command that the first argument names; 2 if there is none of this name, or for a user's mistake."""
    try:
        command, *rest = take_plugins(arguments) or [""]
        if command in COMMANDS:
            code: int = import_module(COMMANDS[command]).main(rest)
            return code
        if command in ("--help", "-h", "help"):
            print(USAGE, end="")
            return 0
        alike = close(command, COMMANDS)
        remedy = f"did you mean {alike}?" if alike else f"choose one of {', '.join(COMMANDS)}"
        raise UserError(f"{f'{command}: there is no such command' if command else 'no command is named'}; {remedy}")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
    return USER_ERROR


if __name__ == "__main__":
    with one_line_errors():
        sys.exit(main(sys.argv[1:]))
