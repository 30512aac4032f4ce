"""What `resume=` points at, and whether going on from there makes sense.

Each setting says of itself what becomes of a resume with another value (`Setting.on_resume`). Some make the checkpoint
meaningless (another vocabulary, other layers, another encoder): refused. Some leave it meaningful, but the run is no
longer the one that was interrupted, bit for bit (batch size, seed, precision): accepted, and said. The rest (how long,
where to log, how to decode) is free.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from showtell.checkpointing.archive import CheckpointError
from showtell.checkpointing.io import load_checkpoint, newest_good_checkpoint
from showtell.checkpointing.lightning_internals import validation_is_due
from showtell.checkpointing.metadata import checked_metadata
from showtell.config import restore
from showtell.config.plugins import check_origins
from showtell.config.reference import traits
from showtell.config.setting import flat, spelled
from showtell.errors import UserError

CHECKPOINTS = "checkpoints"


class ResumeError(UserError):
    """A run that cannot be resumed in this way; one line names setting, values and remedy."""


def find_checkpoint(resume: str | Path) -> tuple[Path, list[str]]:
    """The checkpoint that `resume=` means: a run directory, or a checkpoint file in one.

    Returns:
        The path, and lines to print: each damaged file that was skipped, and what is taken instead.

    Raises:
        ResumeError: nothing to resume from, or the named file is unusable and has no good neighbour.
    """
    path = Path(resume)
    try:
        if path.is_dir():
            return _newest(path / CHECKPOINTS)
        try:
            load_checkpoint(path)
            return path, []
        except CheckpointError as error:
            if not path.is_file():
                raise
            return _newest(path.parent, str(error))
    except CheckpointError as error:
        raise ResumeError(f"resume={str(resume)!r}: {error}") from None


@dataclass(frozen=True)
class ResumePoint:
    """A checkpoint to go on from: where it lies, its epoch and optimizer step, and what it tells about itself."""

    path: Path
    epoch: int
    step: int
    validation_due: bool
    metadata: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def accept(self, metadata: Mapping[str, Any]) -> None:
        """Compares with the run that is to go on, and prints what makes it no longer exactly the interrupted one.

        Raises:
            ResumeError: the checkpoint makes no sense in that run.
        """
        try:
            notes = self._compare(metadata)
        except ResumeError as error:
            raise ResumeError(f"{self.path}: {error}") from None
        for note in notes:
            print(f"note: {note}", flush=True)

    def _compare(self, metadata: Mapping[str, Any]) -> list[str]:
        notes = check_origins(self.metadata.get("plugins", []), self.path)
        notes += check_resume(self.metadata["config"], metadata["config"])
        check_identity("vocabulary", _hash(self.metadata["vocabulary"]), _hash(metadata["vocabulary"]))
        check_identity("encoder's weights", self.metadata["encoder"]["sha256"][:16], metadata["encoder"]["sha256"][:16])
        _check_data(self.metadata["data"], metadata["data"])
        notes += check_processor(self.metadata.get("processor"), metadata["processor"])
        check_identity("shape of features", str(self.metadata["feature_shape"]), str(metadata["feature_shape"]))
        length = metadata["config"]["training"]["max_epochs"]
        if length < self.epoch:
            raise ResumeError(f"training.max_epochs={length}: {self.epoch} epochs are done; ask for more of them")
        return notes


def find_resume_point(resume: str | Path) -> ResumePoint:
    """What `resume=` means, loaded and checked; says so where a damaged file was passed over.

    Raises:
        ResumeError: there is nothing to resume from.
    """
    path, lines = find_checkpoint(resume)
    for line in lines:
        print(f"note: {line}", flush=True)
    checkpoint = load_checkpoint(path)
    metadata = checked_metadata(checkpoint, path)
    metadata["config"] = restore(metadata["config"]).as_dict()  # what an older version did not have has its default
    try:
        shapes = {name: tuple(value.shape) for name, value in checkpoint["state_dict"].items()}
        epoch, step = int(checkpoint["epoch"]), int(checkpoint["global_step"])
        return ResumePoint(path, epoch, step, validation_is_due(checkpoint), metadata, shapes)
    except (KeyError, TypeError, ValueError):
        raise ResumeError(f"{path} holds a model but no state of training; start a new run from it") from None


def _check_data(old: str, new: str) -> None:
    """Compares names and sizes, and behind a dash the contents, of which older checkpoints do not tell."""
    (named, _, content), (new_named, _, new_content) = old.partition("-"), new.partition("-")
    check_identity("data set", named, new_named)
    if content and new_content and content != new_content:
        raise ResumeError(
            "the pictures (or shards) have the names and sizes that they had, but not the content; restore them or "
            "start a new run"
        )


def _hash(words: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(words).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _newest(directory: Path, *already: str) -> tuple[Path, list[str]]:
    path, skipped = newest_good_checkpoint(directory)
    lines = list(dict.fromkeys([*already, *skipped]))
    return path, [*lines, f"resuming from {path} instead"] if lines else []


def check_resume(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Compares the configuration in a checkpoint with the one that is to go on, both nested.

    Returns:
        One line per setting because of which the resumed run is not exactly the interrupted one.

    Raises:
        ResumeError: a setting without which the checkpoint has no meaning differs.
    """
    before, after = flat(old), flat(new)
    told = traits(before.keys() | after.keys(), after)
    changed = [key for key in sorted(told) if before.get(key) != after.get(key)]
    for key in changed:
        switched = told[key].on_resume == "switch" and bool(before.get(key)) != bool(after.get(key))
        # a plateau's state is no other schedule's
        switched |= key == "training.schedule" and "plateau" in (before.get(key), after.get(key))
        if switched or told[key].on_resume == "refuse":
            raise ResumeError(
                f"{key}={after.get(key)!r} does not fit the checkpoint, which has {before.get(key)!r}; "
                f"set {key}={spelled(before.get(key))} or start a new run"
            )
    stretched = after.get("training.schedule") == "cosine"
    free = {"ignore"} if stretched else {"ignore", "length"}
    return [
        f"{key} was {before.get(key)!r} and is {after.get(key)!r}: the resumed run is not exactly the interrupted one"
        for key in changed
        if told[key].on_resume not in free
    ]


def check_processor(old: object, new: str) -> list[str]:
    """A line where the processor is of another kind, and rounds in another way; older checkpoints do not tell."""
    if not isinstance(old, str) or old == new:
        return []
    return [f"the processor was {old[:80]!r} and is {new!r}: the resumed run is not exactly the interrupted one"]


def check_identity(name: str, old: str, new: str) -> None:
    """Refuses to go on when a fingerprint (vocabulary, data set, encoder weights) is another one.

    Raises:
        ResumeError: it is.
    """
    if old != new:
        raise ResumeError(
            f"the {name} is not the one of the checkpoint ({new}, not {old}); restore it or start a new run"
        )
