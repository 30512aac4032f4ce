"""Whole files or no files: how everything that Showtell leaves on a disk is written.

The bytes go into a temporary file beside the target, are forced to the disk, and take the target's name in
one step; a kill, a full disk or a missing permission at any moment leaves the old file as it was. The
temporary file lies in the same directory because a rename is atomic only within one file system ($TMPDIR
often is another one, and the rename then becomes a copy that can be cut). What is no file, a pipe or
/dev/null say, gets the bytes at the end. This module imports nothing heavy; all rooms use it.

What is kept in a cache is named by a `content_key` of all that it follows from, so nothing in it is ever stale.
"""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from showtell.errors import UserError
from showtell.temporaries import remove_stale_temporaries, temporary_name

MAX_READ = 64 << 20
"""Bytes of a file that somebody else may have written, and that is read whole."""
PICTURE_SUFFIXES = (
    ".jpg", ".jpeg", ".jfif", ".jpe", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif",
)  # fmt: skip
"""What names of picture files end in, in small letters."""

_cleaned: set[Path] = set()  # the folders that this process has written to


class WriteError(UserError, OSError):
    """A file could not be written; one line names it, the reason, and what happened to the old one."""

    def __str__(self) -> str:
        return str(self.strerror)


def is_stream(path: str | os.PathLike[str]) -> bool:
    """Whether a path names something that takes bytes and keeps none, as a pipe, a terminal or /dev/null."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISBLK(mode)) or _own_output(path) is not None


def _own_output(path: str | os.PathLike[str]) -> int | None:
    """1 or 2 for what the system calls standard output and error, wherever they lead, as /dev/stdout; else None."""
    return next((n for n in (1, 2) if os.fspath(path) in (f"/dev/fd/{n}", f"/dev/{('stdout', 'stderr')[n - 1]}")), None)


def size(num_bytes: int) -> str:
    """A size as people say it: `19.3 GB`, `253 MB`, `12 kB`."""
    for unit, bytes_per_unit in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if num_bytes >= bytes_per_unit:
            units = num_bytes / bytes_per_unit
            return f"{units:.3g} {unit}" if units < 100 else f"{units:,.0f} {unit}"
    return f"{num_bytes} bytes"


def write_error(path: Path, error: OSError, needed: int) -> WriteError:
    """Says in one line why `path` was not written; `needed` is the number of bytes known to be necessary."""
    kept = "the old file is kept" if os.path.lexists(path) else "no file was left behind"
    reason = os.strerror(error.errno) if error.errno else (str(error).splitlines() or [type(error).__name__])[0]
    with contextlib.suppress(OSError):  # the new file may be expected to be as large as the old one
        needed = max(needed, path.stat().st_size)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = shutil.disk_usage(path.parent).free
        reason = f"the disk is full: at least {size(needed)} needed, {size(free)} free; make room"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        reason += "; make its folder writable or choose another one"
    return WriteError(error.errno or errno.EIO, f"cannot write {path}: {reason}; {kept}")


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:  # some network file systems cannot sync a directory; the rename stands
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = "wb") -> Iterator[IO[Any]]:
    """Opens a file for writing that becomes `path` when the block ends without an error.

    Missing parent directories are made. Text is UTF-8; a lone surrogate becomes `?`.

    Args:
        path: the file to write; a symbolic link is followed, so that the link stays.
        mode: `wb`, `w`, or the same with `+`.

    Yields:
        The open temporary file.

    Raises:
        WriteError: the disk is full, or a permission is missing; the old file is kept.
    """
    if is_stream(path):
        with _writing_through(path, mode) as stream:
            yield stream
        return
    target = Path(os.path.realpath(path))
    if target.is_block_device():
        raise WriteError(errno.EINVAL, f"cannot write {path}: it is a disk; name a file")
    temporary = temporary_name(target)
    needed = 0
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.parent not in _cleaned:
            _cleaned.add(target.parent)
            remove_stale_temporaries(target.parent)
        file = open(temporary, mode.replace("w", "x"), **_as_text(mode))  # noqa: SIM115
        try:
            yield file
            file.flush()
            needed = os.fstat(file.fileno()).st_size
            os.fsync(file.fileno())
        finally:
            with contextlib.suppress(OSError, ValueError):
                needed = max(needed, file.tell())
            with contextlib.suppress(OSError):  # a full disk makes close() fail as well, after the real error
                file.close()
        if target.exists():
            shutil.copymode(target, temporary)
        os.replace(temporary, target)
        _sync_directory(target.parent)
    except (OSError, RuntimeError) as error:  # torch.save hides the disk's error behind a RuntimeError of its own
        hidden = error if isinstance(error, OSError) else error.__context__
        if isinstance(hidden, WriteError) or not isinstance(hidden, OSError):
            raise
        with contextlib.suppress(OSError):  # its space counts as free in the message
            temporary.unlink()
        raise write_error(target, hidden, needed) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


@contextlib.contextmanager
def _writing_through(path: str | os.PathLike[str], mode: str) -> Iterator[IO[Any]]:
    """Writes to a file of its own, and at the end from there to what is no file."""
    try:
        with tempfile.TemporaryFile(mode.rstrip("+") + "+", **_as_text(mode)) as file:
            yield file
            file.flush()
            file.seek(0)
            number = _own_output(path)
            if number is not None:
                (sys.stdout, sys.stderr)[number - 1].flush()
            with (
                open(os.dup(file.fileno()), "rb") as content,
                open(path if number is None else os.dup(number), "wb") as to,
            ):
                shutil.copyfileobj(content, to)
    except OSError as error:
        raise WriteError(error.errno or errno.EIO, f"cannot write {path}: {error.strerror}") from error


def _as_text(mode: str) -> dict[str, Any]:
    return {} if "b" in mode else {"encoding": "utf-8", "errors": "replace", "newline": "\n"}


def write_text_atomically(path: str | os.PathLike[str], text: str) -> None:
    """Writes a whole text file as UTF-8.

    Raises:
        WriteError: the disk is full, or a permission is missing; the old file is kept.
    """
    with atomic_write(path, "w") as file:
        file.write(text)


def check_writable(folder: Path, key: str) -> None:
    """Makes a folder, and refuses one that cannot be written to; `key` is the setting that names it.

    Raises:
        UserError: it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"{key}={folder}: cannot write there ({error.strerror}); choose another folder") from None


