"""How much room feature stores take, told before the first picture is encoded, and refused where it is not there."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from showtell.data.feature_dtypes import StoreError
from showtell.data.store_request import StoreRequest
from showtell.files import size


def room_in_words(root: Path, requests: Sequence[StoreRequest], feature_shape: tuple[int, ...]) -> str:
    """What is to be built of the stores of an encoder, and the room that it takes; empty where it is all there.

    Raises:
        StoreError: together they do not fit on the disk.
    """
    missing = [one.num_bytes(feature_shape) - present(one.directory(root)) for one in requests]
    needed, dtype = sum(missing), requests[0].dtype
    if not needed:
        return ""
    root.mkdir(parents=True, exist_ok=True)
    free, remedies = shutil.disk_usage(root).free, _smaller(requests, feature_shape)
    if needed > free:
        raise no_room(root, f"the features need {size(needed)} more and {size(free)} are free", remedies)
    counts = {"pictures": 0, "changed ones": 0}
    for one, num_bytes in zip(requests, missing, strict=True):
        counts["pictures" if one.augmentation is None else "changed ones"] += one.rows if num_bytes else 0
    rows = " and ".join(f"{count:,} {kind}" for kind, count in counts.items() if count)
    shape = " x ".join(f"{side:,}" for side in feature_shape)
    hint = f"; less with {' or '.join(remedies)}" if remedies and needed > free / 2 else ""
    return f"{rows}, each {shape} {dtype}: {size(needed)} in {root}, {size(free)} are free{hint}"


def present(directory: Path) -> int:
    """The bytes that a store's features have on the disk by now."""
    features = directory / "features.bin"
    return features.stat().st_size if features.is_file() else 0


def no_room(directory: Path, what: str, remedies: Sequence[str] = ()) -> StoreError:
    """A disk that is too small; the remedies make the store smaller."""
    every = ["make room", *(f"set {one}" for one in remedies), "set cache=DIR to another disk"]
    return StoreError(f"{directory}: {what}; {', '.join(every)}, or train from pictures with features=off")


def _smaller(requests: Sequence[StoreRequest], feature_shape: tuple[int, ...]) -> list[str]:
    pooled = ["encoder.pooling=grid:7"] if len(feature_shape) == 2 and feature_shape[0] > 49 else []
    views = ["a smaller features.views"] if any(one.views > 1 for one in requests) else []
    return [*pooled, *views, *([] if requests[0].dtype == "int8" else ["features.dtype=int8"])]
