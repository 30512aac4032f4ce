"""What the model says: captions of a fixed set of validation pictures in TensorBoard and as a PNG, every epoch."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from PIL import Image
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger
from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]

from showtell.distributed import all_gather
from showtell.files import atomic_write
from showtell.gallery.drawing import Pixels, attention_sheet, caption_card, contact_sheet


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
        sheets = [attention_sheet(s.pixels, looked[s.id][0], looked[s.id][1].numpy(), side=120) for s in shown[:6]]
        self._keep(trainer, contact_sheet(sheets, columns=1), "attention.png", "val/attention")

    def _show(self, trainer: pl.Trainer, shown: Sequence[SamplePicture], captions: Mapping[int, str]) -> None:
        cards = [caption_card(s.pixels, captions[s.id], s.references[0] if s.references else "") for s in shown]
        self._keep(trainer, contact_sheet(cards), "grid.png", "val/captions")
        rows = [f"| {s.id} | {captions[s.id]} | {' / '.join(s.references)} |" for s in shown]
        table = "\n".join(["| picture | generated | references |", "|---|---|---|", *rows])
        for writer in boards(trainer):
            writer.add_text("val/captions", table, logged_at(trainer))

    def _keep(self, trainer: pl.Trainer, sheet: Image.Image, file_name: str, tag: str) -> None:
        with atomic_write(self.directory / file_name) as file:
            sheet.save(file, format="PNG", compress_level=1)  # a third of the time, for a file 8% larger
        for writer in boards(trainer):
            writer.file_writer.add_summary(image_summary(tag, sheet), logged_at(trainer))


def image_summary(tag: str, sheet: Image.Image) -> Any:
    """A picture for TensorBoard, as JPEG.

    `SummaryWriter.add_image` makes a PNG of it, here 2 MB every epoch. Encoding that, and its checksum, which
    TensorBoard computes byte by byte in Python, took longer than all the rest of a validation on a small data set.
    """
    encoded = io.BytesIO()
    sheet.save(encoded, format="JPEG", quality=90, subsampling=0)  # whole colours, for the letters' sake
    image = Summary.Image(width=sheet.width, height=sheet.height, colorspace=3, encoded_image_string=encoded.getvalue())
    return Summary(value=[Summary.Value(tag=tag, image=image)])


def boards(trainer: pl.Trainer) -> list[Any]:
    """TensorBoard's writers of this run."""
    return [logger.experiment for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]


def logged_at(trainer: pl.Trainer) -> int:
    """The step under which Lightning logs the scores of the same validation."""
    return max(0, trainer.global_step - 1)
