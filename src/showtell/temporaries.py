"""Temporary files and folders that do not stay: the next who works at their place removes what killed processes left.

A name carries the machine and the process id of whoever made it, so that rubbish can be told from what somebody is
writing right now, and a random part, so that nobody can put a link in its way.
"""

import contextlib
import hashlib
import os
import re
import secrets
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from showtell.ownership import is_alive

_TEMPORARY = re.compile(r"\..{1,40}\.(?P<pid>\d+)-(?P<host>[0-9a-f]{6})-[0-9a-f]{8}\.tmp", re.DOTALL)
_FORGOTTEN_SECONDS = 24 * 3600.0  # nobody has gone on writing for so long; the machine may be another one


def temporary_name(path: Path) -> Path:
    """A free name beside a path, of this process."""
    writer = f"{os.getpid()}-{_host()}-{secrets.token_hex(4)}"
    return path.with_name(f".{path.name[:40]}.{writer}.tmp")  # 255 bytes are all that a name may have


@contextlib.contextmanager
def temporary_folder(path: Path | None = None) -> Iterator[Path]:
    """A folder beside a path, or in $TMPDIR, which is gone after the block."""
    path = Path(os.path.realpath(path or Path(tempfile.gettempdir(), "showtell")))
    remove_stale_temporaries(path.parent)
    folder = temporary_name(path)
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_stale_temporaries(directory: str | os.PathLike[str]) -> list[Path]:
    """Removes what killed processes left in `directory` (not below it); what somebody may be writing stays.

    Returns:
        The removed files and folders. A directory that does not exist has none.
    """
    removed = []
    for path in sorted(Path(directory).glob(".*.tmp")):
        match = _TEMPORARY.fullmatch(path.name)
        with contextlib.suppress(OSError):
            found = path.lstat()
            if match and _is_forgotten(found, int(match["pid"]), match["host"]):
                if stat.S_ISREG(found.st_mode):
                    path.unlink()
                elif stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid():  # $TMPDIR is everybody's
                    shutil.rmtree(path)
                else:
                    continue
                removed.append(path)
    return removed


def _is_forgotten(found: os.stat_result, pid: int, host: str) -> bool:
    """Whether its owner has gone: seen here where it ran here, else by its age."""
    dead = host == _host() and not is_alive(pid)
    return dead or time.time() - found.st_mtime > _FORGOTTEN_SECONDS


def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode("utf-8", "surrogateescape")).hexdigest()[:6]
