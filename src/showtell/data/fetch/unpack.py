"""A zip file's content beside it, whole: unpacked into a hidden folder first, moved into place at the end."""

import os
import shutil
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from showtell.data.fetch.download import FetchError
from showtell.files import size


def unpack(archive: Path, root: Path, advance: Callable[[int], None] = lambda num_bytes: None) -> None:
    """Unpacks all files below `root`, checks each one's CRC, and replaces files of the same name.

    `advance` hears how many bytes are unpacked. What macOS puts into archives is left out.

    Raises:
        FetchError: the archive is damaged, would leave `root`, or there is no room.
        OSError: the disk failed.
    """
    staging = root / f".{archive.stem}.unpacking"
    shutil.rmtree(staging, ignore_errors=True)  # a killed one's
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [one for one in opened.infolist() if _wanted(archive, one)]
            _check_room(root, archive.name, sum(one.file_size for one in members))
            done = 0
            for one in members:
                opened.extract(one, staging)
                done += one.file_size
                advance(done)
        _move_into(staging, root)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise FetchError(f"{archive}: damaged ({error}); delete it, then fetch again") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _wanted(archive: Path, member: zipfile.ZipInfo) -> bool:
    path = PurePosixPath(member.filename)
    if path.is_absolute() or ".." in path.parts:
        raise FetchError(f"{archive}: holds {member.filename!r}, which lies outside of its folder; do not use it")
    return not (member.is_dir() or path.parts[0] == "__MACOSX" or path.name == ".DS_Store")


def _check_room(root: Path, name: str, needed: int) -> None:
    free = shutil.disk_usage(root).free
    if needed > free:
        raise FetchError(f"{name}: unpacked it takes {size(needed)}, {size(free)} are free in {root}; make room")


def _move_into(staging: Path, root: Path) -> None:
    """Folders that are not there yet in one step, files into those that are."""
    for entry in sorted(staging.iterdir()):
        target = root / entry.name
        if entry.is_dir() and target.is_dir():
            _move_into(entry, target)
        else:
            os.replace(entry, target)
