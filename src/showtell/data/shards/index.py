"""The index of one shard: its captions as numbers of words, and where its pictures and features lie.

It is made in one pass, kept in the cache under a hash of the shard's path, size and time and of the tokenizer, and
then stands for the shard wherever only captions matter: in the vocabulary, in the plan of an epoch, in a resume. Words
are numbered within the shard, so shards are indexed independently of each other and of any vocabulary. It takes some
60 bytes per caption.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from showtell.data.caption_set import CaptionTable, caption_arrays, caption_columns
from showtell.data.derived import derived, sealed_write, unsealed
from showtell.data.features.dtypes import DTYPES, FeatureDtype, dtype_of_array
from showtell.data.images import PictureError, decode_picture
from showtell.data.paths import shown, stamp
from showtell.data.shards.members import Extent, Sample, ShardContent, read_members
from showtell.data.workers import note_done, note_reading
from showtell.files import content_key
from showtell.text import NLTK, Tokenizer

INDEX_VERSION = 4
NOWHERE = Extent(-1, 0)


@dataclass(frozen=True)
class IndexRequest:
    """What an index follows from besides its shard; with `decode` every picture is tried."""

    max_caption_words: int
    decode: bool
    tokenizer: Tokenizer = NLTK

    def file(self, folder: Path, shard: Path) -> Path:
        """Where the index of a shard is kept."""
        asked = {"max_caption_words": self.max_caption_words, "decode": self.decode}
        key = content_key(INDEX_VERSION, self.tokenizer.key, asked, os.path.abspath(shard), stamp(shard))
        return folder / f"{shard.stem[:60]}-{key}.npz"


@dataclass(frozen=True)
class ShardIndex(CaptionTable):
    """The captions of a shard with P samples, which are the pictures of the table, and where the samples lie.

    Attributes:
        pictures: `(P, 2)` int64, offset and size; the offset is -1 where there is none that can be read.
        features: `(P, 2)` int64, likewise.
        keys: the P keys.
        notes: a line for each thing left out.
        lacking: how many samples came without `pictures`, and without `features`.
        about: what the shard's writer says of it.
        feature_shape: of one sample's features; empty where there are none.
        feature_dtype: how the features are written, by the name in `DTYPES`.
        feature_header: bytes before the numbers.
    """

    pictures: NDArray[np.int64]
    features: NDArray[np.int64]
    keys: list[str]
    notes: list[str]
    lacking: dict[str, int]
    about: dict[str, Any]
    feature_shape: tuple[int, ...]
    feature_dtype: str
    feature_header: int

    def decoded(self, data: bytes) -> Tensor:
        """The features of a sample by the bytes that follow its header."""
        dtype = DTYPES[self.feature_dtype]
        stored = np.frombuffer(bytearray(data), dtype.file).reshape(dtype.stored_shape(self.feature_shape))
        return dtype.decode(torch.from_numpy(stored))

    def there(self, what: str) -> NDArray[np.bool_]:
        """`(P,)` whether a sample has `what`: `pictures` or `features`."""
        return (self.features if what == "features" else self.pictures)[:, 0] >= 0

    def usable(self, what: str) -> NDArray[np.bool_]:
        """`(N,)` whether a caption has words and its sample has `what`."""
        return (self.lengths > 0) & self.there(what)[self.picture_of]


def load_index(shard: Path, file: Path, request: IndexRequest) -> ShardIndex:
    """The index of a shard in its file; made anew where that is damaged."""
    with np.load(BytesIO(_content(shard, file, request)), allow_pickle=False) as found:
        facts = json.loads(bytes(found["facts"]))
        columns = caption_columns(found) | {name: found[name] for name in ("pictures", "features")}
    return ShardIndex(**columns, **{**facts, "feature_shape": tuple(facts["feature_shape"])})


def load_lengths(
    shard: Path, file: Path, request: IndexRequest, what: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and lengths of the usable captions, without the words."""
    with np.load(BytesIO(_content(shard, file, request)), allow_pickle=False) as found:
        lengths = np.diff(found["starts"])
        there = found[what][:, 0] >= 0
        rows = np.flatnonzero((lengths > 0) & there[found["picture_of"]])
    return rows, lengths[rows]


