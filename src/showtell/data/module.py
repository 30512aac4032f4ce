"""The LightningDataModule: caption-length batches, and the position in them that a checkpoint keeps."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import pytorch_lightning as pl
from numpy.typing import NDArray
from pytorch_lightning.callbacks import Callback
from torch.utils.data import Dataset

from showtell.config import TrainingConfig
from showtell.data.annotations import SplitName
from showtell.data.augmentation import Rows
from showtell.data.caption_set import CaptionSet
from showtell.data.loading import (
    Batch,
    CaptionBatches,
    FixedLoader,
    LengthBatches,
    PictureBatches,
    Plan,
    Position,
    TrainLoader,
    cut,
)
from showtell.data.readers import ReadImages
from showtell.distributed import Ranks
from showtell.errors import UserError
from showtell.text import Vocabulary


class TrainSplit(Protocol):
    """What training asks of a split, whether it lies in memory or in shards."""

    @property
    def counts(self) -> Counter[str]:
        """How often each word occurs."""

    @property
    def references(self) -> Mapping[int, Sequence[str]] | None:
        """The captions as they were written, by picture id; None where they are not kept."""

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """`(D,)` or `(R, D)` where features are read, empty where pictures are."""

    def training_batches(
        self, vocabulary: Vocabulary, batch_size: int, seed: int, world: int = 1
    ) -> tuple[Dataset[Batch], Plan]:
        """What makes a batch of caption rows, and the rows of each batch of an epoch; rank r's are `rows[r::world]`."""


@dataclass(frozen=True)
class SplitData:
    """A split in memory: its captions, how its images are read, and which pictures cannot be."""

    captions: CaptionSet
    images: ReadImages
    unreadable: NDArray[np.bool_]

    @property
    def counts(self) -> Counter[str]:
        """How often each word occurs."""
        return self.captions.counts

    @property
    def references(self) -> Mapping[int, Sequence[str]]:
        """The captions as they were written, by picture id."""
        return self.captions.references

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """`(D,)` or `(R, D)` where features are read, empty where pictures are."""
        return self.images.feature_shape

    def training_batches(
        self, vocabulary: Vocabulary, batch_size: int, seed: int, world: int = 1
    ) -> tuple[Dataset[Batch], Plan]:
        """What makes a batch of caption rows, and the rows of each batch of an epoch, whatever the number of ranks."""
        rows = self.usable_rows()
        if len(rows) == 0:
            raise UserError("no training caption has words and a readable picture; run `python -m showtell.data check`")
        return self.caption_batches(vocabulary), LengthBatches(rows, self.captions.lengths[rows], batch_size, seed)

    def usable_rows(self) -> Rows:
        """The captions that have words and a readable picture."""
        return usable_rows(self.captions, self.unreadable)

    def caption_batches(self, vocabulary: Vocabulary) -> CaptionBatches:
        """What makes a batch of caption rows."""
        return CaptionBatches(self.captions, self.captions.tokens(vocabulary), self.images)


def usable_rows(captions: CaptionSet, unreadable: NDArray[np.bool_]) -> Rows:
    """The captions that have words and a readable picture."""
    return np.flatnonzero(~unreadable[captions.picture_of] & (captions.lengths > 0))


def pictures_in_batches(
    captions: CaptionSet, unreadable: NDArray[np.bool_], config: TrainingConfig, seed: int, split: SplitName
) -> Rows | None:
    """The pictures of the few batches that `training.limit_*` leave of a split; None where that is most of them."""
    if split == "test":
        limit = config.limit_val_batches
        found: list[NDArray[Any]] = [*test_plan(unreadable, config)]
    elif split == "val":
        limit = config.limit_val_batches
        said = [captions.picture_of[rows] for rows in caption_plan(captions, unreadable, config)[:limit]]
        found = [*said, *picture_plan(unreadable, config)[:limit]]
    else:
        limit = config.overfit_batches or config.limit_train_batches
        rows = usable_rows(captions, unreadable)
        plan = LengthBatches(rows, captions.lengths[rows], config.batch_size, seed)
        epochs = 0 if not limit else 1 if config.overfit_batches else config.max_epochs
        found = [captions.picture_of[rows] for epoch in range(epochs) for rows in plan.epoch(epoch)[:limit]]
    if not limit:
        return None
    pictures = np.unique(np.concatenate([np.empty(0, np.int64), *found]))
    return pictures if 2 * len(pictures) < len(unreadable) else None


