"""What lies in a shard: its samples, where their members begin, and what is wrong with it; and how one is written.

The tar is read by the standard library. Nothing is unpacked and no name from it reaches a path: members are known by
key and place. Members of one key need not follow one another, except for other readers. What lies in a folder
`__NAME__` is about the shard and no sample, as in webdataset. A caption that stands in the `.txt` and in the `.json`
of a sample counts once. A shard is written whole or not at all, with the same bytes for the same content.
"""

import json
import os
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from showtell.data.annotations import clean_caption
from showtell.data.paths import shown
from showtell.data.shards.pattern import ShardError
from showtell.files import atomic_write

PICTURES = ("jpg", "jpeg", "png", "webp")
FEATURES = "npy"
TEXTS = ("txt", "json")
ABOUT = "__showtell__/about.json"
FIRST_MEMBERS = 100
MAX_TEXT_BYTES = 1 << 20
MAX_KEY = 300
_BLOCK = 512
_SUFFIXES = ((b"\x89PNG", "png"), (b"RIFF", "webp"))


@dataclass(frozen=True, slots=True)
class Extent:
    """Where a member's bytes lie in the shard."""

    offset: int
    size: int


@dataclass(slots=True)
class Sample:
    """The members of one key: captions, and where picture and features lie."""

    key: str
    captions: list[str] = field(default_factory=list)
    picture: Extent | None = None
    features: Extent | None = None


@dataclass
class ShardContent:
    """The samples of a shard in order, a line for each thing that cannot be used, and what its writer says of it."""

    samples: list[Sample]
    notes: list[str] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)


def read_members(path: Path) -> ShardContent:
    """Lists a shard: reads headers and captions, and skips over pictures and features.

    A shard that was cut keeps the samples that are whole, with a note.

    Raises:
        ShardError: no tar file, or a compressed one.
    """
    content = ShardContent([])
    reading = _Reading(path, content)
    with _opened(path) as (file, archive):
        reading.size = os.fstat(file.fileno()).st_size
        try:
            for member in archive:
                reading.take(archive, member)
        except tarfile.ReadError as error:
            content.notes.append(_cut(path, str(error)))
        else:
            if not _has_end(file, archive.offset):
                content.notes.append(_cut(path, "its end marker is missing"))
    for sample in reading.samples.values():
        if reason := _why_unusable(sample):
            content.notes.append(f"{shown(path)}: {shown(sample.key)} has {reason}; left out")
        else:
            content.samples.append(sample)
    return content


def _cut(path: Path, reason: str) -> str:
    return f"{shown(path)}: the shard was cut ({reason}); its whole samples are used, fetch it again"


def _has_end(file: IO[bytes], offset: int) -> bool:
    """Whether the archive ends with a block of zeros, as every complete one does."""
    file.seek(offset)
    return not any(file.read(_BLOCK) or b"\1")


class _Reading:
    """Sorts the members of a shard into samples."""

    def __init__(self, path: Path, content: ShardContent) -> None:
        self.path = path
        self.content = content
        self.size = 0
        self.samples: dict[str, Sample] = {}

    def take(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        """Notes what a member is; one that we do not know is none of our business."""
        folder, _, name = member.name.rpartition("/")
        is_whole = member.offset_data + member.size <= self.size
        if not member.isreg() or member.sparse is not None or not is_whole:
            return
        if member.name == ABOUT:
            self.content.about = _parsed(_text(archive, member)) or {}
        stem, _, ending = name.partition(".")
        kind, key = ending.lower(), f"{folder}/{stem}" if folder else stem
        if folder.startswith("__") or not stem or len(key) > MAX_KEY:
            return
        sample = self.samples.get(key) or Sample(key)
        extent = Extent(member.offset_data, member.size)
        if kind in PICTURES:
            sample.picture = extent
        elif kind == FEATURES:
            sample.features = extent
        elif kind in TEXTS:
            told = self._captions(kind, _text(archive, member), member.name)
            sample.captions = sample.captions + [text for text in told if text not in sample.captions]
        else:
            return
        self.samples[key] = sample

    def _captions(self, kind: str, data: bytes, name: str) -> list[str]:
        found: Any = data.decode("utf-8", "replace") if kind == "txt" else None
        if kind == "json":
            told = _parsed(data)
            if told is None:
                self.content.notes.append(f"{shown(self.path)}: {shown(name)} is no JSON object; its captions left out")
            else:
                found = told.get("captions", told.get("caption"))
        texts = found if isinstance(found, list) else [found]
        cleaned = [clean_caption(text) for text in texts if isinstance(text, str)]
        return [text for text in cleaned if text]


def _text(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    if member.size > MAX_TEXT_BYTES:
        return b""
    opened = archive.extractfile(member)
    data = opened.read() if opened else b""
    if len(data) < member.size:
        raise tarfile.ReadError("unexpected end of data")
    return data


def _parsed(data: bytes) -> dict[str, Any] | None:
    try:
        told = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None


def _why_unusable(sample: Sample) -> str | None:
    if sample.picture is None and sample.features is None:
        return "neither picture nor features"
    return None if sample.captions else "no caption"


def has_features(path: Path) -> bool:
    """Whether a shard is one of features, by its first members.

    Raises:
        ShardError: no tar file, or a compressed one.
    """
    with _opened(path) as (_, archive):
        return any(member.name.lower().endswith(f".{FEATURES}") for member in islice(archive, FIRST_MEMBERS))


@contextmanager
def _opened(path: Path) -> Iterator[tuple[IO[bytes], tarfile.TarFile]]:
    """A shard's file and archive; what goes wrong with them is one line."""
    try:
        with path.open("rb") as file:
            start = file.read(6)
            file.seek(0)
            if start.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")):
                raise ShardError(f"{shown(path)}: a compressed tar cannot be read at any place; decompress it")
            with tarfile.open(fileobj=file, mode="r:", errorlevel=2) as archive:
                yield file, archive
    except tarfile.ReadError as error:
        raise ShardError(f"{shown(path)}: no tar file ({str(error)[:100]}); write the shard again") from None
    except OSError as error:
        raise ShardError(f"{shown(path)}: cannot be read ({error.strerror})") from None


class ShardWriter:
    """Adds samples to an open tar file."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive

    def add(
        self,
        key: str,
        captions: Sequence[str],
        picture: bytes | None = None,
        features: NDArray[np.floating[Any]] | None = None,
    ) -> None:
        """A sample: captions, and picture or features or both."""
        if picture is not None:
            self._member(f"{key}.{suffix_of(picture)}", picture)
        if features is not None:
            array = BytesIO()
            np.save(array, np.ascontiguousarray(features), allow_pickle=False)
            self._member(f"{key}.npy", array.getvalue())
        self._member(f"{key}.json", json.dumps({"captions": list(captions)}).encode("ascii"))

    def about(self, facts: dict[str, Any]) -> None:
        """What is to be known of the shard as a whole; other readers pass over it."""
        self._member(ABOUT, json.dumps(facts).encode("ascii"))

    def _member(self, name: str, data: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(data), 0o644
        self._archive.addfile(member, BytesIO(data))


@contextmanager
def shard_writer(path: Path) -> Iterator[ShardWriter]:
    """Opens a shard that appears under its name when the block ends without an error.

    Raises:
        WriteError: the disk is full, or a permission is missing.
    """
    with atomic_write(path) as file, tarfile.open(fileobj=file, mode="w") as archive:
        yield ShardWriter(archive)


def suffix_of(picture: bytes) -> str:
    """The usual suffix of a picture, by its content."""
    return next((suffix for magic, suffix in _SUFFIXES if picture.startswith(magic)), "jpg")
