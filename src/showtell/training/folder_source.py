"""Pictures in folders, with annotation files, as the source of a run."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from showtell.config import Config
from showtell.data.annotations import SplitName
from showtell.data.augmentation import Augmentation, Rows, says_left_or_right, view_augmentation
from showtell.data.caption_set import CaptionSet, load_captions
from showtell.data.contents import identity
from showtell.data.extra_captions import read_extra_captions
from showtell.data.features.ahead import ReadAhead
from showtell.data.features.request import StoreRequest, split_request
from showtell.data.features.room import room_in_words
from showtell.data.features.store import choose_place, open_or_build, place_features, stored_shape
from showtell.data.formats import no_picture_there, resolved
from showtell.data.module import SplitData, pictures_in_batches
from showtell.data.paths import sizes_hash
from showtell.data.readers import CachedFeatures, PictureFiles, SideBySide
from showtell.data.settings import ShapesDataConfig
from showtell.data.shapes import ensure_shapes
from showtell.data.unreadable import unreadable_pictures
from showtell.distributed import is_rank_zero, rank_zero_first
from showtell.files import check_writable, short_hash
from showtell.models.encoders.encoding import FrozenEncoder
from showtell.models.encoders.pair import shape_side_by_side
from showtell.processes import free_memory, refuse_too_large
from showtell.terminal import tell
from showtell.text import Tokenizer, Vocabulary
from showtell.training.sources import Source, report_left_out

MANY_BYTES = 1 << 30


class FolderSource(Source):
    """Pictures in folders, with annotation files.

    The captions of both splits are read before a picture of one is opened, so what they do not allow is told at once.
    """

    @cached_property
    def captions(self) -> dict[SplitName, CaptionSet]:
        """Of both splits."""
        config, tokenizer = self.config, self.tokenizer
        with rank_zero_first():
            self._draw()
            found: dict[SplitName, CaptionSet] = {
                name: read_captions(config, tokenizer, name) for name in ("train", "val")
            }
            if config.data.extra_captions:
                found["train"] = self._with_extra(found["train"], config.data.extra_captions)
            return found

    def counts_of(self, tokenizer: Tokenizer) -> Counter[str]:
        """How often each word of such a tokenizer occurs in the training captions."""
        with rank_zero_first():
            self._draw()
            return load_captions(self.config.data, "train", Path(self.config.cache), tokenizer).counts

    def _draw(self) -> None:
        """Has the embedded data set ready."""
        if isinstance(self.config.data, ShapesDataConfig):
            # drawing takes longer than finding out whether what follows has a place
            check_writable(Path(self.config.cache), "cache")
            ensure_shapes(Path(self.config.data.root), self.config.data.shapes)

    def _with_extra(self, captions: CaptionSet, file: str) -> CaptionSet:
        """The training captions with those of a file; says what was found, and how many of its words are `<unk>`."""
        config = self.config
        extra = read_extra_captions(Path(file), captions, config.data, Path(config.cache), self.tokenizer)
        vocabulary = Vocabulary.from_counts(captions.counts, config.vocab.threshold, self.tokenizer)
        for line in extra.notes(vocabulary) if is_rank_zero() else ():
            print(f"{config.data.name} train: {line}")
        return extra.behind(captions)

    @property
    def counts(self) -> Counter[str]:
        """How often each word occurs in the training captions."""
        return self.captions["train"].counts

    def references(self, split: SplitName) -> Mapping[int, Sequence[str]]:
        """What people wrote about the pictures, by picture id."""
        return self.captions[split].references

    def size(self) -> str:
        """How many pictures and captions there are, in words."""
        train, val = self.captions["train"], self.captions["val"]
        return (
            f"{len(train.picture_ids):,} + {len(val.picture_ids):,} pictures, "
            f"{len(train.lengths):,} + {len(val.lengths):,} captions"
            + (f", {train.extra:,} of them extra" if train.extra else "")
        )

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """`(D,)` or `(R, D)`: of the stored features, else of the network's."""
        return shape_side_by_side(self._shapes)

    @cached_property
    def _shapes(self) -> list[tuple[int, ...]]:
        """Of each encoder's features. To ask a store takes a hash of all pictures' names and times."""
        return [self._shape_of(part) for part in self.encoder.parts]

    def _shape_of(self, part: FrozenEncoder) -> tuple[int, ...]:
        stored = None
        if self.config.features.mode == "store":
            request = store_requests(self.config, part, "train", self.captions["train"])[0]
            stored = stored_shape(Path(self.config.cache) / "features", request)
        return stored or part.network.feature_shape()

    @cached_property
    def train(self) -> SplitData:
        """The training split in memory."""
        return self._split("train")

    @cached_property
    def val(self) -> SplitData:
        """The validation split in memory."""
        return self._split("val")

    def find_test(self) -> None:
        """Reads its captions."""
        with rank_zero_first():
            self.captions["test"] = read_captions(self.config, self.tokenizer, "test")

    @cached_property
    def test(self) -> SplitData:
        """The test split in memory."""
        return self._split("test")

    def _split(self, name: SplitName) -> SplitData:
        self._room_is_there  # noqa: B018
        return folder_split(self.config, self.encoder, name, self.captions[name])

    @cached_property
    def _room_is_there(self) -> bool:
        config = self.config
        if config.features.mode == "store":
            wanted = []
            for part, shape in zip(self.encoder.parts, self._shapes, strict=True):
                requests = (store_requests(config, part, name, self.captions[name]) for name in self.captions)
                wanted.append(([one for split in requests for one in split], shape))
            with rank_zero_first():
                lines = room_in_words(Path(config.cache) / "features", wanted)
                if lines:
                    self._check_batch(max(one.rows for requests, _ in wanted for one in requests))
                for line in lines if is_rank_zero() else ():
                    tell("store", line)
        return True

    def _check_batch(self, pictures: int) -> None:
        """Refuses, by a UserError, pictures that do not fit into memory for one forward pass of the encoder."""
        count, transforms = min(self.config.features.batch_size, pictures), self.encoder.weights.transform.parts
        needed = 4 * count * sum(3 * one.size**2 for one in transforms)  # float32
        sides = " + ".join(str(one.size) for one in transforms)
        what = f"features.batch_size={self.config.features.batch_size}, pictures of {sides} pixels a side"
        refuse_too_large(needed, free_memory(), what, "make it or encoder.image_size smaller")

    @property
    def num_workers(self) -> int:
        """Rows of memory need no worker processes; pictures do."""
        return self.config.data.num_workers if self.config.features.mode == "off" else 0

    @property
    def data_hash(self) -> str:
        """Of captions, names and sizes of pictures, and of their contents, unless few of very many are read."""
        captions = self.captions["train"], self.captions["val"]
        sizes = [(split.source, sizes_hash(split.path_names, split.stamps)) for split in captions]
        named = short_hash(part for split in sizes for part in split)
        training = self.config.training
        limited = training.overfit_batches or training.limit_train_batches
        if limited and sum(split.contents.num_bytes for split in captions) > MANY_BYTES:
            return named
        with rank_zero_first():
            return identity(named, [split.contents for split in captions])