def write_json(path: str | os.PathLike[str], content: object) -> None:
    """Whole or not at all; as `atomic_write`."""
    write_text_atomically(path, json.dumps(content, ensure_ascii=False, indent=1) + "\n")


def make_once(file: Path, make: Callable[[], None]) -> None:
    """Has a file made unless it is there. Of several processes one makes it, under a lock beside it; others wait."""
    if not file.is_file():
        from filelock import FileLock  # here: scoring captions needs numpy and nltk alone

        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.parent / "lock"):
            if not file.is_file():
                remove_stale_temporaries(file.parent)
                make()


def trailer(checksum: int, length: int) -> bytes:
    """The line behind a file's content that tells its CRC-32 and length; its size never changes."""
    return b"\nShowtell-CRC32 %08x %016x\n" % (checksum, length)


TRAILER_BYTES = len(trailer(0, 0))


def parsed_json(content: str | bytes) -> Any:
    """What a JSON text says.

    Raises:
        ValueError: it is none, or nested too deeply.
    """
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_regular(file: Path, most: int = MAX_READ) -> bytes:
    """The content of a regular file of at most so many bytes.

    Raises:
        OSError: it is none, or cannot be read.
    """
    if not stat.S_ISREG(os.stat(file).st_mode):
        raise OSError(f"{file}: not a regular file")
    with open(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as opened:
        if os.fstat(opened.fileno()).st_size > most:
            raise OSError(f"{file}: more than {most} bytes")
        return opened.read(most)


def content_key(*facts: Any) -> str:
    """16 hex digits for what follows from `facts`: plain values, lists, dicts, dataclasses."""
    return short_hash([json.dumps(facts, sort_keys=True, default=asdict)])


def short_hash(parts: Iterable[str | bytes]) -> str:
    """16 hex digits for texts and bytes, one after the other."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part)
    return digest.hexdigest()[:16]


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's content, as text."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
