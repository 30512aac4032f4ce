"""Sums over pictures, of which scores of a corpus are formulas: the mean of a score, BLEU of its n-gram counts.

Who has each picture's part of the sums can resample pictures, swap two systems' captions, or leave pictures out,
without scoring a caption again. They are stored with a run's captions, 14 numbers per picture.
"""

import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from showtell.evaluation.ngrams import ORDERS
from showtell.files import atomic_write

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
    """What `save_statistics` wrote; None where it is not there or torn."""
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
            found = dict(arrays)
        signature, epoch = found.pop("about").tolist()
        return Statistics(found.pop("picture_ids"), tuple(_sums(found.items())), signature, int(epoch))
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error):
        return None


def _sums(arrays: Iterable[tuple[str, Floats]]) -> Iterable[Sums]:
    for key, pictures in arrays:
        kind, _, names = key.partition(":")
        yield Sums(names.split(","), pictures, _STORED[kind])
