"""How a shard is written, and feature shards from picture shards: the frozen encoder sees each picture once.

A shard is written whole or not at all, with the same bytes for the same content. A feature shard is named by what its
numbers follow from (its picture shard with size and time, and the encoder's fingerprint, transform and dtype), so a
killed build goes on with the next shard, new shards of a growing data set are added, and every run of every sweep finds
them. Several processes share the work: each takes a shard that nobody holds. A feature takes 2.5 KB where its picture
took 50 to 200.
"""

import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from torch import Tensor

from showtell.config import ImageTransform
from showtell.data.derived import Checked, DamagedError, check_seal, seal, sealed_write, told_again
from showtell.data.features.dtypes import DTYPES
from showtell.data.features.encoding import PictureEncoder, encoded
from showtell.data.images import decode_picture, unnormalized
from showtell.data.paths import stamp
from showtell.data.shards.index import member_name
from showtell.data.shards.members import ABOUT, Sample, read_members
from showtell.data.workers import note_reading
from showtell.distributed import is_rank_zero, rank_zero_first
from showtell.files import atomic_write, content_key, size
from showtell.temporaries import remove_stale_temporaries
from showtell.terminal import Progress, tell

TAR_HEADERS = 2048
"""Bytes of a sample's features and captions besides the numbers, where captions are short."""
_SUFFIXES = ((b"\x89PNG", "png"), (b"RIFF", "webp"))


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
def shard_writer(path: Path, *, sealed: bool = False) -> Iterator[ShardWriter]:
    """Opens a shard that appears under its name when the block ends without an error; one of the cache is sealed.

    Raises:
        WriteError: the disk is full, or a permission is missing.
    """
    opened = sealed_write if sealed else atomic_write
    with opened(path) as file, tarfile.open(fileobj=file, mode="w") as archive:
        yield ShardWriter(archive)


def suffix_of(picture: bytes) -> str:
    """The usual suffix of a picture, by its content."""
    return next((suffix for magic, suffix in _SUFFIXES if picture.startswith(magic)), "jpg")


@dataclass(frozen=True)
class EncodingRequest:
    """What decides the features: the encoder's fingerprint, the transform, the dtype."""

    encoder: str
    transform: ImageTransform
    dtype: str

    def file(self, folder: Path, shard: Path) -> Path:
        """Where the feature shard of a picture shard is kept."""
        return folder / f"{shard.stem[:60]}-{content_key(self, os.path.abspath(shard), stamp(shard))}.tar"


def feature_shards(
    paths: Sequence[Path],
    folder: Path,
    request: EncodingRequest,
    make_encoder: Callable[[], PictureEncoder],
    batch_size: int,
    num_workers: int,
) -> list[Path]:
    """The feature shards of picture shards, made first where they are not there.

    The encoder is made only when there is work; it sees `batch_size` pictures at once, `num_workers` processes decode.

    Raises:
        ShardError: a shard that is no tar file.
        StoreError: an answer of the encoder that cannot be stored.
    """
    files = [request.file(folder, path) for path in paths]
    with rank_zero_first():
        _discard_damaged([file for file in files if file.is_file()], folder)
    todo = [(path, file) for path, file in zip(paths, files, strict=True) if not file.is_file()]
    if todo:
        folder.mkdir(parents=True, exist_ok=True)
        remove_stale_temporaries(folder)
        encoder = make_encoder()
        tell("store", _room_in_words(len(todo), folder, request.dtype, encoder.feature_shape))
        with Progress("encoding shards", len(todo), "shards") as progress:
            for patience in (0, -1):  # first what nobody works at; then wait for what somebody does
                for path, file in todo:
                    with suppress(Timeout), FileLock(file.with_suffix(".lock"), timeout=patience):
                        if not file.is_file():
                            _encode(path, file, request, encoder, batch_size, num_workers)
                            progress.count()
    return files


def _discard_damaged(files: Sequence[Path], folder: Path) -> None:
    """Checks the shards that are there; those of an older version, complete but without a checksum, are sealed."""
    checked = Checked(folder)
    due = [file for file in files if not checked.holds([file])] if is_rank_zero() else []
    faults, older = [], 0
    for file in due:
        try:
            check_seal(file)
        except DamagedError as error:
            if _ends_as_a_tar(file):
                seal(file)
                older += 1
            else:
                faults.append(str(error))
                file.unlink(missing_ok=True)
    if older:
        print(f"note: {older:,} feature shards in {folder} had no checksums; they are taken now", flush=True)
    if faults:
        told_again(faults[0] if len(faults) == 1 else f"{faults[0]}, and so are {len(faults) - 1:,} others")
    if due:
        checked.add(file for file in due if file.is_file())


def _ends_as_a_tar(file: Path) -> bool:
    with file.open("rb") as opened:
        size = opened.seek(0, os.SEEK_END)
        opened.seek(max(0, size - 2 * tarfile.BLOCKSIZE))
        return size > 0 and size % tarfile.RECORDSIZE == 0 and not any(opened.read())


def _room_in_words(shards: int, folder: Path, dtype: str, feature_shape: tuple[int, ...]) -> str:
    """How many pictures a shard holds is known when it is read; so this is per picture."""
    each, free = DTYPES[dtype].num_bytes(feature_shape) + TAR_HEADERS, shutil.disk_usage(folder).free
    shape = " x ".join(f"{side:,}" for side in feature_shape)
    return f"{shards:,} shards, {size(each)} for each picture ({shape} {dtype}) in {folder}, {size(free)} are free"


def _encode(
    path: Path, file: Path, request: EncodingRequest, encoder: PictureEncoder, batch_size: int, num_workers: int
) -> None:
    content = read_members(path)
    samples = [sample for sample in content.samples if sample.picture]
    left_out = list(content.notes)
    load, transform, rows = _Samples(path, samples, request.transform).load, request.transform, range(len(samples))
    with shard_writer(file, sealed=True) as writer:
        for readable, answers, reasons in encoded(
            load, transform, rows, encoder, request.dtype, batch_size, num_workers
        ):
            left_out += [f"{reason}; left out" for reason in reasons.values()]
            for row, features in zip(readable, answers, strict=True):
                writer.add(samples[row].key, samples[row].captions, features=features)
        writer.about(about_features(request, left_out))
    time = path.stat().st_mtime_ns
    os.utime(file, ns=(time, time))  # one that is made again is the same, so its index stays


def about_features(request: EncodingRequest, left_out: Sequence[str]) -> dict[str, Any]:
    """What a feature shard tells of itself."""
    facts = {"encoder": request.encoder, "transform": request.transform.facts(), "dtype": request.dtype}
    return {"version": 1, **facts, "left_out": list(left_out)}


@dataclass(frozen=True)
class _Samples:
    """The pictures of a shard, as they are encoded."""

    shard: Path
    samples: Sequence[Sample]
    transform: ImageTransform

    def load(self, row: int) -> Tensor:
        """The pixels `(3, S, S)` that the encoder sees; uint8 where they are yet to be normalized."""
        sample = self.samples[row]
        assert sample.picture is not None
        note_reading(name := member_name(self.shard, sample.key))
        with self.shard.open("rb") as file:
            data = os.pread(file.fileno(), sample.picture.size, sample.picture.offset)
        return unnormalized(decode_picture(data, name), self.transform)
