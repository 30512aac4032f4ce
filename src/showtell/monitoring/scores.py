"""Scores of the captions that validation decoded: logged as `val/...`, so that checkpoints can be chosen by them."""

from collections.abc import Callable, Mapping, Sequence

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from showtell.evaluation.metrics import ReferenceCorpus

Judge = Callable[[int, str], bool]


class Scores(Callback):
    """Scores real, decoded captions after each validation.

    Under several processes every rank decodes its share, and all of them score the union, so that the numbers are
    those of one process.

    Args:
        references: what people said, by picture id.
        judge: tells whether a caption is wholly true of a picture, where the data set knows; logged as `val/true`.
    """

    def __init__(self, references: Mapping[int, Sequence[str]], judge: Judge | None = None) -> None:
        self.references = references
        self.judge = judge
        self.corpus: ReferenceCorpus | None = None

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Scores `pl_module.captions`."""
        captions = gather(pl_module.captions)  # type: ignore[arg-type]
        pl_module.captions = captions  # type: ignore[assignment]
        if not captions:
            return
        scores = self._against_references(captions)
        if self.judge is not None:
            scores["true"] = sum(self.judge(picture, text) for picture, text in captions.items()) / len(captions)
        scores["distinct"] = len(set(captions.values())) / len(captions)
        pl_module.log_dict({f"val/{name}": float(value) for name, value in scores.items()})

    def _against_references(self, captions: Mapping[int, str]) -> dict[str, float]:
        known = {picture: text for picture, text in captions.items() if self.references.get(picture)}
        if not known:
            return {}
        if self.corpus is None or self.corpus.picture_ids != sorted(known):
            self.corpus = ReferenceCorpus({picture: self.references[picture] for picture in known})
        corpus = self.corpus.score(known).corpus
        return {name: value for name, value in corpus.items() if name != "cider_d"}  # the same number as cider


def gather(captions: dict[int, str]) -> dict[int, str]:
    """The captions of all ranks, in the order of picture ids."""
    parts = [captions]
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        parts = [{} for _ in range(torch.distributed.get_world_size())]
        torch.distributed.all_gather_object(parts, captions)
    return dict(sorted({picture: text for part in parts for picture, text in part.items()}.items()))
