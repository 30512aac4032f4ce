"""What annotation files are read into, what a format of them is, and the checks that each value passes on the way.

A format is one file in `formats/` and one class: it says which splits there are, which files a split's captions come
from, and reads them. Whether the pictures are there, and what becomes of what cannot be used, is the same for all.

A check fails with one line that names file, JSON path and remedy. pycocotools takes most broken files without a word
(captions of duplicate ids vanish, a file name may lead out of the data set), so nothing is handed on before it has
passed here. The checks sit in the loops of the formats and are written for 400,000 captions: no system call and no
object per value.

A caption as people typed it becomes one clean line of text. Captions reach terminals, TensorBoard and result files, so
what those cannot carry is removed once, here: control characters, lone surrogates (valid in JSON, not encodable), marks
that reverse the direction of a terminal's text. Words are left alone; their number is limited where they are counted.
"""

import json
import re
import unicodedata
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from showtell.config import DataConfig
from showtell.data.files import shown, why_unreadable
from showtell.errors import UserError

SplitName = Literal["train", "val", "test"]
MAX_CHARACTERS = 10_000

_ID_LIMIT = 2**63
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_DIRECTION = re.compile(r"[\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")


class AnnotationError(UserError):
    """Annotations that cannot be used; the message is one line: file, place in it, remedy."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture file and what people said about it; `id` is unique within a split."""

    id: int
    path: Path
    captions: tuple[str, ...]


@dataclass(frozen=True)
class Split:
    """The usable pictures of one split in the file's order, and a line for each thing left out and why."""

    pictures: list[Picture]
    skipped: list[str] = field(default_factory=list)


class AnnotationFormat(ABC):
    """One layout of annotation files."""

    splits: tuple[SplitName, ...] = ("train", "val")
    absent = "set it to where {name} lies"
    """The remedy where `data.root` is no folder."""

    @abstractmethod
    def read(self, config: DataConfig, split: SplitName) -> Split:
        """Reads and checks a split; whether its pictures are there is not looked at.

        Raises:
            AnnotationError: a file is not what it should be.
        """

    def files(self, config: DataConfig, split: SplitName) -> list[Path]:
        """The files that a split's captions follow from.

        Raises:
            AnnotationError: no data there.
        """
        return [annotation_file(config, split)]


def annotation_file(config: DataConfig, split: SplitName) -> Path:
    """The file with a split's captions.

    Raises:
        AnnotationError: it cannot be read.
    """
    training = split == "train"
    key = "train_annotations" if training else "val_annotations"
    file = Path(config.root).expanduser() / (config.train_annotations if training else config.val_annotations)
    if reason := why_unreadable(file):
        raise AnnotationError(f"{shown(file)} {reason} (data.{key}, relative to data.root={shown(config.root)})")
    return file


def picture_folder(config: DataConfig, split: SplitName) -> Path:
    """The folder that a split's picture names start from."""
    return Path(config.root).expanduser() / (config.train_images if split == "train" else config.val_images)


def check_folder(folder: Path) -> None:
    """Refuses a folder of pictures that is none.

    Raises:
        AnnotationError: it is not there.
    """
    if not folder.is_dir():
        raise AnnotationError(
            f"{shown(folder)} is no folder that is there; set data.root, data.train_images, data.val_images"
        )


def read_text(file: Path) -> str:
    """The file's text; UTF-8 with or without a byte order mark.

    Raises:
        AnnotationError: not an ordinary file, empty, or not UTF-8.
    """
    reason = why_unreadable(file)
    if reason:
        raise AnnotationError(f"{shown(file)} {reason}")
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AnnotationError(f"{shown(file)}: byte {error.start} is not UTF-8 text; save the file as UTF-8") from None
    except OSError as error:
        raise AnnotationError(f"{shown(file)}: cannot be read ({error.strerror})") from None
    if not text.strip():
        raise AnnotationError(f"{shown(file)}: the file is empty; fetch it again")
    return text


