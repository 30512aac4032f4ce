"""What a user typed (pictures, folders, patterns) becomes a list of picture files and a list of complaints.

One bad argument costs one line and nothing else: whoever captions a thousand pictures wants the other 999.
"""

import re
from glob import glob, has_magic
from pathlib import Path

from showtell.data.files import is_url, shown, why_unreadable

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
_OTHER_PICTURES = (".gif", ".tif", ".tiff", ".bmp", ".eps", ".heic", ".heif", ".avif", ".jp2", ".svg")


def find_pictures(arguments: list[str]) -> tuple[list[Path], list[str]]:
    """Finds the pictures that the arguments mean; none is opened.

    Args:
        arguments: pictures, folders (their pictures by suffix, not deeper) and glob patterns.

    Returns: The files in the order of the arguments, naturally sorted within a folder or pattern (2 before
    10) and each once; and a line per argument or file that cannot be used.
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
        files = sorted((match for match in matches if not _is_folder(match)), key=_natural)
        return files, None if files else f"{shown(argument)}: no file matches this pattern"
    return [path], None


def _in_folder(folder: Path) -> tuple[list[Path], str | None]:
    try:
        entries = sorted(folder.iterdir(), key=_natural)
    except OSError as error:
        return [], f"{shown(folder)}: cannot be listed ({error.strerror})"
    pictures = [path for path in entries if path.suffix.lower() in SUFFIXES and not _is_folder(path)]
    others = sum(path.suffix.lower() in _OTHER_PICTURES for path in entries)
    if others:
        return (
            pictures,
            f"{shown(folder)}: {others} file(s) in other formats; convert them to JPEG, PNG or WEBP",
        )
    return pictures, None if pictures else f"{shown(folder)}: holds no {', '.join(SUFFIXES)} file"


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a loop of links, a name that is too long
        return False


def _natural(path: Path) -> list[tuple[int, str]]:
    """A key under which `10.jpg` comes after `2.jpg`."""
    pieces = re.split(r"([0-9]+)", str(path).lower())
    return [(int(piece), "") if piece.isdigit() and piece.isascii() else (-1, piece) for piece in pieces]