def caption_plan(captions: CaptionSet, unreadable: NDArray[np.bool_], config: TrainingConfig) -> list[Rows]:
    """The batches of captions of a validation."""
    rows = usable_rows(captions, unreadable)
    return LengthBatches(rows, captions.lengths[rows], config.batch_size, 0).in_order()


def test_plan(unreadable: NDArray[np.bool_], config: TrainingConfig) -> list[Rows]:
    """The batches of pictures that `training.test` captions: all readable ones."""
    plan = cut(np.flatnonzero(~unreadable), min(config.batch_size, 64))
    return plan[: config.limit_val_batches or None]


def picture_plan(unreadable: NDArray[np.bool_], config: TrainingConfig) -> list[Rows]:
    """The batches of pictures that a validation captions."""
    return cut(shown_pictures(unreadable, config.val_pictures), min(config.batch_size, 64))


def shown_pictures(unreadable: NDArray[np.bool_], wanted: int) -> Rows:
    """The readable pictures: all for 0, or so many evenly spread ones."""
    pictures = np.flatnonzero(~unreadable)
    if not 0 < wanted < len(pictures):
        return pictures
    evenly: Rows = pictures[np.linspace(0, len(pictures) - 1, wanted).astype(int)]
    return evenly


class FollowTrainer(Callback):
    """Moves a data module's position where the trainer finishes a step."""

    def __init__(self, data: "CaptionData") -> None:
        self.data = data

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Moves on."""
        self.data.position.advance(self.data.batches_per_epoch)


class CaptionData(pl.LightningDataModule):
    """Training batches in an order fixed by (seed, epoch); for validation captions to score and pictures to caption.

    Under several processes `training.batch_size` and the position are those of all ranks together.
    """

    def __init__(
        self,
        train: TrainSplit,
        val: SplitData,
        vocabulary: Vocabulary,
        config: TrainingConfig,
        seed: int,
        num_workers: int,
        ranks: Ranks | None = None,
    ) -> None:
        super().__init__()
        self.train = train
        self.val = val
        self.config = config
        self.num_workers = num_workers
        self.ranks = ranks or Ranks()
        self.position = Position()
        self._train, self.batches = train.training_batches(vocabulary, config.batch_size, seed, self.ranks.size)
        self._val = val.caption_batches(vocabulary)
        self.batches_per_epoch = len(self.train_dataloader())

    def setup(self, stage: str) -> None:
        """Under a plain Trainer nobody else would move the position, and all epochs would have one order."""
        callbacks: list[Callback] = self.trainer.callbacks if self.trainer else []  # type: ignore[attr-defined]
        following = [callback for callback in callbacks if isinstance(callback, FollowTrainer)]
        for callback in following:
            callback.data = self  # a trainer that is used again has another module's
        if self.trainer and not following:
            callbacks.append(FollowTrainer(self))

    def references(self, split: str) -> Mapping[int, Sequence[str]] | None:
        """What people wrote about the pictures of `train` or `val`, by picture id; None where that is not kept."""
        return self.train.references if split == "train" else self.val.references

    def train_dataloader(self) -> TrainLoader:
        """The batches from the position on."""
        limit = self.config.overfit_batches or self.config.limit_train_batches
        overfit = self.config.overfit_batches > 0
        return TrainLoader(self._train, self.batches, self.num_workers, self.position, limit, overfit, self.ranks)

    def val_dataloader(self) -> list[FixedLoader]:
        """Captions to score, and pictures to caption."""
        captions = caption_plan(self.val.captions, self.val.unreadable, self.config)
        pictures = picture_plan(self.val.unreadable, self.config)
        limit = self.config.limit_val_batches or None
        shown = PictureBatches(self.val.captions.picture_ids, self.val.images)
        return [
            FixedLoader(self._val, captions[:limit], self.num_workers, self.ranks),
            FixedLoader(shown, pictures[:limit], self.num_workers, self.ranks),
        ]

    def val_pictures(self) -> Rows:
        """The validation pictures that are captioned: all, or `training.val_pictures` evenly spread ones."""
        return shown_pictures(self.val.unreadable, self.config.val_pictures)

    def state_dict(self) -> dict[str, Any]:
        """The position, for the checkpoint."""
        return asdict(self.position)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from a checkpoint's position."""
        self.position.epoch, self.position.batch = state_dict["epoch"], state_dict["batch"]
