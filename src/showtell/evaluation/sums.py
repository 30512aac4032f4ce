"""Sums over pictures, of which scores of a corpus are formulas: the mean of a score, BLEU of its n-gram counts.

Who has each picture's part of the sums can resample pictures, swap two systems' captions, or leave pictures out,
without scoring a caption again. They are stored with a run's captions, 14 numbers per picture.
"""

import io
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from showtell.evaluation.ngrams import ORDERS
from showtell.files import MAX_READ, atomic_write, read_regular

Floats = NDArray[np.float64]
_TINY, _SMALL = 1e-15, 1e-9


@dataclass(frozen=True)
class Sums:
    """What some scores follow from.

    Attributes:
        names: of the S scores.
        pictures: `(P, K)` what each picture adds to the K sums.
        formula: from sums `(..., K)` to scores `(..., S)`.
    """

    names: Sequence[str]
    pictures: Floats
    formula: Callable[[Floats], Floats]


def mean(sums: Floats) -> Floats:
    """`(..., S)` of the sums of scores and the number of pictures, `(..., S + 1)`."""
    return sums[..., :-1] / sums[..., -1:]


def bleu(counts: Floats) -> Floats:
    """`(..., 4)` BLEU-1 to BLEU-4 of counts `(..., 10)`.

    These are, of orders 1 to 4, the n-grams that match and those there are, then the length and that of the closest
    reference.
    """
    matches, guesses = counts[..., :ORDERS], counts[..., ORDERS : 2 * ORDERS]
    precisions = (matches + _TINY) / (guesses + _SMALL)
    means = np.cumprod(precisions, axis=-1) ** (1 / np.arange(1, ORDERS + 1))
    ratio = (counts[..., -2] + _TINY) / (counts[..., -1] + _SMALL)
    penalty = np.exp(np.minimum(0, 1 - 1 / ratio))
    return np.asarray(means * penalty[..., None])


_STORED = {"mean": mean, "bleu": bleu}


@dataclass(frozen=True)
class Statistics:
    """The sums of one run's captions of some pictures.

    Attributes:
        picture_ids: `(P,)` in the order of the sums.
        sums: of the scores that have any.
        signature: of the scores.
        epoch: after which the captions were made, counted from 1; 0 where there is none.
    """

    picture_ids: NDArray[np.int64]
    sums: Sequence[Sums]
    signature: str
    epoch: int = 0


def save_statistics(file: Path, found: Statistics) -> None:
    """Writes them; scores of formulas that a plugin brings are left out."""
    names = {formula: name for name, formula in _STORED.items()}
    stored = [one for one in found.sums if one.formula in names]
    arrays: dict[str, Any] = {f"{names[one.formula]}:{','.join(one.names)}": one.pictures for one in stored}
    with atomic_write(file) as opened:
        about = np.array([found.signature, str(found.epoch)])
        np.savez_compressed(opened, about=about, picture_ids=found.picture_ids, **arrays)


def load_statistics(file: Path) -> Statistics | None:
    """What `save_statistics` wrote; None where it is not there, torn, or not of its kind."""
    try:
        content = io.BytesIO(read_regular(file))
        with ZipFile(content) as archive:
            if sum(member.file_size for member in archive.infolist()) > MAX_READ:
                return None
        with np.load(content, allow_pickle=False) as arrays:
            found = dict(arrays)
        about, ids = found.pop("about"), found.pop("picture_ids")
        signature, epoch = about.tolist()
        sums = tuple(_sums(found.items(), len(ids)))
        return Statistics(ids, sums, str(signature), int(epoch))
    except (OSError, ValueError, LookupError, TypeError, EOFError, BadZipFile, zlib.error, NotImplementedError):
        return None


def _sums(arrays: Iterable[tuple[str, Floats]], count: int) -> Iterable[Sums]:
    for key, pictures in arrays:
        kind, _, told = key.partition(":")
        names = told.split(",")
        columns = 2 * ORDERS + 2 if kind == "bleu" else len(names) + 1
        if pictures.shape != (count, columns) or pictures.dtype.kind not in "iuf":
            raise ValueError(f"{key}: not the sums of {count} pictures")
        yield Sums(names, pictures, _STORED[kind])
