"""Scores of the captions that validation decoded: logged as `val/...`, so that checkpoints can be chosen by them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property, partial
from itertools import islice
from typing import Protocol, runtime_checkable

import numpy as np
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from showtell.distributed import all_gather, broadcast, is_rank_zero
from showtell.evaluation.diversity import caption_forms, caption_variety
from showtell.evaluation.metrics import WITHOUT_JAVA, ReferenceCorpus
from showtell.evaluation.report import Subject
from showtell.evaluation.signature import signature
from showtell.evaluation.sums import Statistics
from showtell.text import NLTK, Tokenizer

Judge = Callable[[Mapping[int, str]], dict[str, float]]
Texts = Mapping[int, Sequence[str]]
_REHEARSED = 100


@runtime_checkable
class KnowsReferences(Protocol):
    """A data module that says what people wrote."""

    def references(self, split: str) -> Texts | None:
        """The captions of `train` or `val`, by picture id; None where they are not kept."""


class Scores(Callback):
    """Scores real, decoded captions after each validation.

    Under several processes every rank decodes its share, and rank 0 scores the union, so that the numbers are those of
    one process. The others take them from it: early stopping and the best checkpoint are decided on each rank, and a
    last bit that differed would part them.

    Args:
        references: what people said, by picture id.
        training: gives what people said of the training pictures; asked at the first validation. None where that is
            not kept: then `val/novel` is not logged.
        judge: tells how many captions are true of their pictures, where the data set knows.
        metrics: further ones, by registered name.
        tokenizer: the model's.
        form: how the references are written down, for the scores' signature.
    """

    def __init__(
        self,
        references: Texts,
        training: Callable[[], Texts | None],
        judge: Judge | None = None,
        metrics: Sequence[str] = (),
        tokenizer: Tokenizer = NLTK,
        form: str = "",
    ) -> None:
        self.form = form
        self.references = references
        self.training = training
        self.judge = judge
        self.tokenizer = tokenizer
        self.further = tuple(metrics)
        self.metrics = tuple(dict.fromkeys([*WITHOUT_JAVA, *metrics]))
        self.corpus: ReferenceCorpus | None = None
        self.notes: Sequence[str] = ()  # metrics that cannot be had here
        self._signature = ""
        self.statistics: Statistics | None = None  # of the last validation, on rank 0

    @property
    def scored(self) -> str:
        """`val split: 5,000 pictures, 25,010 references`; empty before the first validation."""
        known = self.corpus.picture_ids if self.corpus else []
        subject = Subject.of("val split", "val", [self.references[picture] for picture in known])
        return str(subject) if known else ""

    def metric_names(self) -> set[str]:
        """What a validation logs, known before the first: people's own captions of some pictures are scored for it."""
        said = {picture: texts[0] for picture, texts in islice(self.references.items(), _REHEARSED) if texts}
        if not said or not is_rank_zero():
            return broadcast(set())
        forms: Texts | None = None if self.training() is None else {}
        rehearsal = Scores(
            {picture: self.references[picture] for picture in said},
            lambda: forms,
            self.judge,
            self.metrics,
            self.tokenizer,
        )
        names = rehearsal._scores(said)
        for note in rehearsal.notes:
            print(f"note: {note}")
        return broadcast({f"val/{name}" for name in names})

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Scores `pl_module.captions`."""
        captions = gather_candidates(pl_module.captions)  # type: ignore[arg-type]
        pl_module.captions = captions  # type: ignore[assignment]
        if captions:
            scores = broadcast(self._scores(captions) if is_rank_zero() else {})
            pl_module.log_dict({f"val/{name}": float(value) for name, value in scores.items()})

    def _scores(self, captions: Mapping[int, str]) -> dict[str, float]:
        scores = self._against_references(captions)
        if self.judge is not None:
            scores |= self.judge(captions)
        return scores | self._variety(list(captions.values()))

    @cached_property
    def _training_forms(self) -> frozenset[tuple[str, ...]] | None:
        training = self.training()
        if training is None:
            return None
        return caption_forms((text for texts in training.values() for text in texts), self.tokenizer)

    def _variety(self, captions: Sequence[str]) -> dict[str, float]:
        figures = asdict(caption_variety(captions, self._training_forms, self.tokenizer))
        figures["distinct"] /= figures.pop("captions")
        return {name: value for name, value in figures.items() if value is not None}

    def _against_references(self, captions: Mapping[int, str]) -> dict[str, float]:
        known = {picture: text for picture, text in captions.items() if self.references.get(picture)}
        if not known:
            return {}
        if self.corpus is None or self.corpus.picture_ids != sorted(known):
            described = {picture: self.references[picture] for picture in known}
            self.corpus = ReferenceCorpus(described, self.tokenizer)
            self._signature = signature(described, self.tokenizer, "val", self.form).of(self.metrics)
        found = self.corpus.score(known, self.metrics)
        self.notes = found.notes
        self.statistics = Statistics(np.array(self.corpus.picture_ids), found.sums, self._signature)
        return {name: value for name, value in found.corpus.items() if name != "cider_d"}  # the same number as cider


def scores_of(data: object, metrics: Sequence[str] = (), tokenizer: Tokenizer = NLTK) -> list[Callback]:
    """The scores of a data module's validation pictures, where it knows what people wrote about them."""
    if not isinstance(data, KnowsReferences):
        return []
    references = data.references("val")
    training = partial(data.references, "train")
    return [] if references is None else [Scores(references, training, metrics=metrics, tokenizer=tokenizer)]


def merge_candidates(parts: Sequence[Mapping[int, str]]) -> dict[int, str]:
    """One caption per picture, in the order of ids; of several parts that have it, the first one's counts."""
    merged: dict[int, str] = {}
    for part in parts:
        for picture, caption in part.items():
            merged.setdefault(picture, caption)
    return dict(sorted(merged.items()))


def gather_candidates(candidates: Mapping[int, str]) -> dict[int, str]:
    """The candidates of all ranks, the same on each of them; in a single process only sorted.

    A metric of a corpus is not the mean of metrics of its parts, so processes exchange captions, never scores. A
    distributed sampler pads its last batch with pictures it has already handed out; by picture id these fall away.
    A collective call: every rank must make it.
    """
    return merge_candidates(all_gather(dict(candidates)))
