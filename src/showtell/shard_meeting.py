"""The meeting of data side and model side where the data lies in shards.

Training streams, validation is unpacked. `features=store` reads the features that lie in the shards; where these hold
pictures, feature shards are made of them first, in the cache. `features=off` reads pictures in every step.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from showtell.config import Config, ConfigError
from showtell.data.annotations import SplitName
from showtell.data.caption_set import load_captions
from showtell.data.loading import StoredImages
from showtell.data.module import SplitData, TrainSplit
from showtell.data.settings import ShardsConfig
from showtell.data.shards.batches import ShardSplit
from showtell.data.shards.encoding import EncodingRequest, feature_shards
from showtell.data.shards.index import IndexRequest
from showtell.data.shards.members import has_features
from showtell.data.shards.pattern import find_shards
from showtell.data.shards.shard_set import ShardSet, open_shards
from showtell.data.shards.unpack import Unpacked, unpack
from showtell.meeting import Meeting, choose_place


class ShardMeeting(Meeting):
    """A `Meeting` for `data.format=shards`."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        data = config.data
        assert isinstance(data, ShardsConfig)
        self.shuffle_buffer = data.shuffle_buffer
        self.folder = self.cache / "shards"
        self.paths: dict[SplitName, list[Path]] = {
            "train": find_shards(data.root, data.train_shards, "data.train_shards"),
            "val": find_shards(data.root, data.val_shards, "data.val_shards"),
        }
        self._sets: dict[SplitName, ShardSet] = {}

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """`(D,)` or `(R, D)`."""
        return self._sets["train"].feature_shape or self.encoder.network.feature_shape()

    @property
    def num_workers(self) -> int:
        """Reading from shards is work in both modes."""
        return self.config.data.num_workers

    def train_split(self) -> TrainSplit:
        """The stream."""
        paths = self.paths["train"]
        if self.config.features.mode == "store" and not has_features(paths[0]):
            paths = self._encoded(paths)
        shards = self._opened("train", paths, "features" if self.config.features.mode == "store" else "pictures")
        return ShardSplit(shards, self.weights.transform, self.shuffle_buffer)

    def split(self, name: SplitName) -> SplitData:
        """Validation: as files, with the features that came with them if these are wanted."""
        assert name == "val", "training streams"
        paths = self.paths["val"]
        given = self.config.features.mode == "store" and has_features(paths[0])
        unpacked = unpack(
            self._opened("val", paths, "features" if given else "pictures"), self.folder, "data.val_shards"
        )
        self.data = unpacked.data_config(self.config.data)
        return self._with_features(unpacked) if given else super().split("val")

    def data_hash(self) -> str:
        """Tells data sets apart by names and sizes of the shards that were given."""
        parts = [f"{path.name}\0{path.stat().st_size}" for paths in self.paths.values() for path in paths]
        settings = f"{self.config.data.max_caption_words}\0{self.config.data.bad_pictures}"
        return hashlib.sha256("\n".join([settings, *parts]).encode("utf-8", "surrogateescape")).hexdigest()[:16]

    def _encoded(self, paths: list[Path]) -> list[Path]:
        features = self.config.features
        request = EncodingRequest(self.fingerprint, self.weights.transform, features.dtype)
        folder = self.folder / "features"
        return feature_shards(
            paths, folder, request, self.fast_encoder, features.batch_size, self.config.data.num_workers
        )

    def _opened(self, name: SplitName, paths: list[Path], what: str) -> ShardSet:
        data = self.config.data
        # pictures that are decoded in every step are tried once beforehand, as in a folder
        request = IndexRequest(data.max_caption_words, decode=what == "pictures" and name == "train")
        shards = self._sets[name] = open_shards(paths, what, request, self.folder, data.num_workers)
        report_shards(self.config, name, shards)
        check_encoder(self.config, shards, self.fingerprint, lambda: self.encoder.network.feature_shape())
        return shards

    def _with_features(self, unpacked: Unpacked) -> SplitData:
        assert unpacked.features is not None
        captions = load_captions(self.data, "val", self.cache)
        stored: Any = np.load(unpacked.features, mmap_mode="c", allow_pickle=False)
        place = choose_place(self.config.features.place, stored.nbytes, self.device)
        tensor = torch.from_numpy(stored if place == "disk" else np.array(stored))
        images = StoredImages(tensor.cuda() if place == "gpu" else tensor)
        return SplitData(captions, images, np.zeros(len(stored), dtype=bool))


def report_shards(config: Config, name: str, shards: ShardSet) -> None:
    """Says what shards lost in reading, or refuses, by `data.bad_pictures`."""
    if not shards.num_notes:
        return
    with shards.left_out.open(encoding="utf-8") as file:
        first = file.readline().strip()
    if config.data.bad_pictures == "fail":
        raise ConfigError(f"{first} ({shards.num_notes} such); mend it, or use data.bad_pictures=skip")
    print(f"{config.data.name} {name}: {shards.num_notes} things left out, e.g. {first} (all in {shards.left_out})")


def check_encoder(config: Config, shards: ShardSet, fingerprint: str, shape: Callable[[], tuple[int, ...]]) -> None:
    """Refuses features of another encoder than the run's, with which its checkpoint would caption pictures.

    Args:
        config: the run.
        shards: whose features are used, if they hold any.
        fingerprint: of the run's encoder.
        shape: gives the shape of its features; asked for only where the shards do not name their encoder.

    Raises:
        ConfigError: another encoder made them, by what the shards say or by their shape.
    """
    for encoder in shards.encoders:
        if encoder and encoder != fingerprint:
            raise ConfigError(
                f"encoder.name={config.encoder.name} did not make the features in {shards.paths[0]}; set encoder, its "
                "weights, pooling and features.precision as they were, or give shards with pictures"
            )
        if not encoder and shards.feature_shape != shape():
            raise ConfigError(
                f"encoder.name={config.encoder.name} gives features of shape {shape()}, those in {shards.paths[0]} are "
                f"of shape {shards.feature_shape}; set the encoder and the pooling that made them"
            )
        if not encoder:
            print(f"{shards.paths[0]} does not say which encoder made its features; taken for {config.encoder.name}'s")