def load_json(file: Path) -> dict[str, Any]:
    """The file's top-level object.

    Raises:
        AnnotationError: unreadable, no JSON, a key twice in one object, nested without measure, or no object.
    """
    text = read_text(file)

    def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise AnnotationError(f"{shown(file)}: an object holds the key {shown(twice)} twice; remove one")
        return found

    try:
        content = json.loads(text, object_pairs_hook=without_duplicates)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise AnnotationError(f"{shown(file)}: no JSON at {place} ({error.msg}); fetch or write it again") from None
    except RecursionError:
        raise AnnotationError(f"{shown(file)}: nested too deeply; this is no annotation file") from None
    except AnnotationError:
        raise
    except ValueError as error:  # an integer of more than 4,300 digits
        raise AnnotationError(f"{shown(file)}: no usable JSON ({str(error)[:80]}); write it again") from None
    if not isinstance(content, dict):
        raise AnnotationError(f"{shown(file)}: holds a {type(content).__name__}, not an object with `images`")
    return content


def member_list(content: dict[str, Any], key: str, file: Path) -> list[Any]:
    """The non-empty list under `key` of the top-level object."""
    value = content.get(key)
    if not isinstance(value, list):
        found = "is missing" if key not in content else f"is {shown(value)}"
        raise AnnotationError(f"{shown(file)}: {key} {found}, it must be a list; is this a captions file?")
    if not value:
        raise AnnotationError(f"{shown(file)}: {key} is an empty list; fetch the file again")
    return value


def member(entry: Any, key: str, file: Path, where: str) -> Any:
    """`entry[key]`, with an error that says whether the entry or the key is at fault."""
    try:
        return entry[key]
    except KeyError:
        raise AnnotationError(f"{shown(file)}: {where}.{key} is missing; add it") from None
    except (TypeError, IndexError):
        raise AnnotationError(f"{shown(file)}: {where} is {shown(entry)}, it must be an object") from None


def whole_number(value: Any, file: Path, where: str, key: str) -> int:
    """An id, found at `where.key`: a whole number that fits 64 bits."""
    if type(value) is not int or not -_ID_LIMIT <= value < _ID_LIMIT:
        kind = "text" if type(value) is str else type(value).__name__
        raise AnnotationError(
            f"{shown(file)}: {where}.{key} is {shown(value)} ({kind}), it must be a whole number of 64 bits"
        )
    return value


def picture_name(value: Any, file: Path, where: str) -> str:
    """A relative file name that stays below its folder, by the look of it (no system call)."""
    if type(value) is not str or not value.strip():
        raise AnnotationError(f"{shown(file)}: {where} is {shown(value)}, it must be a file name")
    if "/" not in value and "\\" not in value and ":" not in value and value.isprintable() and value not in (".", ".."):
        return value
    parts = value.replace("\\", "/").split("/")
    if not parts[0] or ":" in parts[0] or ".." in parts or not value.isprintable():
        raise AnnotationError(
            f"{shown(file)}: {where} is {shown(value)}, not a path below the picture folder; correct it"
        )
    return value


def caption_text(value: Any, file: Path, where: str, skipped: list[str]) -> str | None:
    """The cleaned caption; None with a line in `skipped` if nothing is left of it."""
    if type(value) is not str:
        raise AnnotationError(f"{shown(file)}: {where} is {shown(value)}, it must be text; correct or remove it")
    text = clean_caption(value)
    if not text:
        skipped.append(f"{shown(file)}: {where} is empty; left out")
        return None
    if len(value) > MAX_CHARACTERS:
        skipped.append(f"{shown(file)}: {where} has {len(value):,} characters; cut at {MAX_CHARACTERS:,}")
    return text


def clean_caption(text: str) -> str:
    """One line, single blanks, at most `MAX_CHARACTERS`; may be empty."""
    text = text[:MAX_CHARACTERS]
    if not (text.isascii() and text.isprintable()):
        text = _CONTROL.sub(" ", text)
        text = _SURROGATE.sub("\ufffd", text)
        text = unicodedata.normalize("NFC", _DIRECTION.sub("", text))
    return " ".join(text.split())
