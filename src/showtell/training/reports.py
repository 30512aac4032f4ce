"""What a run says about itself around the training: what was left out, its words, its pictures, what to type next."""

import math
import os
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger

from showtell.config import Config
from showtell.config.reference import natures
from showtell.config.setting import flat
from showtell.data.augmentation import Rows
from showtell.data.caption_set import CaptionSet
from showtell.data.images import read_picture
from showtell.data.module import CaptionData
from showtell.data.paths import stamp
from showtell.data.shapes import load_scenes, truth_shares
from showtell.files import atomic_write, short_hash, write_text_atomically
from showtell.gallery.drawing import Pixels, thumbnail
from showtell.models.scores import Scores
from showtell.run import Run
from showtell.text import Vocabulary
from showtell.training.samples import SamplePicture, Samples


def write_vocabulary(run_dir: Path, vocabulary: Vocabulary, counts: Counter[str], threshold: int) -> None:
    """`vocabulary.txt`, one word per line in order of tokens, and `vocabulary_dropped.txt` with what fell out."""
    kept = set(vocabulary.words)
    dropped = [(word, count) for word, count in counts.most_common() if word not in kept]
    lost, total = sum(count for _, count in dropped), sum(counts.values())
    share = 100 * lost / max(1, total)
    head = f"# {len(dropped)} words seen fewer than {threshold} times: {share:.2f}% of all words become <unk>"
    write_text_atomically(run_dir / "vocabulary.txt", "\n".join(vocabulary.words) + "\n")
    write_text_atomically(
        run_dir / "vocabulary_dropped.txt",
        "\n".join([head, *(f"{word}\t{count}" for word, count in dropped)]) + "\n",
    )


def reports(config: Config, run_dir: Path, data: CaptionData) -> list[Callback]:
    """The callbacks that score and show the captions of a validation."""
    judge = None
    if config.data.format == "shapes":
        judge = partial(truth_shares, scenes=load_scenes(Path(config.data.root), "val"))
    pictures = data.val_pictures()
    chosen = np.linspace(0, len(pictures) - 1, min(config.training.sample_pictures, len(pictures))).astype(int)
    train, val = data.train, data.val.captions
    return [
        Scores(val.references, lambda: train.references, judge, config.training.metrics),
        Samples(samples(config, val, pictures[chosen]), run_dir),
    ]


def samples(config: Config, captions: CaptionSet, rows: Rows) -> list[SamplePicture]:
    """The pictures that every epoch shows, with what people said about them."""
    shown = thumbnails([captions.path_names[row] for row in rows], Path(config.cache))
    ids = captions.picture_ids[rows].tolist()
    return [SamplePicture(id, pixels, captions.references[id]) for id, pixels in zip(ids, shown, strict=True)]


def thumbnails(paths: Sequence[str], cache: Path) -> list[Pixels]:
    """Each picture `(h, w, 3)`, its longer side at most 320 pixels; kept, so that a warm start opens no picture."""
    key = short_hash(["\n".join(f"{path}\0{stamp(path)}" for path in paths)])
    file = cache / "thumbnails" / f"{key}.npz"
    if not file.is_file():
        pictures = [thumbnail(read_picture(path).permute(1, 2, 0).numpy()) for path in paths]
        with atomic_write(file) as opened:
            np.savez(opened, *pictures)
    with np.load(file, allow_pickle=False) as found:
        return [found[f"arr_{i}"] for i in range(len(paths))]


def finish(trainer: pl.Trainer, config: Config, run_dir: Path) -> float:
    """Notes the run's best value beside its hyper-parameters, and says what to type next."""
    status = Run(run_dir).status()
    assert status is not None
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            final = {
                f"val_best/{name.removeprefix('val/').replace('/', '_')}": value
                for name, value in status.metrics.items()
            }
            logger.log_hyperparams(hyperparameters(config), final)
            logger.save()
    print(f"\n{what_next(config, shortest(run_dir), status.best, trainer.global_step)}")
    return math.nan if status.best is None else status.best


def what_next(config: Config, run_dir: Path, best: float | None, step: int) -> str:
    """The best value, and the commands that one types after a run; none names a file that is not there."""
    training = config.training
    pictures = "" if best is None else f" Captioned pictures: {run_dir}/predictions/grid.png"
    checkpoint = run_dir / "checkpoints" / ("last.ckpt" if best is None else "best.ckpt")
    cut = 0 < training.max_steps <= step
    longer = f"max_steps={training.max_steps * 2}" if cut else f"max_epochs={training.max_epochs * 2}"
    watch = f"Watch the curves:   {program('tensorboard')} --logdir {run_dir.parent}\n"
    return (
        f"{best_line(training.monitor, best)}{pictures}\n\n"
        f"{watch if 'tensorboard' in training.loggers else ''}"
        f"Caption pictures:   {program('python')} predict.py {checkpoint} PICTURE_OR_FOLDER...\n"
        f"Go on training:     {program('python')} train.py resume={run_dir} training.{longer}"
    )


def program(name: str) -> str:
    """A program of this environment as one types it: its bare name where that is the one found."""
    own = Path(sys.executable).with_name(name)
    return name if shutil.which(name) == str(own) or not own.is_file() else str(shortest(own))


def shortest(path: Path) -> Path:
    """A path to type: relative where it lies under the working directory."""
    path = Path(os.path.abspath(path))
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def best_line(monitor: str, value: float | None) -> str:
    """The best value in words; `training.max_steps` can end a run before its first validation."""
    return f"{monitor} {value:.4f} at its best." if value is not None else f"No validation has given a {monitor} yet."


def hyperparameters(config: Config) -> dict[str, Any]:
    """What people vary and compare, by the names of the command line."""
    values = flat(config.as_dict())
    told = natures(values)
    return {key: value for key, value in values.items() if told[key].hyperparameter and key in told}
