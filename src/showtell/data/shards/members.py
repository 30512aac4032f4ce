"""Which shards `train-{000000..000331}.tar` names, and what lies in one: its samples and where their members begin.

The tar is read by the standard library. Nothing is unpacked and no name from it reaches a path: members are known by
key and place. Members of one key need not follow one another, except for other readers. What lies in a folder
`__NAME__` is about the shard and no sample, as in webdataset. A caption that stands in the `.txt` and in the `.json`
of a sample counts once.
"""

import math
import os
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from glob import glob, has_magic
from itertools import islice, product
from pathlib import Path
from typing import IO, Any

from showtell.data.annotations import clean_caption
from showtell.data.paths import is_url, shown, why_unreadable
from showtell.errors import UserError
from showtell.files import parsed_json

PICTURES = ("jpg", "jpeg", "png", "webp")
FEATURES = "npy"
TEXTS = ("txt", "json")
ABOUT = "__showtell__/about.json"
FIRST_MEMBERS = 100
MAX_TEXT_BYTES = 1 << 20
MAX_KEY = 300
_BLOCK = 512
MAX_SHARDS = 1_000_000
_BRACE = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")


class ShardError(UserError):
    """Shards that cannot be used; the message is one line with the remedy."""


def find_shards(root: str, pattern: str | None, key: str) -> list[Path]:
    """The shards that a pattern names, in its order.

    Args:
        root: what a relative pattern starts from.
        pattern: a path with `{000000..000331}`, `{a,b}`, `*`, `?` or `[...]`; several are separated by `::`.
        key: the setting that the pattern comes from, for messages.

    Raises:
        ShardError: no pattern, no file matches, or one that braces name is not there.
    """
    if not pattern:
        raise ShardError(f"{key} is not set; give the shards, e.g. {key}='DIR/train-*.tar'")
    if is_url(pattern) or pattern.startswith("pipe:"):
        raise ShardError(f"{key}={shown(pattern)}: only local files are read; download or mount the shards first")
    found: list[Path] = []
    for part in pattern.split("::"):
        for name in expand_braces(str(Path(root).expanduser() / Path(part).expanduser()), key):
            found += [Path(match) for match in sorted(glob(name))] if has_magic(name) else [Path(name)]
    if not found:
        raise ShardError(f"{key}={shown(pattern)}: no file matches (relative to data.root={shown(root)})")
    for path in found:
        if reason := why_unreadable(path):
            raise ShardError(f"{shown(path)} {reason} ({key})")
    if len(set(found)) != len(found):
        raise ShardError(f"{key}={shown(pattern)}: names a shard twice; name each once")
    return found


def expand_braces(pattern: str, key: str = "pattern") -> list[str]:
    """`a{08..10}.tar` as `a08.tar, a09.tar, a10.tar`, `{a,b}` as both; braces do not nest.

    Raises:
        ShardError: a range backwards, or more shards than anybody has.
    """
    pieces = _BRACE.split(pattern)
    choices = [[piece] if place % 2 == 0 else _choices(piece, pattern, key) for place, piece in enumerate(pieces)]
    total = math.prod(map(len, choices))
    if total > MAX_SHARDS:
        raise ShardError(f"{key}={shown(pattern)}: names {total:,} shards, more than {MAX_SHARDS:,}; correct it")
    return ["".join(parts) for parts in product(*choices)]


def _choices(inner: str, pattern: str, key: str) -> list[str]:
    numbers = _RANGE.fullmatch(inner)
    if not numbers:
        return inner.split(",")
    first, last = int(numbers[1]), int(numbers[2])
    if last < first or last - first >= MAX_SHARDS:
        raise ShardError(f"{key}={shown(pattern)}: {{{inner}}} is no range of shards; write {{first..last}}")
    return [f"{number:0{len(numbers[1])}d}" for number in range(first, last + 1)]


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
    with _opened(path) as (file, archive):
        reading = _Reading(path, content, os.fstat(file.fileno()).st_size)
        try:
            for member in archive:
                reading.take(archive, member)
        except tarfile.ReadError as error:
            content.notes.append(_cut(path, str(error)))
        else:
            if not _has_end(file, archive.offset):
                content.notes.append(_cut(path, "its end marker is missing"))
    for sample in reading.samples.values():
        if sample.key in reading.twice:
            what = "stands for two samples, which cannot be told apart"
            content.notes.append(f"{shown(path)}: {shown(sample.key)} {what}; left out")
        elif sample.captions and (sample.picture or sample.features):
            content.samples.append(sample)
        else:
            lacks = "no caption" if sample.picture or sample.features else "neither picture nor features"
            content.notes.append(f"{shown(path)}: {shown(sample.key)} has {lacks}; left out")
    return content


def _cut(path: Path, reason: str) -> str:
    return f"{shown(path)}: the shard was cut ({reason}); its whole samples are used, fetch it again"


def _has_end(file: IO[bytes], offset: int) -> bool:
    """Whether the archive ends with a block of zeros, as every complete one does."""
    file.seek(offset)
    return not any(file.read(_BLOCK) or b"\1")


@dataclass
class _Reading:
    """Sorts the members of a shard of so many bytes into samples."""

    path: Path
    content: ShardContent
    size: int
    samples: dict[str, Sample] = field(default_factory=dict)
    seen: set[tuple[str, str]] = field(default_factory=set)
    twice: set[str] = field(default_factory=set)

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
        if folder.startswith("__") or not stem:
            return
        if len(key) > MAX_KEY:
            self.content.notes.append(f"{shown(self.path)}: {shown(name)} has a name of {len(key)} letters; left out")
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
        if (key, kind) in self.seen:
            self.twice.add(key)
        self.seen.add((key, kind))

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
        kept = [text for text in cleaned if text]
        if found is not None and len(kept) < len(texts):
            lost = len(texts) - len(kept)
            self.content.notes.append(f"{shown(self.path)}: {shown(name)}: {lost} empty or without text; left out")
        return kept


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
        told = parsed_json(data)
    except ValueError:
        return None
    return told if isinstance(told, dict) else None


def has_features(path: Path) -> bool:
    """Whether a shard is one of features, by its first members; it may be cut behind the first.

    Raises:
        ShardError: no tar file, or a compressed one.
    """
    with _opened(path) as (_, archive):
        is_cut = False
        try:
            for member in islice(archive, FIRST_MEMBERS):
                is_cut = True
                if member.name.lower().endswith(f".{FEATURES}"):
                    return True
        except tarfile.ReadError:
            if not is_cut:  # not even one member
                raise
        return False


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
