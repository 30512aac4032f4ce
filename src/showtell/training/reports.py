"""What a run says about itself around the training: what was left out, its words, its pictures, what to type next."""

import json
import math
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from PIL import Image
from pytorch_lightning.callbacks import Callback

from showtell.checkpointing.best import BestCheckpoint
from showtell.config import Config
from showtell.data.augmentation import Rows
from showtell.data.caption_set import CaptionSet
from showtell.data.derived import derived, sealed_write, unsealed
from showtell.data.images import picture_pixels
from showtell.data.module import CaptionData
from showtell.data.paths import stamp
from showtell.data.settings import ShapesDataConfig
from showtell.data.shapes import load_scenes, truth_shares
from showtell.data.shapes.scenes import describe, think_up
from showtell.distributed import all_gather, is_rank_zero
from showtell.evaluation.sums import save_statistics
from showtell.files import atomic_write, short_hash, write_text_atomically
from showtell.gallery.drawing import Pixels, attention_sheet, caption_card, contact_sheet, thumbnail
from showtell.models.scores import Scores
from showtell.processes import program, shortest
from showtell.run import Run
from showtell.run.status import RunStatus
from showtell.text import Vocabulary, tokenizer_of
from showtell.training.board import logged_at, viewers
from showtell.training.sources import Source
from showtell.training.trackers import Tracker


@dataclass(frozen=True)
class SamplePicture:
    """A validation picture that is shown every epoch."""

    id: int
    pixels: Pixels
    references: Sequence[str]


def write_vocabulary(run_dir: Path, vocabulary: Vocabulary, counts: Counter[str], threshold: int) -> None:
    """`vocabulary.txt`, one word per line in order of tokens, and `vocabulary_dropped.txt` with what fell out."""
    kept = set(vocabulary.words)
    dropped = [(word, count) for word, count in counts.most_common() if word not in kept]
    share = 100 * vocabulary.unknown_share(counts)
    head = f"# {len(dropped)} words seen fewer than {threshold} times: {share:.2f}% of all words become <unk>"
    run = Run(run_dir)
    write_text_atomically(run.vocabulary_file, "\n".join(vocabulary.words) + "\n")
    write_text_atomically(
        run.dropped_words_file, "\n".join([head, *(f"{word}\t{count}" for word, count in dropped)]) + "\n"
    )


def build_scores(config: Config, source: Source) -> Scores:
    """The callback that scores the captions of a validation."""
    judge = None
    if config.data.format == "shapes":
        judge = partial(truth_shares, scenes=load_scenes(Path(config.data.root), "val"))
    references = source.references("val")
    assert references is not None
    metrics, form = config.training.metrics, config.data.format
    return Scores(references, lambda: source.references("train"), judge, metrics, source.tokenizer, form)


def imagined_scores(config: Config) -> Scores:
    """The same for captions that nobody wrote, to know what will be logged before any data are there."""
    said: Mapping[int, Sequence[str]] = {number: ["a dog runs", "the dog ran"] for number in range(2)}
    judge = None
    if isinstance(config.data, ShapesDataConfig):
        scenes = [think_up("val", number, config.data.shapes.seed) for number in range(20)]
        said = {number: describe(scene, str(number)) for number, scene in enumerate(scenes)}
        judge = partial(truth_shares, scenes=dict(enumerate(scenes)))
    training = None if config.data.format == "shards" else said
    return Scores(said, lambda: training, judge, tokenizer=tokenizer_of(config.vocab))


def reports(config: Config, run_dir: Path, data: CaptionData, scores: Scores) -> list[Callback]:
    """The callbacks that score and show the captions of a validation."""
    pictures = data.val_pictures()
    if len(pictures) == 1 and "cider" in config.training.monitor and is_rank_zero():
        why = "it is 0 whatever is said, so the last epoch counts as the best; use training.monitor=val/loss"
        print(f"note: {config.training.monitor} tells nothing with one validation picture: {why}")
    chosen = np.linspace(0, len(pictures) - 1, min(config.training.sample_pictures, len(pictures))).astype(int)
    shown = Samples(samples(config, data.val.captions, pictures[chosen]), run_dir)
    return [scores, shown, BestStatistics(scores, Run(run_dir))]


def samples(config: Config, captions: CaptionSet, rows: Rows) -> list[SamplePicture]:
    """The pictures that every epoch shows, with what people said about them."""
    shown = thumbnails([captions.path_names[row] for row in rows], Path(config.cache))
    ids = captions.picture_ids[rows].tolist()
    return [SamplePicture(id, pixels, captions.references[id]) for id, pixels in zip(ids, shown, strict=True)]


def thumbnails(paths: Sequence[str], cache: Path) -> list[Pixels]:
    """Each picture `(h, w, 3)`, its longer side at most 320 pixels; kept, so that a warm start opens no picture."""
    key = short_hash(["\n".join(f"{path}\0{stamp(path)}" for path in paths)])
    file = cache / "thumbnails" / f"{key}.npz"

    def make() -> None:
        with sealed_write(file) as opened:
            np.savez(opened, *(thumbnail(picture_pixels(path)) for path in paths))

    content = derived(file, make, lambda: unsealed(file))
    with np.load(BytesIO(content), allow_pickle=False) as found:
        return [found[f"arr_{i}"] for i in range(len(paths))]


def finish(trainer: pl.Trainer, config: Config, run_dir: Path) -> float:
    """Says what the run reached, and what to type next; returns its best value."""
    status = Run(run_dir).stage_status()
    assert status is not None
    scored = next((one.scored for one in trainer.callbacks if isinstance(one, Scores)), "")  # type: ignore[attr-defined]
    if config.then and status.state == "finished":
        print(f"\n{best_line(status, config.training.monitor, scored)}", flush=True)
    else:
        seen = [one.command for one in trainer.loggers if isinstance(one, Tracker) and one.command]
        print(f"\n{what_next(config, shortest(run_dir), status, trainer.global_step, scored, seen)}")
    return math.nan if status.best is None else status.best


