"""The feature stores of a cache: listed and deleted by `python -m showtell.data stores`."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from showtell.data.feature_store import ABOUT


@dataclass(frozen=True)
class StoreFacts:
    """What is known about a store without opening its features; `key` is the end of its folder's name."""

    directory: Path
    pictures: int
    num_bytes: int
    made: str
    complete: bool

    @classmethod
    def of(cls, directory: Path) -> "StoreFacts":
        """What a folder says of itself."""
        about = json.loads((directory / ABOUT).read_text(encoding="utf-8"))
        features = directory / "features.bin"
        size = features.stat().st_size if features.is_file() else 0
        return cls(directory, about["pictures"], size, about["made"], (directory / "complete").is_file())

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
