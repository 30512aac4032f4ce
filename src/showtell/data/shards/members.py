"""What lies in a shard: its samples, where their members begin, and what is wrong with it.

The tar is read by the standard library. Nothing is unpacked and no name from it reaches a path: members are known by
key and place. Members of one key need not follow one another, except for other readers. What lies in a folder
`__NAME__` is about the shard and no sample, as in webdataset. A caption that stands in the `.txt` and in the `.json`
of a sample counts once.
"""

import json
import os
import tarfile
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any

from showtell.data.captions import clean_caption
from showtell.data.files import shown
from showtell.data.shards.pattern import ShardError

PICTURES = ("jpg", "jpeg", "png", "webp")
FEATURES = "npy"
TEXTS = ("txt", "json")
ABOUT = "__showtell__/about.json"
FIRST_MEMBERS = 100
MAX_TEXT_BYTES = 1 << 20
MAX_KEY = 300
_BLOCK = 512


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
    try:
        with path.open("rb") as file:
            reading.size = os.fstat(file.fileno()).st_size
            _refuse_compressed(path, file)
            with tarfile.open(fileobj=file, mode="r:", errorlevel=2) as archive:
                try:
                    for member in archive:
                        reading.take(archive, member)
                except tarfile.ReadError as error:
                    content.notes.append(_cut(path, str(error)))
                else:
                    if not _has_end(file, archive.offset):
                        content.notes.append(_cut(path, "its end marker is missing"))
    except tarfile.ReadError as error:
        raise ShardError(f"{shown(path)}: no tar file ({str(error)[:100]}); write the shard again") from None
    except OSError as error:
        raise ShardError(f"{shown(path)}: cannot be read ({error.strerror})") from None
    for sample in reading.samples.values():
        if reason := _why_unusable(sample):
            content.notes.append(f"{shown(path)}: {shown(sample.key)} has {reason}; left out")
        else:
            content.samples.append(sample)
    return content


def _refuse_compressed(path: Path, file: IO[bytes]) -> None:
    start = file.read(6)
    file.seek(0)
    if start.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")):
        raise ShardError(f"{shown(path)}: a compressed tar cannot be read at any place; decompress it")


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
    try:
        with path.open("rb") as file:
            _refuse_compressed(path, file)
            with tarfile.open(fileobj=file, mode="r:") as archive:
                return any(member.name.lower().endswith(f".{FEATURES}") for member in islice(archive, FIRST_MEMBERS))
    except tarfile.ReadError as error:
        raise ShardError(f"{shown(path)}: no tar file ({str(error)[:100]}); write the shard again") from None
    except OSError as error:
        raise ShardError(f"{shown(path)}: cannot be read ({error.strerror})") from None
