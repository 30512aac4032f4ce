"""Files of the cache that follow from others: sealed with a checksum, checked when read, made again where damaged.

A seal is a line behind the content: the CRC-32 of the content and of the file's name (so that no other derived file
passes for this one), and the length. What is read whole is checked each time it is read, at the price of a few
milliseconds. Large files that are mapped or read here and there are checked when they are opened, unless they were
found whole within the last week and neither size, times nor inode have changed since (`Checked`).
"""

import json
import os
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TypeVar

from filelock import FileLock

from showtell.data.paths import file_facts, shown
from showtell.errors import UserError
from showtell.files import TRAILER_BYTES, atomic_write, make_once, parsed_json, trailer, write_text_atomically

CHUNK = 1 << 20
CHECKED_FOR_SECONDS = 7 * 24 * 3600
_T = TypeVar("_T")


class DamagedError(UserError):
    """A derived file that is not as it was written; the message is one line: file and reason."""


@contextmanager
def sealed_write(file: Path) -> Iterator[IO[bytes]]:
    """`atomic_write` of a file that ends with a seal.

    Raises:
        WriteError: the disk is full, or a permission is missing; the old file is kept.
    """
    with atomic_write(file, "w+b") as opened:
        yield opened
        _seal(opened, file)


def seal(file: Path) -> None:
    """Seals a file as it is; its time stays."""
    time = file.stat().st_mtime_ns
    with file.open("r+b") as opened:
        _seal(opened, file)
    os.utime(file, ns=(time, time))


def _seal(opened: IO[bytes], file: Path) -> None:
    length = opened.seek(0, os.SEEK_END)
    opened.seek(0)
    checksum = _checksum(opened, length, _seed(file))
    opened.seek(length)
    opened.write(trailer(checksum, length))


def unsealed(file: Path) -> bytes:
    """The content of a sealed file.

    Raises:
        DamagedError: it is not there, or not as it was written.
    """
    try:
        data = file.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise DamagedError(f"{shown(file)} is not there") from None
    content, told = data[:-TRAILER_BYTES], data[-TRAILER_BYTES:]
    _compare(file, told, len(content), zlib.crc32(content, _seed(file)))
    return content


def check_seal(file: Path) -> None:
    """Reads a large sealed file in pieces.

    Raises:
        DamagedError: it is not as it was written.
    """
    with file.open("rb") as opened:
        length = max(0, opened.seek(0, os.SEEK_END) - TRAILER_BYTES)
        opened.seek(0)
        checksum = _checksum(opened, length, _seed(file))
        _compare(file, opened.read(), length, checksum)


def derived(file: Path, make: Callable[[], None], load: Callable[[], _T]) -> _T:
    """What a file of the cache holds: made first where it is not there, and again, with a line, where it is damaged.

    Args:
        file: whose presence says that it is made; processes that make it wait for one another.
        make: writes it, and what belongs to it.
        load: reads it; raises a `DamagedError`.
    """
    make_once(file, make)
    with suppress(DamagedError):
        return load()
    with FileLock(file.parent / "lock"):
        try:
            return load()  # another process has mended it
        except DamagedError as error:
            told_again(str(error))
            file.unlink(missing_ok=True)
            make()
    return load()


def told_again(fault: str) -> None:
    """Says that something is made again, and why."""
    print(f"note: {fault}; it is made again", flush=True)


class Checked:
    """Which files were found whole not long ago, and are as they were then; kept beside them."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "checked.json"
        try:
            found = parsed_json(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # then everything is checked anew
            found = {}
        self._found = found if isinstance(found, dict) else {}

    def holds(self, files: Iterable[Path], seen: int = 0) -> bool:
        """Whether all of them need no check; `seen` stands for what they were compared with."""
        return all(self._is_fresh(file, seen) for file in files)

    def add(self, files: Iterable[Path], seen: int = 0) -> None:
        """Notes that they are whole. Where that cannot be written, they are checked again next time."""
        now = time.time()
        self._found |= {file.name: [now, seen, *file_facts(file)] for file in files}
        with suppress(OSError):
            write_text_atomically(self._file, json.dumps(self._found))

    def _is_fresh(self, file: Path, seen: int) -> bool:
        match self._found.get(file.name):
            case [int() | float() as when, *facts]:
                is_recent = 0 <= time.time() - when < CHECKED_FOR_SECONDS
                return is_recent and facts == [seen, *file_facts(file)]
        return False


def _compare(file: Path, seal: bytes, length: int, checksum: int) -> None:
    if seal != trailer(checksum, length):
        is_whole = seal.startswith(trailer(0, 0)[:15])
        reason = "is damaged" if is_whole else "was cut, or written without a checksum by an older version"
        raise DamagedError(f"{shown(file)} {reason}")


def _seed(file: Path) -> int:
    return zlib.crc32(os.fsencode(f"{file.parent.name}/{file.name}"))


def _checksum(opened: IO[bytes], length: int, checksum: int) -> int:
    while length > 0 and (data := opened.read(min(CHUNK, length))):
        checksum, length = zlib.crc32(data, checksum), length - len(data)
    return checksum
