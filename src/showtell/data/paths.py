"""What can be said about paths without opening a file: which pictures a user means, is it an ordinary local file.

Everything that a user or an annotation file names passes here first. Opening is what hangs on a named pipe and never
ends on `/dev/zero`, so the kind of file is asked of the file system before; and a name may hold line breaks or a
million characters, so a message prints it through `shown`. Of the pictures that a user types, one bad argument costs
one line and nothing else: whoever captions a thousand pictures wants the other 999.
"""

import os
import re
import stat
from collections.abc import Sequence
from glob import glob, has_magic
from pathlib import Path

from showtell.files import short_hash

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
_OTHER_PICTURES = (".gif", ".tif", ".tiff", ".bmp", ".eps", ".heic", ".heif", ".avif", ".jp2", ".svg")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_SHOWN_CHARACTERS = 200
_KINDS = (
    (stat.S_ISDIR, "is a folder, not a file"),
    (stat.S_ISFIFO, "is a named pipe, not a file"),
    (stat.S_ISSOCK, "is a socket, not a file"),
    (stat.S_ISCHR, "is a device, not a file"),
    (stat.S_ISBLK, "is a device, not a file"),
)


def shown(value: object) -> str:
    """The value on one line, of bearable length, whatever is in it."""
    if isinstance(value, str | Path):
        text = str(value)
        text = text if text.isprintable() and text else ascii(text[:_SHOWN_CHARACTERS])
    elif isinstance(value, dict | list):
        text = "an object" if isinstance(value, dict) else "a list"
    else:
        text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def is_url(argument: str | Path) -> bool:
    """Whether this is an address such as `https://...` or `file:///...`; a `Path` has lost a slash of it."""
    return _URL.match(str(argument)) is not None


def why_unreadable(path: str | Path) -> str | None:
    """The reason why `path` cannot be read as an ordinary local file, or None if it can.

    Follows symbolic links, opens nothing, and therefore never blocks.
    """
    if is_url(path):
        return "is an address; only local files are read, so download it first"
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return "is not there; check the path"
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return f"cannot be reached ({reason})"
    for is_kind, reason in _KINDS:
        if is_kind(mode):
            return reason
    return None if os.access(path, os.R_OK) else "may not be read; give yourself permission"


def stamp(path: str | Path) -> str:
    """Size and time of a file: what changes when its content does. A missing file has a stamp too."""
    try:
        found = os.stat(path)
    except OSError:
        return "missing"
    return f"{found.st_size} {found.st_mtime_ns}"


def sizes_hash(paths: Sequence[str | Path], stamps: Sequence[str]) -> str:
    """A hash of the names and sizes of files with these stamps: stays the same when a folder is copied."""
    sizes = (found.partition(" ")[0] for found in stamps)
    return short_hash(f"{os.path.basename(path)}\0{size}\n" for path, size in zip(paths, sizes, strict=True))


def find_pictures(arguments: list[str]) -> tuple[list[Path], list[str]]:
    """Finds the pictures that files, folders (by suffix, not deeper) and glob patterns mean; none is opened.

    Returns:
        The files in the order of the arguments, naturally sorted within a folder or pattern (2 before 10) and each
        once; and a line per argument or file that cannot be used.
    """
    found: dict[Path, None] = {}
    problems: list[str] = []
    for argument in arguments:
        candidates, complaint = _expand(argument)
        if complaint:
            problems.append(complaint)
        for path in candidates:
            reason = why_unreadable(path)
            if reason is None:
                found[path] = None
            else:
                problems.append(f"{shown(path)}: {reason}")
    return list(found), problems


def _expand(argument: str) -> tuple[list[Path], str | None]:
    if not argument or is_url(argument) or "\0" in argument:
        return [], f"{shown(argument)}: is no local path; give a picture, a folder or a pattern"
    path = Path(argument).expanduser()
    if _is_folder(path):
        return _in_folder(path)
    if has_magic(argument) and why_unreadable(path) is not None:
        matches = [Path(match) for match in glob(str(path))]
        files = sorted((match for match in matches if not _is_folder(match)), key=natural)
        return files, None if files else f"{shown(argument)}: no file matches this pattern"
    return [path], None


def _in_folder(folder: Path) -> tuple[list[Path], str | None]:
    try:
        entries = sorted(folder.iterdir(), key=natural)
    except OSError as error:
        return [], f"{shown(folder)}: cannot be listed ({error.strerror})"
    pictures = [path for path in entries if path.suffix.lower() in SUFFIXES and not _is_folder(path)]
    others = sum(path.suffix.lower() in _OTHER_PICTURES for path in entries)
    if others:
        return pictures, f"{shown(folder)}: {others} file(s) in other formats; convert them to JPEG, PNG or WEBP"
    return pictures, None if pictures else f"{shown(folder)}: holds no {', '.join(SUFFIXES)} file"


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a loop of links, a name that is too long
        return False


def natural(path: Path) -> list[tuple[int, str]]:
    """A key under which `10.jpg` comes after `2.jpg`."""
    pieces = re.split(r"([0-9]+)", str(path).lower())
    return [(int(piece), "") if piece.isdigit() and piece.isascii() else (-1, piece) for piece in pieces]
