"""From `train-{000000..000331}.tar` or `train-*.tar` to the list of shards."""

import re
from glob import glob, has_magic
from itertools import product
from pathlib import Path

from showtell.data.paths import is_url, shown, why_unreadable
from showtell.errors import UserError

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
    total = 1
    for choice in choices:
        total *= len(choice)
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
