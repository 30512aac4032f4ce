"""What can be said about a path without opening it: is it an ordinary local file, how is it printed.

Everything that a user or an annotation file names passes here first. Opening is what hangs on a named pipe
and never ends on `/dev/zero`, so the kind of file is asked of the file system before; and a name may hold
line breaks or a million characters, so a message prints it through `shown`.
"""

import hashlib
import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path

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


def sizes_hash(paths: Sequence[str | Path]) -> str:
    """A hash of the files' names and sizes: stays the same when a folder is copied."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{os.path.basename(path)}\0{stamp(path).partition(' ')[0]}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]
