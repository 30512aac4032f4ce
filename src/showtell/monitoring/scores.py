"""Scores of the captions that validation decoded: logged as `val/...`, so that checkpoints can be chosen by them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from showtell.evaluation.gather import gather_candidates
from showtell.evaluation.metrics import ReferenceCorpus
from showtell.ranks import from_all, from_first, is_first

Judge = Callable[[int, str], bool]


class Scores(Callback):
    """Scores real, decoded captions after each validation.

    Under several processes every rank decodes its share, and rank 0 scores the union, so that the numbers are those of
    one process. The others take them from it: early stopping and the best checkpoint are decided on each rank, and a
    last bit that differed would part them.

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
        captions = gather_candidates(pl_module.captions)  # type: ignore[arg-type]
        pl_module.captions = captions  # type: ignore[assignment]
        attention: Mapping[int, Any] = pl_module.attention  # type: ignore[assignment]
        pl_module.attention = {picture: maps for part in from_all(attention) for picture, maps in part.items()}  # type: ignore[assignment]
        if captions:
            scores = from_first(self._scores(captions) if is_first() else {})
            pl_module.log_dict({f"val/{name}": float(value) for name, value in scores.items()})

    def _scores(self, captions: Mapping[int, str]) -> dict[str, float]:
        scores = self._against_references(captions)
        if self.judge is not None:
            scores["true"] = sum(self.judge(picture, text) for picture, text in captions.items()) / len(captions)
        scores["distinct"] = len(set(captions.values())) / len(captions)
        return scores

    def _against_references(self, captions: Mapping[int, str]) -> dict[str, float]:
        known = {picture: text for picture, text in captions.items() if self.references.get(picture)}
        if not known:
            return {}
        if self.corpus is None or self.corpus.picture_ids != sorted(known):
            self.corpus = ReferenceCorpus({picture: self.references[picture] for picture in known})
        corpus = self.corpus.score(known).corpus
        return {name: value for name, value in corpus.items() if name != "cider_d"}  # the same number as cider
