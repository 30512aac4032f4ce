"""What the command line of `predict.py` names: who captions, and which pictures.

Each checkpoint captions, or all of them as an ensemble, with a name and a decoding. Pictures are those that are named
themselves, or those of an annotation file.
"""

import argparse
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from showtell.checkpointing.io import BEST, checkpoint_file
from showtell.checkpointing.pack import is_pack
from showtell.config import ConfigError, DataConfig, DecodingConfig
from showtell.data.annotations import Picture, SplitName
from showtell.data.paths import find_pictures, shown, why_unreadable
from showtell.data.settings import FolderConfig
from showtell.files import PICTURE_SUFFIXES
from showtell.prediction.captioner import Captioned, Captioner, PictureCaptioner
from showtell.prediction.ensemble import Ensemble
from showtell.prediction.options import decoding_from_flags
from showtell.run import Run, runs_below

if TYPE_CHECKING:
    from showtell.evaluation.report import Evaluation


@dataclass(frozen=True)
class NamedModel:
    """A model that captions, and how.

    Attributes:
        label: a short name that no other model has.
        files: its checkpoint, or an ensemble's.
        captioner: the model.
        decoding: how its captions are read off.
        views: of each picture, over which word probabilities are averaged.
    """

    label: str
    files: tuple[Path, ...]
    captioner: PictureCaptioner
    decoding: DecodingConfig
    views: int = 1


@dataclass(frozen=True)
class ModelOutput:
    """What a model said about the pictures that could be read, by picture id, and what that is worth.

    `features` are the average-pooled ones of these pictures, in their order, where they are asked for.
    """

    model: NamedModel
    captioned: Mapping[int, Captioned]
    evaluation: "Evaluation"
    features: NDArray[np.float32] | None = None


