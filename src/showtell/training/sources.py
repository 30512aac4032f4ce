"""Where a run's captions and images come from, as its frozen encoder needs them: a folder, or shards.

Here the data side meets the encoder, and this is all that either needs of the other: the encoder's transform says how
pictures are decoded, its fingerprint names what is stored of its answers, and it is called for those that are missing.
Everything is made when it is first asked for, in any order. A run that finds its features stored never builds the
encoder, let alone opens a picture.
"""

from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from showtell.config import Config, ConfigError
from showtell.data.annotations import SplitName
from showtell.data.augmentation import Augmentation, says_left_or_right, view_augmentation
from showtell.data.caption_set import CaptionSet, load_captions
from showtell.data.feature_store import (
    FeatureStore,
    StoreRequest,
    choose_place,
    open_or_build,
    place_features,
    unreadable_pictures,
)
from showtell.data.formats import no_picture_there, resolved
from showtell.data.module import SplitData, TrainSplit
from showtell.data.paths import sizes_hash
from showtell.data.readers import CachedFeatures, PictureFiles
from showtell.distributed import rank_zero_first
from showtell.files import short_hash
from showtell.models.encoders.encoding import FrozenEncoder
from showtell.text import Tokenizer, build_tokenizer


class Source(ABC):
    """What a run is trained and validated on."""

    def __init__(self, config: Config, encoder: FrozenEncoder) -> None:
        self.config = config
        self.encoder = encoder
        self.tokenizer = build_tokenizer(config.vocab.tokenizer)

    @property
    @abstractmethod
    def counts(self) -> Counter[str]:
        """How often each word occurs in the training captions; no picture is encoded for it."""

    @property
    @abstractmethod
    def train(self) -> TrainSplit:
        """What is trained on."""

    @property
    @abstractmethod
    def val(self) -> SplitData:
        """What is validated on."""

    @abstractmethod
    def find_test(self) -> None:
        """Refuses a test split that cannot be read, before the pictures of any are encoded."""

    @property
    @abstractmethod
    def test(self) -> SplitData:
        """What `training.test` scores."""

    @property
    @abstractmethod
    def num_workers(self) -> int:
        """The processes that read batches."""

    @property
    @abstractmethod
    def data_hash(self) -> str:
        """Tells data sets apart; copying one does not change it."""

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """`(D,)` or `(R, D)`: of the stored features, else of the network's."""
        return self.train.feature_shape or self.encoder.network.feature_shape()


class FolderSource(Source):
    """Pictures in folders, with annotation files."""

    @cached_property
    def train_captions(self) -> CaptionSet:
        """Those of the training split."""
        return folder_captions(self.config, self.tokenizer, "train")

    @property
    def counts(self) -> Counter[str]:
        """Of all captions."""
        return self.train_captions.counts

    @cached_property
    def train(self) -> SplitData:
        """The training split in memory."""
        return folder_split(self.config, self.encoder, "train", self.train_captions)

    @cached_property
    def val(self) -> SplitData:
        """The validation split in memory."""
        captions = folder_captions(self.config, self.tokenizer, "val")
        return folder_split(self.config, self.encoder, "val", captions)

    def find_test(self) -> None:
        """Reads its captions."""
        with rank_zero_first():
            load_captions(self.config.data, "test", Path(self.config.cache), self.tokenizer)

    @cached_property
    def test(self) -> SplitData:
        """The test split in memory."""
        captions = folder_captions(self.config, self.tokenizer, "test")
        return folder_split(self.config, self.encoder, "test", captions)

    @property
    def num_workers(self) -> int:
        """Rows of memory need no worker processes; pictures do."""
        return self.config.data.num_workers if self.config.features.mode == "off" else 0

    @property
    def data_hash(self) -> str:
        """Of captions, names and sizes of pictures."""
        captions = self.train.captions, self.val.captions
        sizes = [(split.source, sizes_hash(split.path_names, split.stamps)) for split in captions]
        return short_hash(part for split in sizes for part in split)


def folder_captions(config: Config, tokenizer: Tokenizer, name: SplitName) -> CaptionSet:
    """The captions of a split; one process tokenizes."""
    with rank_zero_first():
        captions = load_captions(config.data, name, Path(config.cache), tokenizer)
    for line in captions.notes(config.data.max_caption_words, config.decoding.max_length if name == "train" else 0):
        print(f"{config.data.name} {name}: {line}")
    if captions.stamps and set(captions.stamps) == {"missing"}:
        raise no_picture_there(resolved(config.data, name), name, captions.path_names)
    return captions


def folder_split(config: Config, encoder: FrozenEncoder, name: SplitName, captions: CaptionSet) -> SplitData:
    """A split with its captions, and its images as stored features or as pictures; those of training may change."""
    read = _stored if config.features.mode == "store" else _decoded
    split = read(config, encoder, name, captions)
    bad = [captions.path_names[row] for row in np.flatnonzero(split.unreadable)]
    if bad:
        told = f"pictures that cannot be read, e.g. {bad[0]}"
        report_left_out(config, name, told, f"{bad[0]}: cannot be read", len(bad))
    return split


def _stored(config: Config, encoder: FrozenEncoder, name: str, captions: CaptionSet) -> SplitData:
    """The split as the encoder answered to it; where training changes pictures, also to changed ones."""
    features, label = config.features, f"{config.data.name}-{name}-{config.encoder.name}"
    request = StoreRequest(
        label,
        captions.path_names,
        encoder.fingerprint,
        encoder.weights.transform,
        features.dtype,
        stamps=captions.stamps,
    )
    stores = [_store(config, encoder, request)]
    if name == "train" and config.data.augment.active:
        change = view_augmentation(config.data.augment, captions)
        changed = replace(request, name=f"{label}-views", augmentation=change, views=features.views - 1)
        stores.append(_store(config, encoder, changed))
    place = choose_place(features.place, sum(store.features.nbytes for store in stores), encoder.device)
    tensors = [place_features(store.features, place) for store in stores]
    images = CachedFeatures(tensors[0], *tensors[1:], captions=len(captions.lengths), seed=config.seed)
    return SplitData(captions, images, stores[0].unreadable)


def _store(config: Config, encoder: FrozenEncoder, request: StoreRequest) -> FeatureStore:
    folder, batch_size = Path(config.cache) / "features", config.features.batch_size
    return open_or_build(folder, request, encoder.at_work, batch_size, config.data.num_workers)


def _decoded(config: Config, encoder: FrozenEncoder, name: str, captions: CaptionSet) -> SplitData:
    """The split as pictures; those of training changed, if they are to be."""
    transform, paths, augment = encoder.weights.transform, captions.paths, config.data.augment
    label, cache = f"{config.data.name}-{name}", Path(config.cache)
    unreadable = unreadable_pictures(label, captions, transform, cache, config.data.num_workers)
    change = None
    if name == "train" and augment.active:
        change = Augmentation(augment, config.seed, says_left_or_right(captions))
    return SplitData(captions, PictureFiles(paths, transform, change), unreadable)


def report_left_out(config: Config, name: str, told: str, first: str, count: int) -> None:
    """Says what a split lost in reading, or refuses, by `data.bad_pictures`."""
    if config.data.bad_pictures == "fail":
        raise ConfigError(f"{first} ({count} such); mend it, or use data.bad_pictures=skip")
    print(f"{config.data.name} {name}: {count} {told}")
