"""Feature shards from picture shards: the frozen encoder sees each picture once, shard by shard.

A feature shard is written whole and named by what its numbers follow from (its picture shard with size and time, and
the encoder's fingerprint, transform and dtype), so a killed build goes on with the next shard, new shards of a growing
data set are added, and every run of every sweep finds them. Several processes share the work: each takes a shard that
nobody holds. A feature takes 2.5 KB where its picture took 50 to 200.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from showtell.atomic import remove_stale_temporaries
from showtell.config import ImageTransform
from showtell.data.feature_store import PictureEncoder, as_stored
from showtell.data.files import stamp
from showtell.data.images import PictureError, decode_picture, prepare
from showtell.data.progress import Progress
from showtell.data.shards.index import member_name
from showtell.data.shards.members import Sample, read_members
from showtell.data.shards.writing import shard_writer
from showtell.data.workers import note_done, note_reading, watched


@dataclass(frozen=True)
class EncodingRequest:
    """What decides the features: the encoder's fingerprint, the transform, the dtype."""

    encoder: str
    transform: ImageTransform
    dtype: str

    def file(self, folder: Path, shard: Path) -> Path:
        """Where the feature shard of a picture shard is kept."""
        facts = [asdict(self), os.path.abspath(shard), stamp(shard)]
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode("utf-8", "surrogateescape")).hexdigest()
        return folder / f"{shard.stem[:60]}-{digest[:16]}.tar"


def feature_shards(
    paths: Sequence[Path],
    folder: Path,
    request: EncodingRequest,
    make_encoder: Callable[[], PictureEncoder],
    batch_size: int,
    num_workers: int,
) -> list[Path]:
    """The feature shards of picture shards, made first where they are not there.

    Args:
        paths: the picture shards.
        folder: where feature shards are kept.
        request: what decides the features.
        make_encoder: builds the encoder; called only when there is work.
        batch_size: pictures per call of that function.
        num_workers: processes that decode pictures.

    Raises:
        ShardError: a shard that is no tar file.
        StoreError: an answer of the encoder that cannot be stored.
    """
    files = [request.file(folder, path) for path in paths]
    todo = [(path, file) for path, file in zip(paths, files, strict=True) if not file.is_file()]
    if todo:
        folder.mkdir(parents=True, exist_ok=True)
        remove_stale_temporaries(folder)
        progress = Progress("encoding shards", len(todo), "shards")
        encoder = make_encoder()
        for patience in (0, -1):  # first what nobody works at; then wait for what somebody does
            for path, file in todo:
                if _encode_locked(path, file, request, encoder, batch_size, num_workers, patience):
                    progress.advance(1)
        progress.close()
    return files


def _encode_locked(
    path: Path,
    file: Path,
    request: EncodingRequest,
    encoder: PictureEncoder,
    batch_size: int,
    num_workers: int,
    patience: float,
) -> bool:
    try:
        with FileLock(file.with_suffix(".lock"), timeout=patience):
            if file.is_file():
                return False
            _encode(path, file, request, encoder, batch_size, num_workers)
            return True
    except Timeout:
        return False


def _encode(
    path: Path, file: Path, request: EncodingRequest, encoder: PictureEncoder, batch_size: int, num_workers: int
) -> None:
    content = read_members(path)
    samples = [sample for sample in content.samples if sample.picture]
    left_out = list(content.notes)
    with shard_writer(file) as writer:
        for rows, pixels, problems in _decoded(path, samples, request.transform, batch_size, num_workers):
            left_out += problems
            if rows:
                for row, features in zip(rows, as_stored(encoder(pixels), request.dtype), strict=True):
                    writer.add(samples[row].key, samples[row].captions, features=features)
        writer.about(about_features(request, left_out))


def about_features(request: EncodingRequest, left_out: Sequence[str]) -> dict[str, Any]:
    """What a feature shard tells of itself."""
    facts = {"encoder": request.encoder, "transform": asdict(request.transform), "dtype": request.dtype}
    return {"version": 1, **facts, "left_out": list(left_out)}


class _Pictures(Dataset[tuple[int, Tensor | None, str]]):
    """Decodes one picture of a shard; None and the reason where it cannot be read."""

    def __init__(self, path: Path, samples: Sequence[Sample], transform: ImageTransform) -> None:
        self.path = path
        self.samples = samples
        self.transform = transform

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, row: int) -> tuple[int, Tensor | None, str]:
        sample = self.samples[row]
        assert sample.picture is not None
        name = member_name(self.path, sample.key)
        try:
            note_reading(name)
            with self.path.open("rb") as file:
                data = os.pread(file.fileno(), sample.picture.size, sample.picture.offset)
            return row, prepare(decode_picture(data, name), self.transform), ""
        except PictureError as error:
            return row, None, f"{error}; left out"
        finally:
            note_done()


def _collate(items: list[tuple[int, Tensor | None, str]]) -> tuple[list[int], Tensor, list[str]]:
    pixels = [pixels for _, pixels, _ in items if pixels is not None]
    rows = [row for row, pixels, _ in items if pixels is not None]
    problems = [reason for _, _, reason in items if reason]
    return rows, torch.stack(pixels) if pixels else torch.empty(0), problems


def _decoded(
    path: Path, samples: Sequence[Sample], transform: ImageTransform, batch_size: int, num_workers: int
) -> Iterator[tuple[list[int], Tensor, list[str]]]:
    workers = min(num_workers, len(samples) // (4 * batch_size))  # small shards need none
    dataset = _Pictures(path, samples, transform)
    if workers == 0:
        return iter(DataLoader(dataset, batch_size, collate_fn=_collate))
    return watched(dataset, batch_size=batch_size, num_workers=workers, collate_fn=_collate)
