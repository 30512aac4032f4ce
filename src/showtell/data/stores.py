"""`python -m showtell.data stores`: lists the feature stores of a cache, and deletes them.

A store is deleted by renaming its folder first, so that a run never finds half of one; a store that is being built is
left alone.
"""

import argparse
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from showtell.errors import UserError


@dataclass(frozen=True)
class StoreFacts:
    """What is known about a store without opening its features; `key` is the end of its folder's name."""

    directory: Path
    pictures: int
    num_bytes: int
    made: str
    complete: bool

    @property
    def key(self) -> str:
        """The hash that tells the store from others."""
        return self.directory.name.rpartition("-")[2]


def list_stores(cache: Path) -> list[StoreFacts]:
    """The stores under `cache/features`, by name; folders that are none are passed over."""
    found = sorted(path.parent for path in (cache / "features").glob("*/about.json"))
    return [_facts(directory) for directory in found]


def delete_store(store: StoreFacts) -> bool:
    """Deletes a store; False if a process is building it."""
    doomed = store.directory.with_name(f"deleted-{store.directory.name}")
    try:
        with FileLock(store.directory / "lock", timeout=0):
            store.directory.rename(doomed)
    except Timeout:
        return False
    shutil.rmtree(doomed)
    return True


def main(arguments: list[str]) -> int:
    """Lists, or deletes what is named; 1 if a store is being built.

    Raises:
        UserError: something named is not there.
    """
    parser = argparse.ArgumentParser(prog="python -m showtell.data stores", description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path("cache"), help="the `cache` of the configuration")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--delete", nargs="+", default=[], metavar="KEY", help="keys or names as they are listed")
    what.add_argument("--all", action="store_true", help="delete all stores")
    options = parser.parse_args(arguments)
    stores = list_stores(options.cache)
    if not options.delete and not options.all:
        _print(stores, options.cache)
        return 0
    wanted = set(options.delete)
    if unknown := wanted - {name for store in stores for name in (store.key, store.directory.name)}:
        raise UserError(f"{min(unknown)}: there is no such store in {options.cache}/features")
    code = 0
    for store in stores:
        if options.all or {store.key, store.directory.name} & wanted:
            done = delete_store(store)
            code = code or int(not done)
            print(f"{'deleted' if done else 'kept, a process is building it:'} {store.directory}")
    return code


def _facts(directory: Path) -> StoreFacts:
    about = json.loads((directory / "about.json").read_text(encoding="utf-8"))
    features = directory / "features.bin"
    size = features.stat().st_size if features.is_file() else 0
    return StoreFacts(directory, about["pictures"], size, about["made"], (directory / "complete").is_file())


def _print(stores: list[StoreFacts], cache: Path) -> None:
    if not stores:
        print(f"no feature store in {cache}/features")
        return
    width = max(len(store.directory.name) for store in stores) - 17
    print(f"{'name':{width}}  {'key':16}  {'pictures':>9}  {'MB':>9}  {'made':19}  complete")
    for store in stores:
        name = store.directory.name[: -len(store.key) - 1]
        state = "yes" if store.complete else "no"
        print(
            f"{name:{width}}  {store.key}  {store.pictures:9,}  {store.num_bytes / 1e6:9,.1f}  {store.made:19}  {state}"
        )
