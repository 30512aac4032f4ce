"""Captions as numbers: word numbers, n-gram numbers, and how often each n-gram stands in each caption.

BLEU and CIDEr count n-grams. With tuples of strings in dictionaries, as in the published scorers, that
counting is most of their time. Here a word is a number, an n-gram is its first n-1 words (one number) and
its last word, packed into 64 bits and numbered anew, and all captions are counted at once by sorting.
References are numbered once; candidates then look their n-grams up, and what the references do not hold
gets numbers past theirs, which are only good for that one call.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

ORDERS = 4
LOW = 2**32 - 1  # the lower half of what `pack` makes
Ints = NDArray[np.int64]


def pack(high: NDArray[Any], low: NDArray[Any]) -> Ints:
    """Two numbers below 2**31 in one that sorts by `high`, then by `low`."""
    packed: Ints = (high.astype(np.int64) << 32) | low
    return packed


def spans(starts: Ints, lengths: Ints) -> Ints:
    """The ranges `starts[i] ... starts[i] + lengths[i] - 1`, one after the other."""
    shifts = starts - (np.cumsum(lengths) - lengths)
    return np.repeat(shifts, lengths) + np.arange(lengths.sum())


def find(table: Ints, keys: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """Where each key stands in the sorted table, and whether it stands there at all."""
    if not len(table):
        return np.zeros(len(keys), np.int64), np.zeros(len(keys), np.bool_)
    places = np.minimum(np.searchsorted(table, keys), len(table) - 1)
    return places, table[places] == keys


@dataclass(frozen=True)
class Counts:
    """How often each n-gram of one order stands in each caption: rows sorted by caption, then by n-gram.

    `keys` packs (caption, n-gram); `starts[i]:starts[i + 1]` are the rows of caption `i`.
    """

    keys: Ints
    counts: NDArray[np.int32]
    starts: Ints

    @property
    def captions(self) -> Ints:
        """The caption of each row."""
        return self.keys >> 32

    @property
    def grams(self) -> Ints:
        """The n-gram of each row."""
        return self.keys & LOW


@dataclass(frozen=True)
class Captions:
    """Counted captions: caption `i` has `words[starts[i]:starts[i + 1]]`, `orders[n - 1]` its n-grams."""

    words: Ints
    starts: Ints
    orders: tuple[Counts, ...]

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> Ints:
        """Words per caption."""
        return np.diff(self.starts)


class NgramIndex:
    """Numbers for the n-grams of the captions it is made from, which it counts as `captions`."""

    def __init__(self, captions: Sequence[Sequence[str]]) -> None:
        self._words: dict[str, int] = {}
        self._tables: list[Ints] = [np.empty(0, np.int64)] * (ORDERS - 1)
        self.captions = self._count(captions, learn=True)

    def size(self, order: int) -> int:
        """How many n-grams of this order have lasting numbers."""
        return len(self._words) if order == 1 else len(self._tables[order - 2])

    def count(self, captions: Sequence[Sequence[str]]) -> Captions:
        """Counts other captions; n-grams unknown to the index are numbered from `size` upwards."""
        return self._count(captions, learn=False)

    def _count(self, captions: Sequence[Sequence[str]], learn: bool) -> Captions:
        lengths = np.fromiter(map(len, captions), np.int64, len(captions))
        ends = np.cumsum(lengths)
        words = self._number_words(captions, learn)
        owner = np.repeat(np.arange(len(captions)), lengths)
        room = np.repeat(ends, lengths) - np.arange(len(words))  # words from here to the caption's end
        at, grams = np.arange(len(words)), words
        orders = [_tally(owner, grams, len(captions))]
        for order in range(2, ORDERS + 1):
            goes_on = room[at] >= order
            at, prefix = at[goes_on], grams[goes_on]
            grams = self._number_grams(order, pack(prefix, words[at + order - 1]), learn)
            orders.append(_tally(owner[at], grams, len(captions)))
        return Captions(words, np.concatenate([[0], ends]), tuple(orders))

    def _number_words(self, captions: Sequence[Sequence[str]], learn: bool) -> Ints:
        known = self._words
        new: dict[str, int] = known if learn else {}
        offset = 0 if learn else len(known)
        numbers = [
            known[word] if word in known else new.setdefault(word, offset + len(new))
            for caption in captions
            for word in caption
        ]
        return np.array(numbers, np.int64)

    def _number_grams(self, order: int, keys: Ints, learn: bool) -> Ints:
        table = self._tables[order - 2]
        numbers, known = find(table, keys)
        unknown, places = np.unique(keys[~known], return_inverse=True)
        numbers[~known] = len(table) + places
        if learn:
            self._tables[order - 2] = unknown
        return numbers


def _tally(captions: Ints, grams: Ints, total: int) -> Counts:
    keys, counts = np.unique(pack(captions, grams), return_counts=True)
    return Counts(keys, counts.astype(np.int32), np.searchsorted(keys, np.arange(total + 1) << 32))