def read_captions(config: Config, tokenizer: Tokenizer, name: SplitName) -> CaptionSet:
    """The captions of a split; says what was found, left out and cut.

    Raises:
        AnnotationError: none of the pictures is there.
    """
    captions = load_captions(config.data, name, Path(config.cache), tokenizer)
    most = config.decoding.max_length if name == "train" else 0
    for line in captions.notes(config.data.max_caption_words, most) if is_rank_zero() else ():
        print(f"{config.data.name} {name}: {line}")
    if captions.stamps and set(captions.stamps) == {"missing"}:
        raise no_picture_there(resolved(config.data, name), name, captions.path_names)
    return captions


def folder_split(config: Config, encoder: FrozenEncoder, name: SplitName, captions: CaptionSet) -> SplitData:
    """A split with its captions, and its images as stored features or as pictures; those of training may change.

    Where `training.limit_*` leave few batches, the pictures of these are looked at and no others.
    """
    read = _stored if config.features.mode == "store" else _decoded
    unreadable = np.zeros(len(captions.picture_ids), dtype=np.bool_)
    while True:
        pictures = pictures_in_batches(captions, unreadable, config.training, config.seed, name)
        split = read(config, encoder, name, captions, pictures)
        found = split.unreadable.copy()
        if pictures is not None:  # what others have found out must not change the batches
            found[np.setdiff1d(np.arange(len(found)), pictures)] = False
            found |= unreadable
        if pictures is None or (found == unreadable).all():
            split = replace(split, unreadable=found)
            break
        unreadable = found
    bad = [captions.path_names[row] for row in np.flatnonzero(split.unreadable)]
    if bad:
        told = f"pictures that cannot be read, e.g. {bad[0]}"
        report_left_out(config, name, told, f"{bad[0]}: cannot be read", len(bad))
    return split


def store_requests(config: Config, encoder: FrozenEncoder, name: SplitName, captions: CaptionSet) -> list[StoreRequest]:
    """What is stored of a split for one encoder; where training changes pictures, also of changed ones."""
    transform = encoder.weights.transform
    request = split_request(config, name, captions, encoder.config.name, encoder.fingerprint, transform)
    if name != "train" or not config.data.augment.active:
        return [request]
    change = view_augmentation(config.data.augment, captions)
    return [
        request,
        replace(request, name=f"{request.name}-views", augmentation=change, views=config.features.views - 1),
    ]


def _stored(
    config: Config, encoder: FrozenEncoder, name: SplitName, captions: CaptionSet, pictures: Rows | None
) -> SplitData:
    """The split as the encoder answered to it."""
    features, folder = config.features, Path(config.cache) / "features"
    stores = [
        [
            open_or_build(folder, one, part.at_work, features.batch_size, config.data.num_workers, pictures)
            for one in store_requests(config, part, name, captions)
        ]
        for part in encoder.parts
    ]
    place = choose_place(features.place, sum(one.features.nbytes for own in stores for one in own), encoder.device)
    images = [
        CachedFeatures(
            *(place_features(one.features, place) for one in own),
            dtype=own[0].dtype, captions=len(captions.lengths), seed=config.seed,
            ahead=[ReadAhead(one.features) for one in own] if place == "disk" else (),
        )
        for own in stores
    ]  # fmt: skip
    unreadable = np.logical_or.reduce([own[0].unreadable for own in stores])
    return SplitData(captions, SideBySide(images) if len(images) > 1 else images[0], unreadable)


def _decoded(
    config: Config, encoder: FrozenEncoder, name: SplitName, captions: CaptionSet, pictures: Rows | None
) -> SplitData:
    """The split as pictures; those of training changed, if they are to be."""
    transform, paths, augment = encoder.weights.transform, captions.paths, config.data.augment
    label, cache = f"{config.data.name}-{name}", Path(config.cache)
    unreadable = unreadable_pictures(label, captions, transform, cache, config.data.num_workers, pictures)
    change = None
    if name == "train" and augment.active:
        change = Augmentation(augment, config.seed, says_left_or_right(captions))
    return SplitData(captions, PictureFiles(paths, transform, change), unreadable)
