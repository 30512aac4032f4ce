"""Which things there are in pictures, by COCO's instances or the scenes of the embedded data; and words for things."""

import posixpath
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from showtell.analysis.material import Things
from showtell.data.annotations import AnnotationFile
from showtell.data.paths import counted, shown, why_unreadable
from showtell.errors import UserError
from showtell.evaluation.things import Lexicon, coco_lexicon, read_lexicon
from showtell.text import Tokenizer

REFERENCES_ALONE = (
    "What a picture shows is told by its references alone: a thing that is there and that nobody mentions counts as "
    "invented. COCO's instances (--instances FILE) know better."
)


def lexicon_file(path: Path) -> Lexicon:
    """Words for things of the user's own.

    Raises:
        UserError: it cannot be used; one line.
    """
    if reason := why_unreadable(path):
        raise UserError(f"--things {shown(path)}: {reason}")
    try:
        return read_lexicon(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"--things {shown(path)}: {error}") from None


def _drawn_lexicon() -> Lexicon:
    from showtell.data.shapes.scenes import NOUNS  # here: its package draws, with Pillow

    return Lexicon(NOUNS)


class Instances:
    """What annotators marked in pictures, or a generator drew, by the pictures' file names and ids.

    Raises:
        UserError: the file is neither COCO's instances nor the scenes of the embedded data; one line.
    """

    def __init__(self, path: Path) -> None:
        source = AnnotationFile(path)
        content = source.any_json(source.text())
        self.path = path
        self.drawn = isinstance(content, list)
        self._by_name: dict[str, frozenset[str]] = {}
        try:
            self._by_id = _of_scenes(content) if self.drawn else _of_coco(content)
            if not self.drawn:
                self._by_name = {
                    posixpath.basename(one["file_name"]): self._by_id[one["id"]] for one in _images(content)
                }
        except (KeyError, TypeError, AttributeError):
            raise UserError(
                f"{shown(path)}: holds no instances; give COCO's instances_val2017.json, or the scenes_val.json of the "
                "embedded data set"
            ) from None

    @property
    def things(self) -> set[str]:
        """All that it names."""
        return set().union(*self._by_id.values())

    def of(self, picture: int, name: str) -> frozenset[str] | None:
        """What is in a picture; None: it knows nothing of it."""
        return self._by_name.get(posixpath.basename(name)) if self._by_name else self._by_id.get(picture)


def _images(content: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [one for one in content.get("images", []) if "file_name" in one]


def _of_scenes(scenes: Sequence[Mapping[str, Any]]) -> dict[int, frozenset[str]]:
    return {scene["image_id"]: frozenset(thing["kind"] for thing in scene["objects"]) for scene in scenes}


def _of_coco(content: Mapping[str, Any]) -> dict[int, frozenset[str]]:
    names = {one["id"]: str(one["name"]).lower() for one in content["categories"]}
    found: dict[int, set[str]] = {one["id"]: set() for one in content["images"]}
    for one in content["annotations"]:
        found.setdefault(one["image_id"], set()).add(names[one["category_id"]])
    return {picture: frozenset(things) for picture, things in found.items()}


def things_of(
    pictures: Mapping[int, str], tokenizer: Tokenizer, instances: Path | None = None, words: Path | None = None
) -> tuple[Things | None, list[str]]:
    """What tells which things captions name and which there are, and notes.

    Args:
        pictures: file names by id.
        tokenizer: whose words are compared; the lexicons that come along are English.
        instances: a file of what is in the pictures.
        words: a lexicon of the user's own.

    Raises:
        UserError: a file that cannot be used, or that is of other pictures; one line.
    """
    if not tokenizer.is_english and words is None:
        given = f"; {shown(instances)} is not used" if instances else ""
        return None, [f"invented things left out: name the words for things in this language by --things FILE{given}"]
    known = Instances(instances) if instances else None
    drawn = known is not None and known.drawn
    lexicon = lexicon_file(words) if words else _drawn_lexicon() if drawn else coco_lexicon()
    if known is None:
        return Things(lexicon, None, REFERENCES_ALONE), []
    found = [known.of(picture, name) for picture, name in pictures.items()]
    missing = sum(one is None for one in found)
    if missing == len(found):
        raise UserError(f"--instances {shown(known.path)}: knows none of these pictures; give the file of their split")
    notes = []
    if missing:
        lost = f"{shown(known.path.name)} knows nothing of {counted(missing, 'picture')}"
        notes.append(f"{lost}: there only the references tell what is shown")
    if wordless := sorted(known.things - set(lexicon.things)):
        notes.append(
            f"no words are known for {counted(len(wordless), 'thing')} of {shown(known.path.name)}, such as "
            f"{wordless[0]}: no caption is found to name them"
        )
    what = "the generator's scenes" if drawn else f"the instances of {known.path.name}"
    source = f"What a picture shows is told by {what}, and by its references."
    return Things(lexicon, [one or frozenset() for one in found], source), notes
