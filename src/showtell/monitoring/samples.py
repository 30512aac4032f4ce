"""What the model says: captions of a fixed set of validation pictures in TensorBoard and as a PNG, every epoch."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger

from showtell.atomic import atomic_write
from showtell.drawing import Pixels, attention_sheet, caption_card, contact_sheet
from showtell.ranks import from_all


@dataclass(frozen=True)
class SamplePicture:
    """A validation picture that is shown every epoch."""

    id: int
    pixels: Pixels
    references: Sequence[str]


class Samples(Callback):
    """Shows the sample pictures with their captions, and keeps all captions of the last validation.

    Writes `predictions/captions_val.json` (COCO's result format) and `predictions/grid.png` into the run directory.
    """

    def __init__(self, samples: Sequence[SamplePicture], run_dir: Path) -> None:
        self.samples = samples
        self.directory = run_dir / "predictions"

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Asks the module to keep where it looks in the sample pictures."""
        pl_module.watched = {sample.id for sample in self.samples}  # type: ignore[assignment]

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes files and events."""
        captions: Mapping[int, str] = pl_module.captions  # type: ignore[assignment]
        # every rank has looked at its share of the pictures
        parts: list[Mapping[int, Any]] = from_all(pl_module.attention)  # type: ignore[arg-type]
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
        sheets = [attention_sheet(s.pixels, looked[s.id][0], looked[s.id][1].numpy(), side=120) for s in shown[:6]]
        sheet = contact_sheet(sheets, columns=1)
        with atomic_write(self.directory / "attention.png") as file:
            sheet.save(file, format="PNG")
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                writer: Any = logger.experiment
                writer.add_image("val/attention", np.asarray(sheet), logged_at(trainer), dataformats="HWC")

    def _show(self, trainer: pl.Trainer, shown: Sequence[SamplePicture], captions: Mapping[int, str]) -> None:
        cards = [caption_card(s.pixels, captions[s.id], s.references[0] if s.references else "") for s in shown]
        sheet = contact_sheet(cards)
        with atomic_write(self.directory / "grid.png") as file:
            sheet.save(file, format="PNG")
        rows = [f"| {s.id} | {captions[s.id]} | {' / '.join(s.references)} |" for s in shown]
        table = "\n".join(["| picture | generated | references |", "|---|---|---|", *rows])
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                writer: Any = logger.experiment
                step = logged_at(trainer)
                writer.add_image("val/captions", np.asarray(sheet), step, dataformats="HWC")
                writer.add_text("val/captions", table, step)


def logged_at(trainer: pl.Trainer) -> int:
    """The step under which Lightning logs the scores of the same validation."""
    return max(0, trainer.global_step - 1)
