"""Damage to files, drawn by hypothesis: flipped, cut, repeated and foreign bytes, and values of other types.

The draws of the default suite are always the same, so that it is red by what has changed. `SHOWTELL_FUZZ_SEED=N` gives
others, and the slow suite draws many more.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy[Any]], Any]
SEED = os.environ.get("SHOWTELL_FUZZ_SEED")

TEXTS = st.one_of(
    st.text(max_size=12), st.sampled_from(["<script>x()</script>", "\u202e", "a" * 400, "", "null", "1e999"])
)
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.sampled_from([2**63, 10**400, -1, 0]), st.floats(), TEXTS
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)
FOREIGN = st.sampled_from(
    [
        b"",
        b"\0" * 64,
        b"\xff\xfe\xfd" * 9,
        b"{" * 3000,
        b"[" * 200_000,
        b'{"a":' * 5000,
        b"9" * 6000,
        b"PK\3\4" + b"\0" * 40,
    ]
)


def search(examples: int, attack: Callable[[Draw], None]) -> None:
    """Calls an attack with so many draws, and shows the simplest one that it fails by."""

    @settings(
        max_examples=examples, deadline=None, database=None, derandomize=SEED is None,
        suppress_health_check=list(HealthCheck), report_multiple_bugs=False,
    )  # fmt: skip
    @given(st.data())
    def attacked(data: st.DataObject) -> None:
        attack(data.draw)

    (hypothesis.seed(int(SEED)) if SEED else lambda test: test)(attacked)()


def broken_bytes(draw: Draw, content: bytes) -> bytes:
    """A content with flipped, missing, repeated or foreign bytes."""
    kind = draw(st.sampled_from(["flip", "cut", "repeat", "insert", "foreign"]))
    if kind == "foreign" or not content:
        return bytes(draw(FOREIGN))
    place = draw(st.integers(0, len(content) - 1))
    if kind == "flip":
        return content[:place] + bytes([content[place] ^ (1 << draw(st.integers(0, 7)))]) + content[place + 1 :]
    if kind == "cut":
        return content[:place]
    if kind == "repeat":
        return content[: place + 1] + content[place:]
    return content[:place] + draw(st.binary(min_size=1, max_size=8)) + content[place:]


def other_value(draw: Draw, values: Any) -> Any:
    """A JSON-like content in which something, anywhere, has another value, or is missing."""
    if isinstance(values, dict) and values and draw(st.integers(0, 4)):
        key = draw(st.sampled_from(sorted(values, key=str)))
        rest = {name: value for name, value in values.items() if name != key}
        return rest if draw(st.integers(0, 9)) == 0 else {**values, key: other_value(draw, values[key])}
    if isinstance(values, list) and values and draw(st.integers(0, 4)):
        place = draw(st.integers(0, len(values) - 1))
        return [*values[:place], other_value(draw, values[place]), *values[place + 1 :]]
    return draw(VALUES)


def as_json(values: Any) -> bytes:
    """With NaN and infinity, as Python writes them, and lone surrogates."""
    return json.dumps(values).encode()


def no_file(draw: Draw, path: Path) -> None:
    """Puts at a path what is no regular file."""
    kind = draw(st.sampled_from(["pipe", "folder", "loop", "endless", "missing", "huge"]))
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "endless":
        path.symlink_to("/dev/zero")
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(1 << 40)
