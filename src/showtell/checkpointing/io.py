"""Saving and loading checkpoints: the one function that opens a checkpoint file, and the one that writes it.

Nothing here imports Lightning, which prediction does not need; its hook is `VerifiedCheckpointIO` in `last.py`.
Whatever is saved must be loadable by plain `torch.load(weights_only=True)`; that is checked before the old file is
replaced. Every file carries the key `showtell` with the format's number, so that older, newer and foreign files each
get their own sentence.
"""

import errno
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

import torch

from showtell.checkpointing import archive
from showtell.checkpointing.archive import CheckpointError, DamagedError
from showtell.files import TRAILER_BYTES, atomic_write
from showtell.run import Run

STAMP = "showtell"
FORMAT_VERSION = 1
SUFFIX = ".ckpt"
LAST = "last" + SUFFIX
BEST = "best" + SUFFIX
# what torch.load raises where a file is torn, by where
_UNREADABLE = (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError, TypeError, AttributeError)
# what older releases called them
RENAMED_WEIGHTS = {"average.": "ema.", "tuned.": "finetuned.", "tuned_average.": "finetuned_ema."}


def save_checkpoint(checkpoint: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Writes a checkpoint atomically, with a checksum, stamped with the format's number.

    Raises:
        WriteError: the disk is full or a permission is missing; the old file is kept.
        CheckpointError: the checkpoint holds more than tensors and plain containers; the old file is kept.
    """
    stamped = {**checkpoint, STAMP: {**checkpoint.get(STAMP, {}), "format": FORMAT_VERSION}}
    with atomic_write(path, "wb+") as file:
        writer = archive.ChecksumWriter(file)
        try:
            torch.save(stamped, cast(IO[bytes], writer))
        except RuntimeError as error:  # torch hides the disk's error behind its own "unexpected pos"
            cause = error.__cause__ or error.__context__
            raise (cause if isinstance(cause, OSError) else _blame_the_disk(file.fileno(), error)) from error
        writer.finish()
        file.flush()
        archive.check_archive(file, os.fspath(path), file.seek(0, os.SEEK_END) - TRAILER_BYTES)
        file.seek(0, os.SEEK_END)


def load_checkpoint(
    path: str | os.PathLike[str], map_location: str | torch.device | Callable[..., Any] | None = "cpu"
) -> dict[str, Any]:
    """Opens a checkpoint that Showtell wrote: local, intact, of a known format; nothing in it is run.

    Raises:
        CheckpointError: everything else, in one line. `DamagedError` when the file is torn or rotten.
    """
    name = os.fspath(path)
    with archive.open_local(path) as file:
        has_checksum = archive.check_bytes(file, name)
        end = os.fstat(file.fileno()).st_size - (TRAILER_BYTES if has_checksum else 0)
        archive.check_archive(file, name, end)
        file.seek(0)
        try:
            content = torch.load(file, map_location=map_location, weights_only=True)
        except _UNREADABLE as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
            raise DamagedError(f"the checkpoint {name} is unreadable ({reason}); use another one") from None
    _check_stamp(content, name, has_checksum)
    return _migrated(dict(content))


def _check_stamp(content: object, name: str, has_checksum: bool) -> None:
    if not isinstance(content, dict) or not isinstance(content.get(STAMP), dict):
        kind = "holds no Showtell checkpoint"
        if isinstance(content, dict) and content and all(isinstance(value, torch.Tensor) for value in content.values()):
            kind = "is a bare state_dict: weights without configuration and vocabulary"
        elif isinstance(content, dict) and "pytorch-lightning_version" in content:
            kind = "is a Lightning checkpoint of another program"
        raise CheckpointError(f"{name} {kind}; pass a checkpoint that a Showtell run wrote")
    found = content[STAMP].get("format")
    if not isinstance(found, int) or found < 1:
        raise CheckpointError(f"{name} has the unknown format {found!r}; pass a checkpoint that a Showtell run wrote")
    if found > FORMAT_VERSION:
        raise CheckpointError(
            f"{name} has format {found}, this Showtell knows up to {FORMAT_VERSION}; upgrade Showtell"
        )
    if found < FORMAT_VERSION:
        raise CheckpointError(
            f"{name} has the old format {found}, this Showtell reads {FORMAT_VERSION}; use the release that wrote it"
        )
    if not has_checksum:
        raise DamagedError(f"the checkpoint {name} lost its checksum: it is rotten or was saved again; use another one")


def _migrated(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Today's names of weights, and one owner of "best" where two callbacks kept it."""
    weights, states = checkpoint.get("state_dict"), checkpoint.get("callbacks")
    if isinstance(weights, dict):
        checkpoint = {**checkpoint, "state_dict": {_renamed(name): value for name, value in weights.items()}}
    best = states.get("BestCheckpoint") if isinstance(states, dict) else None
    if isinstance(states, dict) and isinstance(best, dict) and "best_score" in best:
        value, status = best["best_score"], states.get("Status")
        same = isinstance(status, dict) and value is not None and status.get("best") == value
        metrics = status.get("metrics", {}) if isinstance(status, dict) and same else {}
        one = {"monitor": best["monitor"], "value": value, "metrics": metrics, "epoch": None}
        checkpoint = {**checkpoint, "callbacks": {**states, "BestCheckpoint": one}}
    return _without_early_stopping(checkpoint)


def _without_early_stopping(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """The epochs without a better one are counted by the owner of "best"; Lightning's callback did so before."""
    states = checkpoint.get("callbacks")
    old = [key for key in states if str(key).startswith("EarlyStopping")] if isinstance(states, dict) else []
    if not isinstance(states, dict) or not old or not isinstance(states.get("BestCheckpoint"), dict):
        return checkpoint
    waited = states[old[0]].get("wait_count", 0) if isinstance(states[old[0]], dict) else 0
    kept = {key: state for key, state in states.items() if key not in old}
    return {**checkpoint, "callbacks": {**kept, "BestCheckpoint": {**states["BestCheckpoint"], "waited": waited}}}


def _renamed(name: object) -> object:
    if not isinstance(name, str):
        return name
    head, dot, rest = name.partition(".")
    return RENAMED_WEIGHTS.get(head + dot, head + dot) + rest


def checkpoint_file(path: Path) -> Path:
    """The checkpoint that a path names; of a run directory the best one, or the last where no best is chosen yet.

    Of a run in two stages it is the second one's, once there is one.
    """
    if not path.is_dir():
        return path
    if Run(path).second.has_checkpoint:
        return checkpoint_file(Run(path).second.directory)
    folder = path / "checkpoints" if (path / "checkpoints").is_dir() else path
    best = folder / BEST
    return best if best.is_file() else folder / LAST


def newest_good_checkpoint(directory: str | os.PathLike[str]) -> tuple[Path, list[str]]:
    """The checkpoint to go on from: `last.ckpt`, or if it is damaged the newest undamaged other one.

    Damaged files are skipped and named; so are files of a newer format.

    Returns:
        The path, and one line per skipped file.

    Raises:
        CheckpointError: there is no good checkpoint.
    """
    files = sorted(Path(directory).glob("*" + SUFFIX), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    files.sort(key=lambda path: path.name != LAST)  # stable: the rest stays ordered by age
    good: list[tuple[int, Path]] = []
    skipped: list[str] = []
    for path in files:
        try:
            step = int(load_checkpoint(path).get("global_step", 0))
        except CheckpointError as error:
            skipped.append(str(error))
            continue
        if path.name == LAST:
            return path, skipped
        good.append((step, path))
    if not good:
        hint = f" ({len(skipped)} unusable: {skipped[0].partition(';')[0]})" if skipped else ""
        raise CheckpointError(
            f"{os.fspath(directory)} holds no usable checkpoint{hint}; restore one, or start a new run"
        )
    return max(good, key=lambda found: found[0])[1], skipped


def _blame_the_disk(descriptor: int, error: RuntimeError) -> Exception:
    """The disk's error when the disk is full (torch reports a wrong position only), otherwise torch's own."""
    state = os.fstatvfs(descriptor)
    if state.f_bavail * state.f_frsize < archive.CHUNK:
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return error
