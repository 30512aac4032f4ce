"""The feature stores of a cache: listed and deleted by `python -m showtell.data stores`."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from showtell.config.arguments import Parser
from showtell.data.features.rows import ABOUT
from showtell.errors import UserError
from showtell.files import parsed_json


@dataclass(frozen=True)
class StoreFacts:
    """What is known about a store without opening its features; `key` is the end of its folder's name."""

    directory: Path
    about: dict[str, Any]
    num_bytes: int
    complete: bool

    @classmethod
    def of(cls, directory: Path) -> "StoreFacts":
        """What a folder says of itself."""
        try:
            about = parsed_json((directory / ABOUT).read_text(encoding="utf-8"))
            about = {"pictures": int(about["pictures"]), "made": str(about["made"]), **about}
        except (OSError, ValueError, LookupError, TypeError):  # the next run mends it
            about = {"pictures": 0, "made": "damaged", "name": ""}
        features = directory / "features.bin"
        size = features.stat().st_size if features.is_file() else 0
        return cls(directory, about, size, (directory / "complete").is_file())

    @property
    def key(self) -> str:
        """The hash that tells the store from others."""
        return self.directory.name.rpartition("-")[2]


def list_stores(cache: Path) -> list[StoreFacts]:
    """The stores under `cache/features`, by name; folders that are none are passed over."""
    return [StoreFacts.of(file.parent) for file in sorted((cache / "features").glob("*/about.json"))]


def delete_store(store: StoreFacts) -> bool:
    """Deletes a store, renamed first so that a run never finds half of one; False if a process is building it."""
    doomed = store.directory.with_name(f"deleted-{store.directory.name}")
    try:
        with FileLock(store.directory / "lock", timeout=0):
            store.directory.rename(doomed)
    except Timeout:
        return False
    shutil.rmtree(doomed)
    return True


def main(arguments: list[str]) -> int:
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
        pictures, made = store.about["pictures"], store.about["made"]
        print(f"{name:{width}}  {store.key}  {pictures:9,}  {store.num_bytes / 1e6:9,.1f}  {made:19}  {state}")
