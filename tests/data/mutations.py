"""Damage to files, at random but seeded: bytes are flipped, cut out, put in, moved and repeated."""

import random
from collections.abc import Sequence

PIECES = (
    b'"', b"'", b",", b";", b"\t", b"|", b"\n", b"\r\n", b"\r", b"{", b"}", b"[", b"]", b":", b"\\", b"\0", b"\xff",
    b"\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xe2\x80\xae", b"null", b"NaN", b"1e999", b"-1", b"9" * 30, b"true",
    b"[]", b"{}", b'""', b"../", b"/", b"\\u0000", b"\\ud800", b"#0", b" " * 50, b'"a": 1,', b"<start>", b"\n\n",
)  # fmt: skip


def mutated(data: bytes, rng: random.Random, times: int = 1) -> bytes:
    """The data with so many faults."""
    for _ in range(times):
        data = _FAULTS[rng.randrange(len(_FAULTS))](data, rng)
    return data


def _span(data: bytes, rng: random.Random) -> tuple[int, int]:
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + 1 + int(rng.expovariate(1 / 20)))


def _flip(data: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(max(1, len(data)))
    return data[:place] + bytes([byte ^ 1 << rng.randrange(8) for byte in data[place : place + 1]]) + data[place + 1 :]


def _cut_out(data: bytes, rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + data[end:]


def _put_in(data: bytes, rng: random.Random) -> bytes:
    start, _ = _span(data, rng)
    return data[:start] + rng.choice(PIECES) + data[start:]


def _replace(data: bytes, rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + rng.choice(PIECES) + data[end:]


def _repeat(data: bytes, rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    return data[:end] + data[start:end] * rng.choice((1, 2, 500)) + data[end:]


def _move(data: bytes, rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    place, _ = _span(data, rng)
    rest = data[:start] + data[end:]
    return rest[:place] + data[start:end] + rest[place:]


def _truncate(data: bytes, rng: random.Random) -> bytes:
    return data[: _span(data, rng)[0]]


def _drop_line(data: bytes, rng: random.Random) -> bytes:
    lines = data.split(b"\n")
    del lines[rng.randrange(len(lines))]
    return b"\n".join(lines)


_FAULTS = (_flip, _cut_out, _put_in, _replace, _repeat, _move, _truncate, _drop_line)


def announced(data: bytes, rng: random.Random, places: Sequence[int]) -> bytes:
    """One of the numbers of a picture's header (two or four bytes at these places) made another one."""
    place, size = rng.choice(list(places)), rng.choice((1, 2, 4))
    number = rng.choice((bytes(size), b"\xff" * size, rng.randbytes(size)))
    return data[:place] + number + data[place + size :]
