"""Candidates from several processes, as one set.

A metric of a corpus is not the mean of metrics of its parts, so processes exchange captions, never scores.
A distributed sampler pads its last batch with pictures it has already handed out; by picture id these fall
away.
"""

from collections.abc import Mapping, Sequence

from showtell.distributed import all_gather


def merge_candidates(parts: Sequence[Mapping[int, str]]) -> dict[int, str]:
    """One caption per picture, in the order of ids; of several parts that have it, the first one's counts."""
    merged: dict[int, str] = {}
    for part in parts:
        for picture, caption in part.items():
            merged.setdefault(picture, caption)
    return dict(sorted(merged.items()))


def gather_candidates(candidates: Mapping[int, str]) -> dict[int, str]:
    """The candidates of all ranks, the same on each of them; in a single process only sorted.

    A collective call: every rank must make it.
    """
    return merge_candidates(all_gather(dict(candidates)))
