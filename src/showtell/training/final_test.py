"""`training.test=true`: the test split is scored once, at the end of training, with the best checkpoint.

A run is finished when this is done: one that is stopped in it, or killed, scores when it is resumed. The test pictures
are encoded like all others, before training begins, so a sweep encodes them once. Ranks caption a share each, and rank
0 scores them all.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from showtell.checkpointing.io import checkpoint_file, load_checkpoint
from showtell.checkpointing.stop import GracefulStop
from showtell.config import Config
from showtell.data.loading import FixedLoader, PictureBatches
from showtell.data.module import test_plan
from showtell.distributed import all_gather, broadcast, get_ranks, is_rank_zero
from showtell.errors import UserError
from showtell.evaluation.diversity import caption_forms
from showtell.evaluation.report import Evaluation, evaluate, figures, footnotes, scores_content
from showtell.evaluation.sums import Statistics, save_statistics
from showtell.files import write_json
from showtell.models.module import CaptionModule
from showtell.run import Run
from showtell.terminal import Progress
from showtell.training.sources import Source

Row = dict[str, Any]


class FinalTest(Callback):
    """Scores the test split when training has come to its end; comes before `Status`, which then says so.

    Writes `RUN/test.scores.json` and `RUN/predictions/captions_test.json` (COCO's result format), logs `test/...`.

    Args:
        config: the run.
        run_dir: its directory.
        source: of its data.

    Raises:
        UserError: no picture can be read.
    """

    def __init__(self, config: Config, run_dir: Path, source: Source) -> None:
        test = source.test
        if test.unreadable.all():
            raise UserError(f"data={config.data.name}: no test picture can be read, e.g. {test.captions.path_names[0]}")
        self.config = config
        self.run = Run(run_dir)
        self.test = test
        self.train = source.train
        self.num_workers = source.num_workers
        self.tokenizer = source.tokenizer

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Captions, scores, writes, logs and prints, unless a search has given the run up."""
        if any(getattr(callback, "pruned", None) for callback in trainer.callbacks):  # type: ignore[attr-defined]
            return
        assert isinstance(pl_module, CaptionModule)
        file = broadcast(checkpoint_file(self.run.directory))
        with weights_of(file, pl_module, trainer.strategy.root_device):
            own = self._captions(trainer, pl_module)
        rows = {picture: row for part in all_gather(own) for picture, row in part.items()}
        if is_rank_zero():
            self._report(trainer, [rows[picture] for picture in sorted(rows)], file)

    def _captions(self, trainer: pl.Trainer, module: CaptionModule) -> dict[int, Row]:
        """This rank's share of the captions, by picture id, as rows of a file of scores."""
        captions, plan = self.test.captions, test_plan(self.test.unreadable, self.config.training)
        pictures = PictureBatches(captions.picture_ids, self.test.images)
        loader = FixedLoader(pictures, plan, self.num_workers, get_ranks())
        paths = dict(zip(captions.picture_ids.tolist(), captions.path_names, strict=True))
        found: dict[int, Row] = {}
        with Progress("captioning the test split", len(loader), "batches", shown=is_rank_zero()) as progress:
            for batch in loader:
                with trainer.precision_plugin.forward_context():  # as validation captions
                    hypotheses = module.caption(batch["images"].to(module.device))
                for picture, (best, *_) in zip(batch["picture_ids"].tolist(), hypotheses, strict=True):
                    caption = module.vocabulary.decode(best.tokens)
                    row = {"image_id": picture, "file_name": Path(paths[picture]).name, "caption": caption}
                    found[picture] = {**row, "log_prob": best.log_prob}
                progress.count()
                self._heed_signals(trainer)
        return found

    def _heed_signals(self, trainer: pl.Trainer) -> None:
        """Stops all ranks when one was told to."""
        for stop in (one for one in trainer.callbacks if isinstance(one, GracefulStop)):  # type: ignore[attr-defined]
            wanted = next((signal for signal in all_gather(stop.signal) if signal), None)
            if wanted:
                stop.signal = stop.signal or wanted
                raise SystemExit("the test split is not scored yet; a resume scores it")

    def _report(self, trainer: pl.Trainer, rows: list[Row], file: Path) -> None:
        training = self.train.references
        texts = () if training is None else (text for said in training.values() for text in said)
        forms = None if training is None else caption_forms(texts, self.tokenizer)
        captions = {row["image_id"]: row["caption"] for row in rows}
        named = f"test split of {self.config.data.name}", "test"
        found = evaluate(
            captions, self.test.references, named, forms, self.config.training.metrics,
            tokenizer=self.tokenizer, form=self.config.data.format,
        )  # fmt: skip
        results = [{"image_id": picture, "caption": caption} for picture, caption in captions.items()]
        self.run.predictions.mkdir(exist_ok=True)
        write_json(self.run.predictions / "captions_test.json", results)
        about = self.run.directory.name, [file], self.config.decoding
        if found.pictures:
            statistics = Statistics(np.array(list(found.pictures)), found.sums, found.signature)
            save_statistics(self.run.statistics("test"), statistics)
        write_json(self.run.test_scores, scores_content(found, rows, *about))
        for logger in trainer.loggers:
            scores = {f"test/{name}": value for name, value in found.scores.items()}
            logger.log_metrics(scores, step=max(0, trainer.global_step - 1))
            logger.save()
        print("\n".join(self._lines(found, file)), flush=True)

    def _lines(self, found: Evaluation, file: Path) -> list[str]:
        scores = [f"{name:8} {value}" for name, value in figures({"": found})[: len(found.scores)]]
        notes = [f"note: {note}" for note in found.notes]
        head = f"\n{found.subject} ({file.name}; each picture in {self.run.test_scores})"
        return [*notes, head, *scores, *footnotes({"": found})]


@contextmanager
def weights_of(file: Path, module: pl.LightningModule, device: torch.device) -> Iterator[None]:
    """A block in which the module, on a device and in evaluation mode, has the weights of a checkpoint.

    Afterwards it is as it was: where the run is stopped, its last state is saved again.
    """
    weights: Mapping[str, Any] = load_checkpoint(file)["state_dict"]
    before = {name: value.clone() for name, value in module.state_dict().items()}
    place, training = module.device, module.training
    module.load_state_dict(weights)
    module.to(device).eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        module.to(place).train(training)
        module.load_state_dict(before)
