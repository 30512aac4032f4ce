"""What can be said about paths without opening a file: which pictures a user means, is it an ordinary local file.

Everything that a user or an annotation file names passes here first. Opening is what hangs on a named pipe and never
ends on `/dev/zero`, so the kind of file is asked of the file system before; and a name may hold line breaks or a
million characters, so a message prints it through `shown`. Of the pictures that a user types, one bad argument costs
one line and nothing else: whoever captions a thousand pictures wants the other 999.
"""

import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from glob import glob, has_magic
from pathlib import Path
from typing import NamedTuple

from showtell.files import PICTURE_SUFFIXES, short_hash

_OTHER_PICTURES = (".eps", ".jp2", ".jxl", ".svg", ".psd", ".dng", ".cr2", ".nef", ".arw")
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


def counted(count: int, noun: str) -> str:
    """`1 picture`, `3,000 pictures`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


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


class FileFacts(NamedTuple):
    """What changes with the content of a file; all are -1 where there is none. Times are nanoseconds."""

    size: int
    modified: int
    changed: int
    inode: int

    @property
    def stamp(self) -> str:
        """Size and time, which stay when a folder is copied with its times. A missing file has a stamp too."""
        return "missing" if self.size < 0 else f"{self.size} {self.modified}"


def file_facts(path: str | Path) -> FileFacts:
    """Asks the file system."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return FileFacts(-1, -1, -1, -1)
    return FileFacts(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


def stamp(path: str | Path) -> str:
    """Size and time of a file: what changes when its content does. A missing file has a stamp too."""
    return file_facts(path).stamp


def sizes_hash(paths: Sequence[str | Path], stamps: Sequence[str]) -> str:
    """A hash of the names and sizes of files with these stamps: stays the same when a folder is copied."""
    sizes = (found.partition(" ")[0] for found in stamps)
    return short_hash(f"{os.path.basename(path)}\0{size}\n" for path, size in zip(paths, sizes, strict=True))


@dataclass
class FoundPictures:
    """What the words of a command line mean.

    Attributes:
        paths: the files in the order of the words, each once; naturally sorted (2 before 10) within a folder or pattern
        problems: a line per word or file that cannot be used.
        notes: a line per folder whose sub-folders were passed over.
    """

    paths: list[Path] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def find_pictures(arguments: Sequence[str], *, recursive: bool = False) -> FoundPictures:
    """Finds the pictures that files, folders (by suffix; deeper where `recursive`) and patterns mean; opens none.

    In a pattern, `**` stands for folders of any depth.
    """
    found = FoundPictures()
    paths: dict[Path, None] = {}
    for argument in arguments:
        for path in _expand(argument, found, recursive):
            reason = why_unreadable(path)
            if reason is None:
                paths[path] = None
            else:
                found.problems.append(f"{shown(path)}: {reason}")
    found.paths = list(paths)
    return found


def _expand(argument: str, found: FoundPictures, recursive: bool) -> list[Path]:
    if not argument or is_url(argument) or "\0" in argument:
        found.problems.append(f"{shown(argument)}: is no local path; give a picture, a folder or a pattern")
        return []
    path = Path(argument).expanduser()
    if _is_folder(path):
        return _in_folder(path, found, recursive)
    if has_magic(argument) and why_unreadable(path) is not None:
        files = sorted((match for match in _matches(path) if not _is_folder(match)), key=natural)
        if not files:
            found.problems.append(f"{shown(argument)}: no file matches this pattern")
        return files
    return [path]


def _matches(pattern: Path) -> list[Path]:
    """The shell's and Python's meaning of a pattern; `**` follows no links, which may lead back."""
    if "**" not in pattern.parts:
        return [Path(match) for match in glob(str(pattern))]
    relative = pattern.relative_to(pattern.anchor)
    parts = [part if part == "**" else part.replace("**", "*") for part in relative.parts]
    parts += ["*"] if parts[-1] == "**" else []
    hidden = any(part.startswith(".") and has_magic(part) for part in parts)
    matches = Path(pattern.anchor).glob("/".join(parts))
    return [match for match in matches if hidden or not _is_hidden(match, parts)]


def _is_hidden(path: Path, named: Sequence[str] = ()) -> bool:
    return any(part.startswith(".") and part not in (*named, "..") for part in path.parts)


def _in_folder(folder: Path, found: FoundPictures, recursive: bool) -> list[Path]:
    try:
        entries = sorted((path for path in folder.iterdir() if not path.name.startswith(".")), key=natural)
    except OSError as error:
        found.problems.append(f"{shown(folder)}: cannot be listed ({error.strerror})")
        return []
    folders = [path for path in entries if _is_folder(path)]
    files = list(files_below(folder)) if recursive else [path for path in entries if path not in folders]
    pictures = [path for path in files if path.suffix.lower() in PICTURE_SUFFIXES]
    others = sum(path.suffix.lower() in _OTHER_PICTURES for path in files)
    if others:
        found.problems.append(
            f"{shown(folder)}: {counted(others, 'file')} in other formats; convert them to JPEG or PNG"
        )
    deeper = [] if recursive else [path for path in folders if _holds_pictures(path)]
    if deeper and pictures:
        count = counted(len(deeper), "sub-folder")
        found.notes.append(
            f"{shown(folder)}: pictures in {count} such as {shown(deeper[0].name)} are left out; --recursive takes "
            "them too"
        )
    elif deeper:
        found.problems.append(f"{shown(folder)}: its pictures lie in sub-folders; add --recursive")
    elif not pictures and not others:
        found.problems.append(f"{shown(folder)}: holds no {', '.join(PICTURE_SUFFIXES)} file")
    return pictures


def files_below(folder: Path) -> Iterator[Path]:
    """All files of a folder and its sub-folders, folder by folder, without hidden ones.

    Links are followed, each folder once, and none that leads back to a folder above this one.
    """
    seen: set[str] = set()
    above = {str(parent) for parent in folder.resolve().parents}
    for place, inner, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen or real in above:
            inner.clear()
            continue
        seen.add(real)
        inner[:] = sorted((name for name in inner if not name.startswith((".", "__MACOSX"))), key=natural)
        yield from (Path(place, name) for name in sorted(names, key=natural) if not name.startswith("."))


def _holds_pictures(folder: Path) -> bool:
    """Whether there is one in it or below."""
    return any(file.suffix.lower() in PICTURE_SUFFIXES for file in files_below(folder))


def telling_names(paths: Sequence[Path]) -> list[str]:
    """A short name per picture that no other one has: the file's, with as many folders before it as it takes."""
    alike: dict[str, list[Path]] = {}
    for path in paths:
        alike.setdefault(path.name, []).append(path.absolute())
    shared = {name: os.path.commonpath([path.parent for path in them]) for name, them in alike.items()}
    return [
        path.name if len(alike[path.name]) == 1 else path.absolute().relative_to(shared[path.name]).as_posix()
        for path in paths
    ]


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a loop of links, a name that is too long
        return False


def natural(path: Path | str) -> list[tuple[int, str]]:
    """A key under which `10.jpg` comes after `2.jpg`."""
    pieces = re.split(r"([0-9]+)", str(path).lower())
    return [(int(piece), "") if piece.isdigit() and piece.isascii() else (-1, piece) for piece in pieces]
