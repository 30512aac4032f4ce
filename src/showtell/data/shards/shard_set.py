"""All shards of a split as one long list of captions, of which only totals are in memory.

A caption's row is its number in the whole split, a sample's row likewise; which shard it lies in follows from a table
with one entry per shard. The words are counted once over all shards and kept, so that another threshold is a matter of
milliseconds. Memory is bounded by the number of distinct words and of shards, never by that of captions.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from showtell.data.derived import derived, sealed_write, unsealed
from showtell.data.shards.index import IndexRequest, ShardIndex, load_index, load_lengths, write_index
from showtell.data.shards.members import ShardError
from showtell.data.workers import watched
from showtell.files import content_key
from showtell.terminal import Progress


@dataclass(frozen=True)
class ShardSet:
    """The indexed shards of a split.

    Attributes:
        paths: the S shards.
        files: their indexes.
        request: what the indexes follow from.
        what: `pictures` or `features`: what is read of a sample, and what a caption needs to be usable.
        first_caption: `(S + 1,)` int64, the row at which a shard's captions begin.
        first_sample: `(S + 1,)` int64, likewise for samples.
        length_counts: usable captions of 0, 1, 2, ... words.
        counts: how often each word occurs in them.
        num_notes: things left out.
        left_out: the file with a line for each of these.
        feature_shape: `(D,)` or `(R, D)`; empty for pictures.
        encoders: fingerprints of the encoders that made the features, as far as their writers say; "" where not.
    """

    paths: list[Path]
    files: list[Path]
    request: IndexRequest
    what: str
    first_caption: NDArray[np.int64]
    first_sample: NDArray[np.int64]
    length_counts: NDArray[np.int64]
    counts: Counter[str]
    num_notes: int
    left_out: Path
    feature_shape: tuple[int, ...]
    encoders: list[str]

    @property
    def num_captions(self) -> int:
        """The usable captions."""
        return int(self.length_counts.sum())

    def notes(self) -> list[str]:
        """A line for each thing left out."""
        return unsealed(self.left_out).decode("utf-8").splitlines()

    def usable_rows(self, shard: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and lengths of a shard's usable captions."""
        rows, lengths = load_lengths(self.paths[shard], self.files[shard], self.request, self.what)
        return rows + self.first_caption[shard], lengths

    def index(self, shard: int) -> ShardIndex:
        """The index of a shard."""
        return load_index(self.paths[shard], self.files[shard], self.request)


def open_shards(paths: Sequence[Path], what: str, request: IndexRequest, folder: Path, num_workers: int) -> ShardSet:
    """The shards with their indexes, made first where they are not there.

    One process indexes under a lock, others wait for it; a killed one is gone on from. `what` is as in `ShardSet`.

    Raises:
        ShardError: a shard that is no tar file, or nothing in any that can be used.
    """
    files = [request.file(folder, path) for path in paths]
    summary = folder / f"summary-{content_key(what, *(file.name for file in files))}.npz"

    def make() -> None:
        _index_missing(paths, files, request, num_workers)
        _summarize(paths, files, request, what, summary)

    def load() -> ShardSet:
        unsealed(_left_out(summary))
        return _load_summary(list(paths), files, request, what, summary)

    found = derived(summary, make, load)
    if not found.num_captions:
        first = next(iter(found.notes()), "it is empty")
        raise ShardError(f"{found.paths[0]}: no caption with {what} in {len(found.paths)} shard(s); {first}")
    return found


def _index_missing(paths: Sequence[Path], files: Sequence[Path], request: IndexRequest, num_workers: int) -> None:
    todo = [(path, file) for path, file in zip(paths, files, strict=True) if not file.is_file()]
    dataset, workers = _Indexing(todo, request), min(num_workers, len(todo) // 2)
    errors = (
        watched(dataset, batch_size=None, num_workers=workers)
        if workers
        else map(dataset.__getitem__, range(len(todo)))
    )
    with Progress("indexing", len(todo), "shards", shown=bool(todo)) as progress:
        for error in errors:
            if error:
                raise ShardError(error)
            progress.count()


@dataclass(frozen=True)
class _Indexing(Dataset[str]):
    """Indexes a shard; the item is the user's mistake in words, or nothing."""

    todo: Sequence[tuple[Path, Path]]
    request: IndexRequest

    def __len__(self) -> int:
        return len(self.todo)

    def __getitem__(self, row: int) -> str:
        try:
            write_index(*self.todo[row], self.request)
        except (ShardError, OSError) as error:
            return str(error)
        return ""


def _summarize(paths: Sequence[Path], files: Sequence[Path], request: IndexRequest, what: str, summary: Path) -> None:
    captions, samples = [0], [0]
    lengths: Counter[int] = Counter()
    words: Counter[str] = Counter()
    shape: tuple[int, ...] = ()
    encoders: set[str] = set()
    notes = 0
    with sealed_write(_left_out(summary)) as listed:
        for path, file in zip(paths, files, strict=True):
            index = load_index(path, file, request)
            shape = shape or index.feature_shape
            _check_shape(index, shape, file)
            encoders |= {str(index.about.get("encoder", ""))} if index.feature_shape else set()
            captions.append(captions[-1] + len(index.lengths))
            samples.append(samples[-1] + len(index.keys))
            usable = index.usable(what)
            lengths.update(index.lengths[usable].tolist())
            words.update(index.counts_in(usable))
            lacking = index.lacking[what]
            told = [*index.notes, *([f"{lacking} samples hold no {what}; left out"] if lacking else [])]
            listed.writelines(f"{note}\n".encode("utf-8", "replace") for note in told)
            notes += len(told)
    ordered = sorted(words.items(), key=lambda item: (-item[1], item[0]))
    if what == "pictures":
        shape, encoders = (), set()
    facts = {"words": [word for word, _ in ordered], "notes": notes, "shape": shape, "encoders": sorted(encoders)}
    with sealed_write(summary) as opened:
        np.savez(
            opened,
            first_caption=np.array(captions, dtype=np.int64),
            first_sample=np.array(samples, dtype=np.int64),
            length_counts=np.array([lengths[n] for n in range(max(lengths, default=0) + 1)], dtype=np.int64),
            word_counts=np.array([count for _, count in ordered], dtype=np.int64),
            facts=np.frombuffer(json.dumps(facts).encode("ascii"), dtype=np.uint8),
        )


def _load_summary(paths: list[Path], files: list[Path], request: IndexRequest, what: str, summary: Path) -> ShardSet:
    with np.load(BytesIO(unsealed(summary)), allow_pickle=False) as found:
        facts = json.loads(bytes(found["facts"]))
        counts = Counter(dict(zip(facts["words"], found["word_counts"].tolist(), strict=True)))
        arrays: dict[str, Any] = {name: found[name] for name in ("first_caption", "first_sample", "length_counts")}
    arrays |= {"counts": counts, "num_notes": facts["notes"], "left_out": _left_out(summary)}
    return ShardSet(
        paths, files, request, what, **arrays, feature_shape=tuple(facts["shape"]), encoders=facts["encoders"]
    )


def _left_out(summary: Path) -> Path:
    return summary.with_name(f"{summary.stem}-left-out.txt")


def _check_shape(index: ShardIndex, shape: tuple[int, ...], file: Path) -> None:
    if index.feature_shape and index.feature_shape != shape:
        raise ShardError(
            f"{file.stem.rpartition('-')[0]}: features of shape {index.feature_shape}, those of the shards before "
            f"{shape}; name shards of one encoder only"
        )