def split_arguments(words: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Parts the command line's words into checkpoint files and pictures.

    Checkpoints end in `.ckpt`, packs in `.zip`, or they are run directories; where none does, the first word is meant
    to be one.

    Raises:
        ConfigError: the first word is neither.
    """
    named = [word for word in words if word.endswith(".ckpt") or is_pack(word) or _is_run(Path(word))]
    if not named:
        named = [words[0]]
        refuse_no_checkpoint(Path(words[0]))
    rest = [word for word in words if word not in named]
    foreign = [word for word in rest if re.match(r"(?!data[.=])[a-z_.]+=", word) and not os.path.exists(word)]
    if foreign:
        raise ConfigError(f"{foreign[0]}: train.py has settings, predict.py options such as --beam 5; see --help")
    return [checkpoint_file(Path(word)) for word in named], rest


def refuse_no_checkpoint(path: Path) -> None:
    """Refuses, by a ConfigError, a first word that is a folder without a checkpoint, a picture or nothing."""
    name = shown(path)
    if path.is_dir():
        below = runs_below(path)
        if Run(path).status_file.is_file():
            raise ConfigError(f"{name}: this run has no checkpoint yet; train it: {Run(path).command}")
        held = (
            f"is not a run but a folder that holds {below}" if below else "no run is there; name a run, or a checkpoint"
        )
        raise ConfigError(f"{name}: {held}")
    if path.suffix.lower() in PICTURE_SUFFIXES:
        raise ConfigError(f"{name}: is a picture, and no run is named; name one: predict.py runs/NAME/STAMP {name}")
    if not path.exists():
        raise ConfigError(f"{name}: there is no such run or checkpoint; `ls -d runs/*/*` shows the runs")


def _is_run(path: Path) -> bool:
    try:
        return path.is_dir() and checkpoint_file(path).is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def unfinished_stage(file: Path) -> str:
    """What to know of a checkpoint of a run whose second stage has not come to its end; else empty."""
    own = Run.of(file)
    run = Run(own.directory.parent) if own.is_second else own
    status = run.status()
    if status is None or not status.then or status.state == "finished":
        return ""
    stage = "its second stage is not finished yet" if own.is_second else "only its first stage is there"
    return f"{stage}; go on with: {run.command}"


def load_models(files: Sequence[Path], options: argparse.Namespace) -> list[NamedModel]:
    """Loads the checkpoints; with `--gallery` side by side (and joined as well under `--ensemble`), else joined.

    Raises:
        UserError: a checkpoint that cannot be used, or one given twice; one line.
    """
    labels = short_labels(files)
    models = []
    for label, file in zip(labels, files, strict=True):
        if note := unfinished_stage(file):
            print(f"note: {label}: {note}", file=sys.stderr, flush=True)
        captioner = Captioner.from_checkpoint(file, options.device, options.precision)
        if options.views > 1 and not captioner.configs[0].data.augment.active:
            told = "training changed no pictures; views are crops of 70% or more, with colours changed a little"
            print(f"note: {label}: {told}", file=sys.stderr, flush=True)
        decoding = decoding_from_flags(captioner.configs[0].decoding, options)
        models.append(NamedModel(label, (file,), captioner, decoding, options.views))
    if len(files) == 1:
        return models
    if options.gallery and not options.ensemble:
        return models
    joined = Ensemble([(str(m.files[0]), m.captioner) for m in models if isinstance(m.captioner, Captioner)])
    together = NamedModel("ensemble", tuple(files), joined, models[0].decoding, options.views)
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
    return _differing(["/".join(tail) or part[-1] for tail, part in zip(tails, parts, strict=True)])


def _differing(names: Sequence[str]) -> list[str]:
    """The words in which folders of one sweep differ: `hidden_size-100` of `decoder.hidden_size-100__seed-1`."""
    words = [name.split("__") for name in names]
    common = set.intersection(*map(set, words))
    pairs = [[word.partition("-") for word in one if word not in common] for one in words]
    told = [" ".join(f"{key.rpartition('.')[2]}-{value}" for key, _, value in one) for one in pairs]
    in_one_sweep = all(dash and "/" not in key for one in pairs for key, dash, _ in one) and max(map(len, words)) > 1
    return told if in_one_sweep and all(told) and len(set(told)) == len(names) else list(names)


def _telling_parts(file: Path, *, with_name: bool) -> tuple[str, ...]:
    """The path without what every run has."""
    folders = [part for part in Path(os.path.realpath(file)).parent.parts if part != "checkpoints"]
    return tuple([*folders, file.stem] if with_name else folders)


@dataclass(frozen=True)
class PictureList:
    """Pictures to caption.

    Attributes:
        pictures: in order; without captions where nobody described them.
        problems: a line per picture or argument that cannot be used.
        notes: a line per thing that was left out.
        name: of an annotation file or a split; empty where pictures are named themselves, which have no references.
        split: train, val or test, where one is named.
        form: how the captions are written down, for the signature of scores.
        moved: data that models were trained on, and the same as the command line changed it.
        scenes: the file that says what was drawn, where pictures are.
    """

    pictures: list[Picture]
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    name: str = ""
    split: SplitName | None = None
    form: str = ""
    moved: tuple[DataConfig, DataConfig] | None = None
    scenes: Path | None = None

    @property
    def called(self) -> str:
        """The name in a sentence."""
        return f"the {self.name}" if self.split else self.name


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
    """The pictures of a captions file of any layout, with their references where they have any.

    COCO's and its like have ids; those of other layouts are the places of the pictures in the file.

    Whether each picture is there shows when it is read.

    Raises:
        UserError: the file or the folder cannot be used; one line.
    """
    from showtell.data.formats import read_split  # late: pictures that are named themselves need no format

    reason = why_unreadable(annotations)
    if reason:
        raise ConfigError(f"--annotations {shown(annotations)}: {reason}")
    if not images.is_dir():
        raise ConfigError(f"--images {shown(images)}: no such folder; give the one that the file names start from")
    file, folder = str(annotations.resolve()), str(images.resolve())
    config = FolderConfig(
        name=annotations.stem,
        root=".",
        train_annotations="none",  # the file is read whole, and divided among no splits
        val_annotations=file,
        train_images=folder,
        val_images=folder,
    )
    split = read_split(config, "val", check_files=False, undescribed=True)
    return PictureList(split.pictures, notes=split.skipped, name=annotations.name, form=split.layout)


def coco_id(path: Path) -> int | None:
    """397133 for `COCO_val2014_000000397133.jpg` and `000000397133.jpg`."""
    digits = path.stem.rpartition("_")[2]
    return int(digits) if digits.isascii() and digits.isdigit() else None
