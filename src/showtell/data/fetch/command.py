"""`python -m showtell.data fetch NAME`: downloads, unpacks and checks a public data set.

The terms and the room that it takes are told first. What is there already is left alone, so the same command goes on
after a cut, a kill or Ctrl-C. Who cannot reach the publisher gets the archives elsewhere: `--from FOLDER` takes them
from there, `--mirror URL` from another server; the checksums are the same.
"""

import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from showtell.config.arguments import Parser
from showtell.config.presets import data_config
from showtell.data import check
from showtell.data.fetch.download import FetchError, download, matches
from showtell.data.fetch.sets import ON_REQUEST, PUBLIC_SETS, Archive, PublicSet
from showtell.data.fetch.unpack import unpack
from showtell.errors import UserError
from showtell.files import size


def main(arguments: list[str]) -> int:
    """Fetches the data set that the arguments name; 130 if it was interrupted.

    Raises:
        UserError: it cannot be had; one line.
    """
    parser = Parser(
        needs=f"name a data set: python -m showtell.data fetch NAME, one of {', '.join(PUBLIC_SETS)}",
        prog="python -m showtell.data fetch",
        description="Download, unpack and check a public data set. The same command goes on where it was stopped.",
        epilog="example: python -m showtell.data fetch coco2017 --root /data/coco2017",
    )
    parser.add_argument("name", help=", ".join(PUBLIC_SETS))
    parser.add_argument("--root", type=Path, help="the folder it is unpacked to; default: where data=NAME looks")
    parser.add_argument("--from", dest="folder", type=Path, help="take the archives from this folder, not from the web")
    parser.add_argument("--mirror", metavar="URL", help="take the archives from URL/ARCHIVE.zip")
    parser.add_argument("--keep", action="store_true", help="do not delete the archives once they are unpacked")
    parser.add_argument("--dry-run", action="store_true", help="tell terms and sizes, fetch nothing")
    options = parser.parse_args(arguments)
    wanted = _find(options.name)
    if options.mirror:
        base = options.mirror.rstrip("/")
        moved = tuple(replace(archive, url=f"{base}/{archive.name}") for archive in wanted.archives)
        wanted = replace(wanted, archives=moved)
    root = (options.root or Path(data_config([f"data={wanted.data}"]).root)).expanduser()
    missing = [archive for archive in wanted.archives if not is_there(archive, root)]
    print(_told(options.name, wanted, missing, root))
    if options.dry_run:
        return 0
    try:
        if missing:
            fetch(missing, root, options.folder, options.keep)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from there", file=sys.stderr)
        return 130
    return _checked(wanted, root)


def _find(name: str) -> PublicSet:
    if name in ON_REQUEST:
        raise UserError(f"fetch {name}: cannot be fetched by a program; {ON_REQUEST[name]}")
    if name not in PUBLIC_SETS:
        raise UserError(f"fetch {name}: there is no such data set here; choose one of {', '.join(PUBLIC_SETS)}")
    return PUBLIC_SETS[name]


def is_there(archive: Archive, root: Path) -> bool:
    """Whether all that an archive unpacks to lies below `root` already, by names and numbers of files."""
    for name, count in archive.holds.items():
        path = root / name
        if not (path.is_dir() and len(os.listdir(path)) >= count if count else path.is_file()):
            return False
    return True


def _told(name: str, wanted: PublicSet, missing: Sequence[Archive], root: Path) -> str:
    lines = [f"{name}. Terms: {wanted.terms}"]
    for archive in wanted.archives:
        state = size(archive.num_bytes) if archive in missing else "there already"
        lines.append(f"  {archive.name:30} {state:>13}   {archive.url}")
    if missing:
        download_bytes = sum(archive.num_bytes for archive in missing)
        lines.append(f"To {root}: {size(download_bytes)} to download, {size(_room(missing))} of room while unpacking")
    return "\n".join(lines)


