"""Where a run's captions and images come from, as its frozen encoder needs them: a folder, or shards.

Here the data side meets the encoder, and this is all that either needs of the other: the encoder's transform says how
pictures are decoded, its fingerprint names what is stored of its answers, and it is called for those that are missing.
Everything is made when it is first asked for, in any order. A run that finds its features stored never builds the
encoder, let alone opens a picture.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

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
from showtell.data.settings import ShapesDataConfig, ShardsConfig
from showtell.data.shapes import ensure_shapes
from showtell.data.shards.batches import ShardSplit
from showtell.data.shards.index import IndexRequest
from showtell.data.shards.members import find_shards, has_features
from showtell.data.shards.shard_set import ShardSet, open_shards
from showtell.data.shards.unpack import unpack
from showtell.data.shards.writing import EncodingRequest, feature_shards
from showtell.distributed import rank_zero_first
from showtell.files import short_hash
from showtell.models.encoders.encoding import FrozenEncoder


class Source(ABC):
    """What a run is trained and validated on."""

    def __init__(self, config: Config, encoder: FrozenEncoder) -> None:
        self.config = config
        self.encoder = encoder

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


def open_source(config: Config) -> Source:
    """The source of a run; data that is drawn is drawn here.

    Raises:
        ConfigError: a device that is not there.
        ShardError: shards that are not there.
    """
    encoder = FrozenEncoder(config)
    if isinstance(config.data, ShapesDataConfig):
        with rank_zero_first():
            ensure_shapes(Path(config.data.root), config.data.shapes)
    return ShardSource(config, encoder) if isinstance(config.data, ShardsConfig) else FolderSource(config, encoder)


class FolderSource(Source):
    """Pictures in folders, with annotation files."""

    @cached_property
    def train(self) -> SplitData:
        """The training split in memory."""
        return folder_split(self.config, self.encoder, "train")

    @cached_property
    def val(self) -> SplitData:
        """The validation split in memory."""
        return folder_split(self.config, self.encoder, "val")

    def find_test(self) -> None:
        """Reads its captions."""
        with rank_zero_first():
            load_captions(self.config.data, "test", Path(self.config.cache))

    @cached_property
    def test(self) -> SplitData:
        """The test split in memory."""
        return folder_split(self.config, self.encoder, "test")

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


class ShardSource(Source):
    """Tar shards: training streams, validation is unpacked.

    `features=store` reads the features that lie in the shards; where these hold pictures, feature shards are made of
    them first, in the cache. `features=off` reads pictures in every step.
    """

    def __init__(self, config: Config, encoder: FrozenEncoder) -> None:
        super().__init__(config, encoder)
        assert isinstance(config.data, ShardsConfig)
        self.data = config.data
        self.folder = Path(config.cache) / "shards"
        self.train_paths = find_shards(self.data.root, self.data.train_shards, "data.train_shards")
        self.val_paths = find_shards(self.data.root, self.data.val_shards, "data.val_shards")

    @cached_property
    def train(self) -> ShardSplit:
        """The stream."""
        paths, features = self.train_paths, self.config.features
        if features.mode == "store" and not has_features(paths[0]):
            request = EncodingRequest(self.encoder.fingerprint, self.encoder.weights.transform, features.dtype)
            workers, folder = self.config.data.num_workers, self.folder / "features"
            paths = feature_shards(paths, folder, request, self.encoder.at_work, features.batch_size, workers)
        shards = self._opened("train", paths, "features" if features.mode == "store" else "pictures")
        return ShardSplit(shards, self.encoder.weights.transform, self.data.shuffle_buffer)

    @cached_property
    def val(self) -> SplitData:
        """A folder, with the features that came with the pictures if these are wanted."""
        return self._unpacked("val", self.val_paths)

    def find_test(self) -> None:
        """Looks for its shards."""
        self.test_paths = find_shards(self.data.root, self.data.test_shards, "data.test_shards")

    @cached_property
    def test(self) -> SplitData:
        """Like the validation split."""
        return self._unpacked("test", self.test_paths)

    def _unpacked(self, name: SplitName, paths: Sequence[Path]) -> SplitData:
        given = self.config.features.mode == "store" and has_features(paths[0])
        shards = self._opened(name, paths, "features" if given else "pictures")
        unpacked = unpack(shards, self.folder, f"data.{name}_shards")
        data = unpacked.data_config(self.config.data)
        if unpacked.features is None:
            return folder_split(replace(self.config, data=data), self.encoder, "val")
        stored: Any = np.load(unpacked.features, mmap_mode="c", allow_pickle=False)
        place = choose_place(self.config.features.place, stored.nbytes, self.encoder.device)
        images = CachedFeatures(place_features(stored, place))
        return SplitData(load_captions(data, "val", Path(self.config.cache)), images, np.zeros(len(stored), dtype=bool))

    @property
    def num_workers(self) -> int:
        """Reading from shards is work in both modes."""
        return self.config.data.num_workers

    @property
    def data_hash(self) -> str:
        """Of names and sizes of the shards that were given."""
        settings = f"{self.config.data.max_caption_words}\0{self.config.data.bad_pictures}"
        given = [*self.train_paths, *self.val_paths]
        return short_hash(["\n".join([settings, *(f"{path.name}\0{path.stat().st_size}" for path in given)])])

    def _opened(self, name: SplitName, paths: Sequence[Path], what: str) -> ShardSet:
        data = self.config.data
        # pictures that are decoded in every step are tried once beforehand, as in a folder
        request = IndexRequest(data.max_caption_words, decode=what == "pictures" and name == "train")
        shards = open_shards(paths, what, request, self.folder, data.num_workers)
        if shards.num_notes:
            with shards.left_out.open(encoding="utf-8") as file:
                first = file.readline().strip()
            told = f"things left out, e.g. {first} (all in {shards.left_out})"
            report_left_out(self.config, name, told, first, shards.num_notes)
        check_encoder(self.config, shards, self.encoder)
        return shards


def folder_split(config: Config, encoder: FrozenEncoder, name: SplitName) -> SplitData:
    """A split with its captions, and its images as stored features or as pictures; those of training may change."""
    with rank_zero_first():
        captions = load_captions(config.data, name, Path(config.cache))
    for line in captions.notes(config.data.max_caption_words, config.decoding.max_length if name == "train" else 0):
        print(f"{config.data.name} {name}: {line}")
    if captions.stamps and set(captions.stamps) == {"missing"}:
        raise no_picture_there(resolved(config.data, name), name, captions.path_names)
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


def check_encoder(config: Config, shards: ShardSet, encoder: FrozenEncoder) -> None:
    """Refuses features of another encoder than the run's, with which its checkpoint would caption pictures.

    Raises:
        ConfigError: another encoder made them, by what the shards say or, where they do not say, by their shape.
    """
    name, first = config.encoder.name, shards.paths[0]
    for made_by in shards.encoders:
        if made_by and made_by != encoder.fingerprint:
            raise ConfigError(
                f"encoder.name={name} did not make the features in {first}; set encoder, its "
                "weights, pooling and features.precision as they were, or give shards with pictures"
            )
        if not made_by and shards.feature_shape != (shape := encoder.network.feature_shape()):
            raise ConfigError(
                f"encoder.name={name} gives features of shape {shape}, those in {first} are of shape "
                f"{shards.feature_shape}; set the encoder and the pooling that made them"
            )
        if not made_by:
            print(f"{first} does not say which encoder made its features; taken for {name}'s")
