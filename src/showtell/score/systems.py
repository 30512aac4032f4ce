"""What the command line names: systems, and the files of their runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path

from showtell.data.paths import shown
from showtell.errors import UserError


@dataclass(frozen=True)
class System:
    """What is judged: a name, and the files of its runs."""

    name: str
    files: tuple[Path, ...]


def systems_of(words: Sequence[str]) -> list[System]:
    """What `RES.json` and `NAME=RUN1.json,RUN2.json` mean; patterns with * are filled in.

    Raises:
        UserError: a file is not there, or two systems have one name.
    """
    split = [("", word) if Path(word).is_file() else _named(word) for word in words]
    found = []
    for name, text in split:
        parts = [text] if Path(text).is_file() else text.split(",")
        files = [Path(file) for part in parts for file in (sorted(glob(part)) if has_magic(part) else [part])]
        if missing := next((file for file in files if not file.is_file()), None):
            fault = "is a folder, not a file" if missing.is_dir() else "there is no such file"
            raise UserError(f"{shown(missing)}: {fault}; name files of captions, e.g. A=one.json,two.json")
        if not files:
            raise UserError(f"{shown(text)}: no file fits; name files of captions")
        found.append(System(name, tuple(files)))
    labels = _labels([system.files[0] for system in found])
    found = [System(one.name or label, one.files) for one, label in zip(found, labels, strict=True)]
    twice = next((one.name for place, one in enumerate(found) if one.name in [b.name for b in found[:place]]), None)
    if twice is not None and (same := _named_again(found)):
        raise UserError(f"{shown(same)}: this file is named twice; leave one out")
    if twice is not None:
        raise UserError(
            f"{shown(twice)}: two systems have this name; give them names, as in A={shown(found[0].files[0])}"
        )
    return found


def _named_again(systems: Sequence[System]) -> Path | None:
    seen = [one.files[0] for one in systems if len(one.files) == 1]
    return next((file for place, file in enumerate(seen) if file in seen[:place]), None)


def _named(word: str) -> tuple[str, str]:
    name, equals, text = word.partition("=")
    return (name, text) if equals and name and "/" not in name else ("", word)


def _labels(files: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that tell the files apart, without suffix."""
    parts = [file.with_suffix("").parts for file in files]
    for length in range(1, max(map(len, parts)) + 1):
        ends = ["/".join(part[-length:]) for part in parts]
        if len(set(ends)) == len(ends):
            return ends
    return ends