def _content(shard: Path, file: Path, request: IndexRequest) -> bytes:
    return derived(file, lambda: write_index(shard, file, request), lambda: unsealed(file))


def write_index(shard: Path, file: Path, request: IndexRequest) -> None:
    """Indexes a shard.

    Raises:
        ShardError: it is no tar file.
    """
    content = read_members(shard)
    pictures = _extents(sample.picture for sample in content.samples)
    if request.decode:
        for row, reason in unreadable(shard, content.samples).items():
            content.notes.append(f"{reason}; left out")
            pictures[row] = (-1, 0)
    features, facts = _features(shard, content)
    facts |= {"keys": [sample.key for sample in content.samples], "about": content.about}
    facts["lacking"] = {
        "pictures": sum(sample.picture is None for sample in content.samples),
        "features": sum(sample.features is None for sample in content.samples),
    }
    facts |= {"notes": content.notes + list(map(str, content.about.get("left_out", [])))}
    with sealed_write(file) as opened:
        np.savez(
            opened,
            **caption_arrays(
                [sample.captions for sample in content.samples], request.max_caption_words, request.tokenizer
            ),
            pictures=pictures,
            features=features,
            facts=np.frombuffer(json.dumps(facts).encode("ascii"), dtype=np.uint8),
        )


def _extents(extents: Any) -> NDArray[np.int64]:
    rows = [(e.offset, e.size) for e in (extent or NOWHERE for extent in extents)]
    return np.array(rows, dtype=np.int64).reshape(-1, 2)


def unreadable(shard: Path, samples: Sequence[Sample]) -> dict[int, str]:
    """Decodes the pictures of a shard: the rows of those that cannot be, with the reason."""
    reasons = {}
    with shard.open("rb") as file:
        for row, sample in enumerate(samples):
            if sample.picture is None:
                continue
            note_reading(name := member_name(shard, sample.key))
            try:
                decode_picture(os.pread(file.fileno(), sample.picture.size, sample.picture.offset), name)
            except PictureError as error:
                reasons[row] = str(error)
    note_done()
    return reasons


def member_name(shard: Path, key: str) -> str:
    """How messages name a sample."""
    return f"{shard}: {shown(key)}"


def _features(shard: Path, content: ShardContent) -> tuple[NDArray[np.int64], dict[str, Any]]:
    """Where features lie, and the shape that those of the first sample have; others are left out with a note."""
    extents = _extents(sample.features for sample in content.samples)
    facts: dict[str, Any] = {"feature_shape": [], "feature_dtype": "", "feature_header": 0}
    first: tuple[Any, ...] | None = None
    with shard.open("rb") as file:
        for row, sample in enumerate(content.samples):
            if sample.features is None:
                continue
            found = _header(file.fileno(), sample, content.about.get("dtype"))
            first = first or found
            if found is None or found != first:
                kind = "no array of float16 or float32" if found is None else "features of another shape"
                content.notes.append(f"{member_name(shard, sample.key)} holds {kind}; left out")
                extents[row] = (-1, 0)
    if first:
        shape, dtype, header = first
        facts = {
            "feature_shape": dtype.feature_shape(shape), "feature_dtype": dtype.name, "feature_header": header
        }  # fmt: skip
    return extents, facts


def _header(descriptor: int, sample: Sample, told: object) -> tuple[tuple[int, ...], FeatureDtype, int] | None:
    """Shape, dtype and length of the header of an array; None if it cannot be used. `told` is what its writer says."""
    assert sample.features is not None
    start = BytesIO(os.pread(descriptor, min(sample.features.size, 1024), sample.features.offset))
    try:
        version = np.lib.format.read_magic(start)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, numpy_dtype = read(start)
    except (ValueError, UnicodeDecodeError):
        return None
    length = int(np.prod(shape)) * numpy_dtype.itemsize
    fits = start.tell() + length == sample.features.size
    dtype = dtype_of_array(numpy_dtype.str, told)
    usable = len(shape) in (1, 2) and length > 0 and not (fortran and len(shape) > 1)
    return (shape, dtype, start.tell()) if dtype and fits and usable else None