def _room(missing: Sequence[Archive]) -> int:
    """The most that lies on the disk at a time: all content, and one archive, which goes once it is unpacked."""
    return sum(archive.room for archive in missing) + max(archive.num_bytes for archive in missing)


def fetch(missing: Sequence[Archive], root: Path, folder: Path | None, keep: bool) -> None:
    """Downloads and unpacks, archive by archive.

    Args:
        missing: what to fetch.
        root: the data set's folder; made if need be.
        folder: where the archives lie already, if they do; they stay there.
        keep: whether downloaded archives stay.

    Raises:
        UserError: an archive cannot be had, is wrong, or there is no room; what was finished stays.
    """
    root.mkdir(parents=True, exist_ok=True)
    lock = root / ".fetch.lock"
    try:
        with FileLock(lock, timeout=0), _removed_at_the_end(lock):
            _check_room(missing, root)
            for archive in missing:
                if folder:
                    _unpack(_given(archive, folder), root)
                    continue
                file = root / archive.name
                given = file.is_file() and matches(file, archive.checksum)
                if not given:
                    with _meter(archive.name, archive.num_bytes) as meter:
                        download(archive, file, meter.advance, meter.note)
                _unpack(file, root)
                if not keep and not given:  # what somebody had brought there stays
                    file.unlink()
    except Timeout:
        raise UserError(f"{root}: another process is fetching into it; wait for it, or use --root") from None


@contextmanager
def _removed_at_the_end(lock: Path) -> Iterator[None]:
    """No rest is left: the lock goes, and the data set's folder where nothing came into it."""
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        with suppress(OSError):
            lock.parent.rmdir()


def _check_room(missing: Sequence[Archive], root: Path) -> None:
    there = sum(part.stat().st_size for archive in missing for part in root.glob(f"{archive.name}*"))
    needed, free = _room(missing) - there, shutil.disk_usage(root).free
    if needed > free:
        raise FetchError(f"{root}: {size(needed)} are needed, {size(free)} are free; make room, or use --root FOLDER")


def _given(archive: Archive, folder: Path) -> Path:
    file = folder / archive.name
    if not file.is_file():
        raise FetchError(f"--from {folder}: {archive.name} is not there; get it from {archive.url}")
    if not matches(file, archive.checksum):
        raise FetchError(f"{file}: is not the archive that was published ({archive.checksum}); get it again")
    return file


def _unpack(file: Path, root: Path) -> None:
    with _meter(f"unpacking {file.name}", 0) as meter:
        unpack(file, root, meter.advance)


def _checked(wanted: PublicSet, root: Path) -> int:
    for archive in wanted.archives:
        if not is_there(archive, root):
            names = ", ".join(archive.holds)
            raise FetchError(f"{root}: {archive.name} does not hold all of {names}; fill it in by hand")
    if not wanted.described:
        print(f"Complete. These pictures have no captions: python predict.py RUN --annotations {root}/annotations/...")
        return 0
    code = check.main([f"data={wanted.data}", f"data.root={root}", "--fast"])
    print(f"Train with: python train.py data={wanted.data} data.root={root}")
    return code


class _Meter:
    """How far it is: a bar in a terminal, a line at every tenth in a file."""

    def __init__(self, title: str, total: int, progress: Progress) -> None:
        self.title, self.total, self.progress = title, total, progress
        self.task = progress.add_task(title, total=total or None)
        self.tenths = 0

    def advance(self, position: int) -> None:
        self.progress.update(self.task, completed=position)
        tenths = 10 * position // self.total if self.total else 0
        if not self.progress.console.is_terminal and tenths != self.tenths:
            self.note(f"{self.title}: {10 * tenths}%")
        self.tenths = tenths

    def note(self, line: str) -> None:
        self.progress.console.print(line, highlight=False, markup=False)


@contextmanager
def _meter(title: str, total: int) -> Iterator[_Meter]:
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    )  # fmt: skip
    started = time.monotonic()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield _Meter(title, total, progress)
    console.print(f"{title}: done in {time.monotonic() - started:.0f} s", highlight=False, markup=False)
