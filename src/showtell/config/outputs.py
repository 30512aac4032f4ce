"""Where a command may write: nothing of what it reads, no file twice, and only where it can.

Each command asks before it reads anything, with the files that its options name. Files are the same whatever their
paths look like: links and other spellings are seen through.
"""

import errno
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from showtell.errors import ConfigError
from showtell.files import PICTURE_SUFFIXES, is_stream

Named = tuple[str, Path]
"""What messages call a file, an option or `a picture` say, and where it is."""


def check_outputs(outputs: Iterable[Named], inputs: Iterable[Named] = ()) -> None:
    """Refuses files to write that the command reads, or that cannot be written.

    Raises:
        ConfigError: one line that names option and file.
    """
    outputs = list(outputs)
    for option, path in outputs:
        if path.suffix.lower() in (*PICTURE_SUFFIXES, ".ckpt"):
            raise ConfigError(f"{option} {path}: ends like a picture or a checkpoint; name another file to write")
    _check_different(outputs, inputs)
    for option, path in outputs:
        if not is_stream(path):
            with _writing(option, path):
                if path.is_dir():
                    raise IsADirectoryError(errno.EISDIR, "it is a folder")
                _try_folder(Path(os.path.realpath(path)).parent)


def check_folder(option: str, folder: Path, names: Iterable[str], inputs: Iterable[Named]) -> None:
    """Refuses a folder to write into in which inputs lie, by themselves or as links.

    Args:
        option: how the folder was named.
        folder: it.
        names: of the files to write there.
        inputs: what is read.

    Raises:
        ConfigError: one line.
    """
    inputs = list(inputs)
    if folder.is_dir():
        place, parents = _identity(folder), {path.parent: (what, path) for what, path in inputs}
        for parent, (what, path) in parents.items():
            if _identity(parent) == place:
                raise ConfigError(f"{option} {folder}: {what} lies there ({path.name}); name another folder")
    _check_different([(option, folder / name) for name in names], inputs)
    with _writing(option, folder):
        _try_folder(folder)


def _check_different(outputs: Iterable[Named], inputs: Iterable[Named]) -> None:
    known: dict[object, Named] = {}
    for what, path in inputs:
        known.setdefault(_identity(path), (what, path))
    for option, path in outputs:
        if is_stream(path):
            continue
        if same := known.get(_identity(path)):
            other = "" if same[1] == path else f" ({same[1]})"
            raise ConfigError(f"{option} {path}: would overwrite {same[0]}{other}; name another file to write")
        known[_identity(path)] = f"what {option} writes", path


def _identity(path: Path) -> object:
    with suppress(OSError, ValueError):
        found = os.stat(path)
        return found.st_dev, found.st_ino
    return os.path.realpath(path)


def scores_file(output: Path) -> Path:
    """`res.scores.json` for `res.json`."""
    return output.with_suffix(".scores.json")


def labelled(path: Path, label: str) -> Path:
    """`res.json` or, where several models caption, `res-LABEL.json`."""
    name = re.sub(r"[^\w.-]+", "_", label)
    head, dot, tail = path.name.partition(".")
    return path.with_name(f"{head}-{name}{dot}{tail}") if name else path


@contextmanager
def _writing(option: str, path: Path) -> Iterator[None]:
    try:
        with suppress(FileNotFoundError):
            path.stat()  # a name that is too long, links in a circle
        yield
    except OSError as error:
        raise ConfigError(f"{option} {path}: cannot be written ({error.strerror}); name another place") from None


def _try_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass
