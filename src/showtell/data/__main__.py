"""`python -m showtell.data COMMAND`: tools for data sets that need neither a model nor Hydra."""

import sys
from pathlib import Path

from showtell.config.arguments import Parser
from showtell.config.plugins import take_plugins
from showtell.config.reference import close
from showtell.data import check
from showtell.data.fetch import command as fetching
from showtell.data.shards import command
from showtell.data.stores import StoreFacts, delete_store, list_stores
from showtell.errors import USER_ERROR, UserError, one_line_errors
from showtell.gallery import show


def stores(arguments: list[str]) -> int:
    """Lists the feature stores of a cache, or deletes what is named; 1 if a process is building one of these.

    Raises:
        UserError: something named is not there.
    """
    parser = Parser(
        prog="python -m showtell.data stores", description="List the feature stores of a cache, or delete some."
    )
    parser.add_argument("--cache", type=Path, default=Path("cache"), help="the `cache` of the configuration")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--delete", nargs="+", default=[], metavar="KEY", help="keys or names as they are listed")
    what.add_argument("--all", action="store_true", help="delete all stores")
    options = parser.parse_args(arguments)
    found = list_stores(options.cache)
    if not options.delete and not options.all:
        _print(found, options.cache)
        return 0
    wanted = set(options.delete)
    if unknown := wanted - {name for store in found for name in (store.key, store.directory.name)}:
        raise UserError(f"{min(unknown)}: there is no such store in {options.cache}/features")
    code = 0
    for store in found:
        if options.all or {store.key, store.directory.name} & wanted:
            done = delete_store(store)
            code = code or int(not done)
            print(f"{'deleted' if done else 'kept, a process is building it:'} {store.directory}")
    return code


def _print(found: list[StoreFacts], cache: Path) -> None:
    if not found:
        print(f"no feature store in {cache}/features")
        return
    width = max(len(store.directory.name) for store in found) - 17
    print(f"{'name':{width}}  {'key':16}  {'pictures':>9}  {'MB':>9}  {'made':19}  complete")
    for store in found:
        name = store.directory.name[: -len(store.key) - 1]
        state = "yes" if store.complete else "no"
        print(
            f"{name:{width}}  {store.key}  {store.pictures:9,}  {store.num_bytes / 1e6:9,.1f}  {store.made:19}  {state}"
        )


COMMANDS = {
    "fetch": fetching.main,
    "check": check.main,
    "show": show.main,
    "stores": stores,
    "shards": command.main,
}


USAGE = f"""\
usage: python -m showtell.data {{{",".join(COMMANDS)}}} ...

Tools for data sets; `python -m showtell.data COMMAND --help` explains each.
"""


def main(arguments: list[str]) -> int:
    """Runs the command that the first argument names; 2 if there is none of this name, or for a user's mistake."""
    try:
        command, *rest = take_plugins(arguments) or [""]
        if command in COMMANDS:
            return COMMANDS[command](rest)
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
