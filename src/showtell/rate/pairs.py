"""Which pictures are rated: those that both systems caption, some of them, with the sides shuffled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from showtell.data.paths import counted, files_below, shown
from showtell.errors import UserError
from showtell.files import PICTURE_SUFFIXES
from showtell.score.files import ReferenceFile, Results, match

Name = int | str


@dataclass(frozen=True)
class Pair:
    """A picture and two captions of it, as the page shows them from left to right; `swapped`: B's is on the left."""

    picture: Path
    captions: tuple[str, str]
    swapped: bool


@dataclass(frozen=True)
class Draw:
    """What is to be rated.

    Attributes:
        pairs: in the order of the page.
        identical: of the pictures drawn, those whose two captions are one and the same; they count as ties.
        notes: what was left out.
    """

    pairs: Sequence[Pair]
    identical: int
    notes: Sequence[str]


def draw(
    one: Results, other: Results, images: Path, references: ReferenceFile | None, pictures: int, seed: int
) -> Draw:
    """Draws pictures and shuffles sides.

    Args:
        one: system A's captions.
        other: system B's.
        images: the folder of the pictures.
        references: where results number pictures, the file that knows their names.
        pictures: how many are drawn at most.
        seed: of pictures, order and sides.

    Raises:
        UserError: the two have no picture in common, or none is in the folder; one line.
    """
    ours, theirs = (_named(results, references) for results in (one, other))
    common = [name for name in ours if name in theirs]
    if not common:
        raise UserError(
            f"{shown(one.path)} and {shown(other.path)} caption no picture in common; give two systems' captions of "
            "the same pictures"
        )
    notes = []
    if lost := len(ours) + len(theirs) - 2 * len(common):
        notes.append(f"{counted(lost, 'caption')} of pictures that the other system does not caption: left out")
    files = _Folder(images)
    found = [(name, file) for name in common if (file := files.find(name)) is not None]
    if not found:
        raise UserError(
            f"--images {shown(images)}: none of the pictures, such as {shown(common[0])}, is there; give their folder"
            + ("" if references else ", and by --references FILE the captions file that knows their names")
        )
    if missing := len(common) - len(found):
        notes.append(f"{counted(missing, 'picture')} not in {shown(images)}: left out")
    rng = np.random.default_rng(seed)
    drawn = [found[place] for place in rng.permutation(len(found))[:pictures]]
    told = [(file, ours[name], theirs[name]) for name, file in drawn]
    differ = [pair for pair in told if pair[1] != pair[2]]
    sides = rng.permutation(np.arange(len(differ)) % 2).astype(bool).tolist()  # each system as often on the left
    pairs = [
        Pair(file, (b, a) if swapped else (a, b), swapped) for (file, a, b), swapped in zip(differ, sides, strict=True)
    ]
    return Draw(pairs, len(told) - len(differ), notes)


def _named(results: Results, references: ReferenceFile | None) -> Mapping[Name, str]:
    """The captions by what the folder is searched for."""
    if references is None:
        return results.captions
    matched = match(results, references)
    return {references.names[picture]: text for picture, text in matched.captions.items()}


class _Folder:
    """The pictures of a folder by name, by name without suffix, and by the number that a name ends in, as COCO's."""

    def __init__(self, folder: Path) -> None:
        self._found: dict[Name, Path | None] = {}
        paths = [path for path in files_below(folder) if path.suffix.lower() in PICTURE_SUFFIXES]
        for path in paths:
            digits = path.stem.rpartition("_")[2]
            number = int(digits) if digits.isascii() and digits.isdigit() else path.stem
            for spelling in {path.relative_to(folder).as_posix(), path.name, path.stem, number}:
                # a spelling that two pictures share names none
                self._found[spelling] = None if spelling in self._found else path

    def find(self, name: Name) -> Path | None:
        """The picture that a result names."""
        if isinstance(name, int):
            return self._found.get(name)
        short = name.rpartition("/")[2]
        spellings: list[Name] = [name, short, short.rpartition(".")[0] or short]
        spellings += [int(name)] if name.isascii() and name.isdecimal() else []
        return next((path for one in spellings if (path := self._found.get(one)) is not None), None)
