"""Tar shards as the source of a run: training streams, validation and test are unpacked."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from showtell.config import Config, ConfigError
from showtell.data.annotations import SplitName
from showtell.data.caption_set import load_captions
from showtell.data.contents import Contents, identity
from showtell.data.features.ahead import ReadAhead
from showtell.data.features.store import choose_place, place_features
from showtell.data.module import SplitData
from showtell.data.readers import CachedFeatures
from showtell.data.settings import ShardsConfig
from showtell.data.shards.batches import ShardSplit
from showtell.data.shards.index import IndexRequest
from showtell.data.shards.members import find_shards, has_features
from showtell.data.shards.shard_set import ShardSet, open_shards
from showtell.data.shards.unpack import unpack
from showtell.data.shards.writing import EncodingRequest, feature_shards
from showtell.distributed import rank_zero_first
from showtell.files import short_hash
from showtell.models.encoders.encoding import FrozenEncoder
from showtell.text import Tokenizer
from showtell.training.folder_source import folder_split, read_captions
from showtell.training.sources import Source, report_left_out


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

    @property
    def counts(self) -> Counter[str]:
        """Of all captions where pictures are to be encoded, else of the usable ones."""
        if self.config.features.mode == "off" or has_features(self.train_paths[0]):
            return self.train.counts
        return self.counts_of(self.tokenizer)

    def counts_of(self, tokenizer: Tokenizer) -> Counter[str]:
        """How often each word of such a tokenizer occurs in the training captions; nothing is encoded for it."""
        request = IndexRequest(self.data.max_caption_words, False, tokenizer)
        what = "features" if has_features(self.train_paths[0]) else "pictures"
        return open_shards(self.train_paths, what, request, self.folder, self.data.num_workers).counts

    def references(self, split: SplitName) -> Mapping[int, Sequence[str]] | None:
        """What people wrote about the validation pictures, by picture id; of training that is not kept."""
        return self.val.references if split == "val" else None

    def size(self) -> str:
        """How many pictures and captions there are, in words."""
        return f"{len(self.train_paths):,} + {len(self.val_paths):,} shards"

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """`(D,)` or `(R, D)`: of the stored features, else of the network's."""
        return self.train.feature_shape or self.encoder.network.feature_shape()

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
            inner = replace(self.config, data=data)
            with rank_zero_first():
                captions = read_captions(inner, self.tokenizer, "val")
            return folder_split(inner, self.encoder, "val", captions)
        stored: Any = np.load(unpacked.features, mmap_mode="c", allow_pickle=False)
        place = choose_place(self.config.features.place, stored.nbytes, self.encoder.device)
        ahead = [ReadAhead(stored)] if place == "disk" else ()
        images = CachedFeatures(place_features(stored, place), ahead=ahead)
        captions = load_captions(data, "val", Path(self.config.cache), self.tokenizer)
        return SplitData(captions, images, np.zeros(len(stored), dtype=bool))

    @property
    def num_workers(self) -> int:
        """Reading from shards is work in both modes."""
        return self.config.data.num_workers

    @property
    def data_hash(self) -> str:
        """Of names, sizes and contents of the shards that were given; large ones are looked at here and there."""
        settings = f"{self.config.data.max_caption_words}\0{self.config.data.bad_pictures}"
        given = [*self.train_paths, *self.val_paths]
        named = short_hash(["\n".join([settings, *(f"{path.name}\0{path.stat().st_size}" for path in given)])])
        with rank_zero_first():
            return identity(named, [Contents([str(path) for path in given], Path(self.config.cache) / "contents")])

    def _opened(self, name: SplitName, paths: Sequence[Path], what: str) -> ShardSet:
        data = self.config.data
        # pictures that are decoded in every step are tried once beforehand, as in a folder
        decode = what == "pictures" and name == "train"
        request = IndexRequest(data.max_caption_words, decode, self.tokenizer)
        shards = open_shards(paths, what, request, self.folder, data.num_workers)
        if shards.num_notes:
            first = shards.notes()[0]
            told = f"things left out, e.g. {first} (all in {shards.left_out})"
            report_left_out(self.config, name, told, first, shards.num_notes)
        check_encoder(self.config, shards, self.encoder)
        return shards


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