def what_next(
    config: Config, run_dir: Path, status: RunStatus, step: int, scored: str = "", further: Sequence[str] = ()
) -> str:
    """The best value, and the commands that one types after a run; none names a file that is not there."""
    training, best = config.training, status.best
    pictures = "" if best is None else f" Captioned pictures: {run_dir}/predictions/grid.png"
    checkpoint = Run(run_dir).last if best is None else Run(run_dir).best
    cut = 0 < training.max_steps <= step
    longer = f"max_steps={training.max_steps * 2}" if cut else f"max_epochs={training.max_epochs * 2}"
    board = f"{program('tensorboard')} --logdir {shlex.quote(str(run_dir.parent))}"
    watch = [*([board] if "tensorboard" in training.loggers else []), *further]
    return (
        f"{best_line(status, training.monitor, scored)}{pictures}\n\n"
        f"{''.join(f'Watch the curves:   {command}{chr(10)}' for command in watch)}"
        f"Caption pictures:   {program('python')} predict.py {shlex.quote(str(checkpoint))} PICTURE_OR_FOLDER...\n"
        f"Go on training:     {Run(run_dir).command} training.{longer}"
    )


def best_line(status: RunStatus, metric: str, scored: str = "") -> str:
    """The best value in words; `training.max_steps` can end a run before its first validation.

    Where a mean over validations chose the epoch, the metric of that epoch alone is told too.
    """
    if status.best is None:
        return f"No validation has given a {metric} yet."
    about = f" ({scored})" if scored and metric.startswith("val/") else ""
    alone = f", epoch {status.best_epoch}: {metric} {status.metrics[metric]:.4f}" if status.monitor != metric else ""
    return f"{status.monitor} {status.best:.4f} at its best{alone}{about}."


class BestStatistics(Callback):
    """Keeps what each validation picture added to the scores of the best epoch: leaderboards make intervals of it."""

    def __init__(self, scores: Scores, run: Run) -> None:
        self.scores, self.run = scores, run

    def on_train_epoch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Writes; by now it is known whether this epoch is the best."""
        owner = next((one for one in trainer.callbacks if isinstance(one, BestCheckpoint)), None)  # type: ignore[attr-defined]
        epoch, found = trainer.current_epoch + 1, self.scores.statistics
        if trainer.is_global_zero and owner and owner.best.epoch == epoch and found:
            self.run.predictions.mkdir(exist_ok=True)
            save_statistics(self.run.statistics("val"), replace(found, epoch=epoch))


class Samples(Callback):
    """Shows the sample pictures with their captions, and keeps all captions of the last validation.

    Writes `predictions/captions_val.json` (COCO's result format) and `predictions/grid.png` into the run directory.
    """

    def __init__(self, samples: Sequence[SamplePicture], run_dir: Path) -> None:
        self.samples = samples
        self.directory = Run(run_dir).predictions

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Asks the module to keep where it looks in the sample pictures."""
        pl_module.attention_ids = {sample.id for sample in self.samples}  # type: ignore[assignment]

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes files and events."""
        captions: Mapping[int, str] = pl_module.captions  # type: ignore[assignment]
        # every rank has looked at its share of the pictures
        parts: list[Mapping[int, Any]] = all_gather(pl_module.attention)  # type: ignore[arg-type]
        if not trainer.is_global_zero or not captions:
            return
        self.directory.mkdir(exist_ok=True)
        results = [{"image_id": picture, "caption": text} for picture, text in sorted(captions.items())]
        with atomic_write(self.directory / "captions_val.json") as file:
            file.write(json.dumps(results, ensure_ascii=False, indent=0).encode())
        shown = [sample for sample in self.samples if sample.id in captions]
        if shown:
            self._show(trainer, shown, captions)
        looked = {picture: maps for part in parts for picture, maps in part.items()}
        if looked:
            self._show_attention(trainer, [sample for sample in shown if sample.id in looked], looked)

    def _show_attention(self, trainer: pl.Trainer, shown: Sequence[SamplePicture], looked: Mapping[int, Any]) -> None:
        """`predictions/attention.png`, and the same in TensorBoard: each picture word by word."""
        told = [(s.pixels, looked[s.id][0], looked[s.id][1].numpy()) for s in shown[:6]]
        self._keep(contact_sheet([attention_sheet(*one, side=120) for one in told], columns=1), "attention.png")
        small = [attention_sheet(*one, side=120, columns=3, text_size=18) for one in told[:3]]
        for viewer in viewers(trainer):
            viewer.show_picture("val/attention", contact_sheet(small, columns=1), logged_at(trainer))

    def _show(self, trainer: pl.Trainer, shown: Sequence[SamplePicture], captions: Mapping[int, str]) -> None:
        told = [(s.pixels, captions[s.id], s.references[0] if s.references else "") for s in shown]
        self._keep(contact_sheet([caption_card(*one) for one in told]), "grid.png")
        texts = [f"**{captions[s.id]}** ({s.id})\n\n{' / '.join(s.references)}" for s in shown]
        if found := viewers(trainer):
            cards = contact_sheet([caption_card(*one, text_size=26) for one in told], columns=2)
            for viewer in found:
                viewer.show_picture("val/captions", cards, logged_at(trainer))
                viewer.show_text("val/captions", "\n\n---\n\n".join(texts), logged_at(trainer))

    def _keep(self, sheet: Image.Image, file_name: str) -> None:
        with atomic_write(self.directory / file_name) as file:
            sheet.save(file, format="PNG", compress_level=1)  # a third of the time, for a file 8% larger
