"""How much room feature stores take, told before the first picture is encoded, and refused where it is not there."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from showtell.data.features.dtypes import StoreError
from showtell.data.features.request import StoreRequest
from showtell.files import size

Wanted = tuple[Sequence[StoreRequest], tuple[int, ...]]
"""Stores of one encoder, and the shape of its features."""


def room_in_words(root: Path, wanted: Sequence[Wanted]) -> list[str]:
    """What is to be built of the stores of each encoder, and the room that it takes; nothing where it is all there.

    Raises:
        StoreError: together they do not fit on the disk.
    """
    missing = [[one.num_bytes(shape) - present(one.directory(root)) for one in requests] for requests, shape in wanted]
    needed = sum(map(sum, missing))
    if not needed:
        return []
    root.mkdir(parents=True, exist_ok=True)
    free, remedies = shutil.disk_usage(root).free, _smaller(wanted)
    if needed > free:
        raise no_room(root, f"the features need {size(needed)} more and {size(free)} are free", remedies)
    hint = f"; less with {' or '.join(remedies)}" if remedies and needed > free / 2 else ""
    return [
        f"{_told(one, lacking)}: {size(sum(lacking))} in {root}, {size(free)} are free{hint}"
        for one, lacking in zip(wanted, missing, strict=True)
        if sum(lacking)
    ]


def _told(wanted: Wanted, missing: Sequence[int]) -> str:
    counts = {"pictures": 0, "changed ones": 0}
    for one, lacking in zip(wanted[0], missing, strict=True):
        counts["pictures" if one.augmentation is None else "changed ones"] += one.rows if lacking else 0
    shape = " x ".join(f"{side:,}" for side in wanted[1])
    rows = " and ".join(f"{count:,} {kind}" for kind, count in counts.items() if count)
    return f"{rows}, each {shape} {wanted[0][0].dtype}"


def present(directory: Path) -> int:
    """The bytes that a store's features have on the disk by now."""
    features = directory / "features.bin"
    return features.stat().st_size if features.is_file() else 0


def no_room(directory: Path, what: str, remedies: Sequence[str] = ()) -> StoreError:
    """A disk that is too small; the remedies make the store smaller."""
    every = ["make room", *(f"set {one}" for one in remedies), "set cache=DIR to another disk"]
    return StoreError(f"{directory}: {what}; {', '.join(every)}, or train from pictures with features=off")


def _smaller(wanted: Sequence[Wanted]) -> list[str]:
    pooled = any(len(shape) == 2 and shape[0] > 49 for _, shape in wanted)
    stored = [one for requests, _ in wanted for one in requests]
    found = ["encoder.pooling=grid:7"] if pooled else []
    found += ["a smaller features.views"] if any(one.views > 1 for one in stored) else []
    return found if stored[0].dtype == "int8" else [*found, "features.dtype=int8"]
