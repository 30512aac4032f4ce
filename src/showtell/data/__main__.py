"""`python -m showtell.data COMMAND`: tools for data sets that need neither a model nor Hydra."""

import sys

from showtell.config.plugins import take_plugins
from showtell.data import check, stores
from showtell.data.shards import command
from showtell.errors import one_line_errors

COMMANDS = {"check": check.main, "stores": stores.main, "shards": command.main}


def main(arguments: list[str]) -> int:
    """Runs the command that the first argument names; 2 if there is none of this name. All take `--plugins DIR`."""
    with one_line_errors():
        arguments = take_plugins(arguments)
    if not arguments or arguments[0] not in COMMANDS:
        print(f"usage: python -m showtell.data {{{','.join(COMMANDS)}}} ...", file=sys.stderr)
        return 2
    return COMMANDS[arguments[0]](arguments[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
