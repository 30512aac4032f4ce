"""What the command line of `predict.py` names: who captions, and which pictures.

Each checkpoint captions, or all of them as an ensemble, with a name and a decoding. Pictures are those that are named
themselves, or those of an annotation file.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from showtell.checkpointing.io import BEST, checkpoint_file
from showtell.config import ConfigError, DataConfig, DecodingConfig
from showtell.data.annotations import Picture
from showtell.data.formats import read_split
from showtell.data.paths import find_pictures, shown, why_unreadable
from showtell.prediction.captioner import Captioned, Captioner, Ensemble, PictureCaptioner
from showtell.prediction.evaluate import Evaluation
from showtell.prediction.options import decoding_from_flags


@dataclass(frozen=True)
class NamedModel:
    """A model that captions, and how.

    Attributes:
        label: a short name that no other model has.
        files: its checkpoint, or an ensemble's.
        captioner: the model.
        decoding: how its captions are read off.
    """

    label: str
    files: tuple[Path, ...]
    captioner: PictureCaptioner
    decoding: DecodingConfig


@dataclass(frozen=True)
class ModelOutput:
    """What a model said about the pictures that could be read, by picture id, and what that is worth."""

    model: NamedModel
    captioned: Mapping[int, Captioned]
    evaluation: Evaluation


def split_arguments(words: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Parts the command line's words into checkpoint files and pictures.

    The first word is always a checkpoint; others are when they end in `.ckpt` or are run directories.
    """
    named = [i for i, word in enumerate(words) if i == 0 or word.endswith(".ckpt") or _is_run(Path(word))]
    checkpoints = [checkpoint_file(Path(words[i])) for i in named]
    return checkpoints, [word for i, word in enumerate(words) if i not in named]


def _is_run(path: Path) -> bool:
    try:
        return checkpoint_file(path).is_file() and path.is_dir()
    except (OSError, ValueError):  # a name that no file can have
        return False


def load_models(files: Sequence[Path], options: argparse.Namespace) -> list[NamedModel]:
    """Loads the checkpoints; with `--gallery` side by side (and joined as well under `--ensemble`), else joined.

    Raises:
        UserError: a checkpoint that cannot be used, or one given twice; one line.
    """
    labels = short_labels(files)
    models = []
    for label, file in zip(labels, files, strict=True):
        captioner = Captioner.from_checkpoint(file, options.device)
        decoding = decoding_from_flags(captioner.configs[0].decoding, options)
        models.append(NamedModel(label, (file,), captioner, decoding))
    if len(files) == 1:
        return models
    if options.gallery and not options.ensemble:
        return models
    joined = Ensemble([(str(m.files[0]), m.captioner) for m in models if isinstance(m.captioner, Captioner)])
    together = NamedModel("ensemble", tuple(files), joined, models[0].decoding)
    return [*models, together] if options.gallery else [together]


def short_labels(files: Sequence[Path]) -> list[str]:
    """What tells the checkpoints apart: `lstm512/2026-01-01` for `runs/lstm512/2026-01-01/checkpoints/best.ckpt`.

    Raises:
        ConfigError: one checkpoint is given twice.
    """
    only_best = all(file.name == BEST for file in files)
    parts = [_telling_parts(file, with_name=not only_best) for file in files]
    twice = next((file for i, file in enumerate(files) if parts[i] in parts[:i]), None)
    if twice is not None:
        raise ConfigError(f"{twice} is given twice; name each checkpoint once")
    if len(files) == 1:
        return ["/".join(parts[0][-2:])]
    common = 0
    while len({part[: common + 1] for part in parts}) == 1:
        common += 1
    tails = [part[common:] for part in parts]
    while all(len(tail) > 1 for tail in tails) and len({tail[-1] for tail in tails}) == 1:
        tails = [tail[:-1] for tail in tails]
    return ["/".join(tail) or part[-1] for tail, part in zip(tails, parts, strict=True)]


def _telling_parts(file: Path, *, with_name: bool) -> tuple[str, ...]:
    """The path without what every run has."""
    folders = [part for part in file.resolve().parent.parts if part != "checkpoints"]
    return tuple([*folders, file.stem] if with_name else folders)


@dataclass(frozen=True)
class PictureList:
    """Pictures to caption.

    Attributes:
        pictures: in order; without captions where nobody described them.
        problems: a line per picture or argument that cannot be used.
        notes: a line per thing that was left out.
    """

    pictures: list[Picture]
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def plain_pictures(words: Sequence[str], *, recursive: bool = False) -> PictureList:
    """The pictures that files, folders and patterns mean.

    Names that end in digits, as COCO's do, give the ids; else the pictures are numbered from 1.
    """
    found = find_pictures(words, recursive=recursive)
    ids = [number for path in found.paths if (number := coco_id(path)) is not None]
    if len(set(ids)) < len(found.paths):
        ids = list(range(1, len(found.paths) + 1))
    pictures = [Picture(number, path, ()) for number, path in zip(ids, found.paths, strict=True)]
    return PictureList(pictures, found.problems, found.notes)


def annotated_pictures(annotations: Path, images: Path) -> PictureList:
    """The pictures of a captions file in COCO's format, with its ids and their references.

    Whether each picture is there shows when it is read.

    Raises:
        UserError: the file or the folder cannot be used; one line.
    """
    reason = why_unreadable(annotations)
    if reason:
        raise ConfigError(f"--annotations {shown(annotations)}: {reason}")
    if not images.is_dir():
        raise ConfigError(f"--images {shown(images)}: no such folder; give the one that the file names start from")
    config = DataConfig(
        name=annotations.stem,
        format="coco",
        root=".",
        val_annotations=str(annotations.resolve()),
        val_images=str(images.resolve()),
    )
    split = read_split(config, "val", check_files=False)
    return PictureList(split.pictures, notes=split.skipped)


def coco_id(path: Path) -> int | None:
    """397133 for `COCO_val2014_000000397133.jpg` and `000000397133.jpg`."""
    digits = path.stem.rpartition("_")[2]
    return int(digits) if digits.isascii() and digits.isdigit() else None
