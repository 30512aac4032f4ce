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
import os
import re
import unicodedata
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from showtell.config import DataConfig
from showtell.data.paths import shown, why_unreadable
from showtell.errors import UserError

SplitName = Literal["train", "val", "test"]
MAX_CHARACTERS = 10_000

_ID_LIMIT = 2**63
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_DIRECTION = re.compile(r"[\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")


class AnnotationError(UserError):
    """Annotations that cannot be used; the message is one line: file, place in it, remedy."""


class MissingDataError(AnnotationError):
    """What the settings want is not there, or more than one thing is; the remedy holds where no better is known."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}; {remedy}")
        self.what = what


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture file and what people said about it, if anybody did.

    `id` is unique within a split; `domain` is the label by which nocaps groups its pictures.
    """

    id: int
    path: Path
    captions: tuple[str, ...]
    domain: str = ""


@dataclass(frozen=True)
class Split:
    """The pictures of one split in the file's order.

    Attributes:
        pictures: those that can be used.
        skipped: a line for each thing left out or shortened, and why.
        told: lines that say how the files were read where that was not spelled out.
        layout: of a single file: coco, karpathy, json, jsonl or table.
    """

    pictures: list[Picture]
    skipped: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    layout: str = ""


class AnnotationFormat(ABC):
    """One layout of annotation files. Which splits there are, the settings say (`DataConfig.test_remedy`)."""

    absent = "set it to where {name} lies"
    """The remedy where `data.root` is no folder."""

    @abstractmethod
    def read(self, config: DataConfig, split: SplitName) -> Split:
        """Reads and checks a split, pictures without captions included; whether they are there is not looked at.

        Raises:
            AnnotationError: a file is not what it should be.
        """

    def files(self, config: DataConfig, split: SplitName) -> list[Path]:
        """The files that a split's captions follow from.

        Raises:
            AnnotationError: no data there.
        """
        return [annotation_file(config, split)]

    def resolved(self, config: DataConfig) -> DataConfig:
        """The settings with an answer for each `auto`, by what lies on the disk.

        Raises:
            AnnotationError: nothing there answers it.
        """
        return config

    def key(self, config: DataConfig, split: SplitName) -> list[str]:
        """What a split's captions follow from besides the content of `files`, for a key by content."""
        return [config.format]

    def listing(self, config: DataConfig, split: SplitName) -> list[str]:
        """The files by which reading tells what the names of pictures mean; by default it asks for none."""
        return []


def check_split(config: DataConfig, split: SplitName) -> None:
    """Refuses a test split that there is not.

    Raises:
        AnnotationError: it says what would give the data set one.
    """
    if split == "test" and config.test_remedy:
        raise AnnotationError(f"data={config.name} has no test split, only train and val; {config.test_remedy}")


def annotation_file(config: DataConfig, split: SplitName) -> Path:
    """The file with a split's captions.

    Raises:
        AnnotationError: it cannot be read.
    """
    key = f"{split}_annotations" if split != "test" or config.test_annotations else "val_annotations"
    file = Path(config.root).expanduser() / str(getattr(config, key))
    if reason := why_unreadable(file):
        what, _, remedy = reason.partition("; ")
        place = f"(data.{key}, relative to data.root={shown(config.root)})"
        raise MissingDataError(f"{shown(file)} {what} {place}", remedy or "name the file with the captions")
    return file


def picture_folder(config: DataConfig, split: SplitName) -> Path:
    """The folder that a split's picture names start from."""
    folders = {"train": config.train_images, "val": config.val_images, "test": config.test_images or config.val_images}
    return Path(config.root).expanduser() / folders[split]


def check_folder(config: DataConfig, split: SplitName) -> None:
    """Refuses a folder of pictures that is none.

    Raises:
        AnnotationError: it is not there.
    """
    folder = picture_folder(config, split)
    if not folder.is_dir():
        key = f"data.{'val' if split == 'test' and not config.test_images else split}_images"
        raise MissingDataError(f"{shown(folder)}: there is no such folder", f"correct data.root or {key}")


class AnnotationFile:
    """A file whose values are checked while they are read; `skipped` has a line for each thing left out.

    `readings` counts, by what was done, what was read in another way than it is written; 0: it concerns the whole file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.skipped: list[str] = []
        self.readings: Counter[str] = Counter()

    def refused(self, what: str) -> AnnotationError:
        """The error that says what is wrong in the file."""
        return AnnotationError(f"{shown(self.path)}: {what}")

    def leave_out(self, what: str) -> None:
        """Notes what is left out."""
        self.skipped.append(f"{shown(self.path)}: {what}")

    @property
    def told(self) -> list[str]:
        """The `readings` as lines."""
        name = shown(self.path.name)
        return [f"{name}: {f'{count:,} ' if count else ''}{what}" for what, count in self.readings.items()]

    def picture_path(self, folder: Path, name: str) -> Path:
        """Where a picture lies. A backslash parts folders, as Windows writes them, unless a file is called so."""
        if "\\" in name and not os.path.exists(folder / name):
            self.readings["names with backslashes, read as paths with /"] += 1
            name = name.replace("\\", "/")
        return folder / name

    def text(self) -> str:
        """The whole text; UTF-8 with or without a byte order mark. Refused unless it is an ordinary file with text."""
        if reason := why_unreadable(self.path):
            raise AnnotationError(f"{shown(self.path)} {reason}")
        try:
            text = self.path.read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise self.refused(f"byte {error.start} is not UTF-8 text; save the file as UTF-8") from None
        except OSError as error:
            raise self.refused(f"cannot be read ({error.strerror})") from None
        if not text.strip():
            raise self.refused("the file is empty; fetch it again")
        return text

    def json(self) -> dict[str, Any]:
        """The top-level object; refused where `any_json` refuses."""
        content = self.any_json(self.text())
        if not isinstance(content, dict):
            raise self.refused(f"holds a {type(content).__name__}, not an object with `images`")
        return content

    def any_json(self, text: str, first_line: int = 1) -> Any:
        """What the text says; refused where a key stands twice in one object, or nesting is without measure."""
        try:
            return json.loads(text, object_pairs_hook=self._without_duplicates)
        except json.JSONDecodeError as error:
            place = f"line {first_line - 1 + error.lineno}, column {error.colno}"
            raise self.refused(f"no JSON at {place} ({error.msg}); fetch or write it again") from None
        except RecursionError:
            raise self.refused("nested too deeply; this is no annotation file") from None
        except ValueError as error:  # an integer of more than 4,300 digits
            raise self.refused(f"no usable JSON ({str(error)[:80]}); write it again") from None

    def _without_duplicates(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
            raise self.refused(f"an object holds the key {shown(twice)} twice; remove one")
        return found

    def list_of(self, content: dict[str, Any], key: str) -> list[Any]:
        """The non-empty list under `key` of the top-level object."""
        value = content.get(key)
        if not isinstance(value, list):
            found = "is missing" if key not in content else f"is {shown(value)}"
            raise self.refused(f"{key} {found}, it must be a list; is this a captions file?")
        if not value:
            raise self.refused(f"{key} is an empty list; fetch the file again")
        return value

    def member(self, entry: Any, key: str, where: str) -> Any:
        """`entry[key]`, with an error that says whether the entry or the key is at fault."""
        try:
            return entry[key]
        except KeyError:
            close = get_close_matches(key, map(str, entry), 1, 0.75)
            found = f"found `{shown(close[0])}`, wanted `{key}`: rename it" if close else "add it"
            raise self.refused(f"{where}.{key} is missing; {found}") from None
        except (TypeError, IndexError):
            raise self.refused(f"{where} is {shown(entry)}, it must be an object") from None

    def whole_number(self, value: Any, where: str) -> int:
        """An id: a whole number that fits 64 bits."""
        if type(value) is not int or not -_ID_LIMIT <= value < _ID_LIMIT:
            kind = "text" if type(value) is str else type(value).__name__
            raise self.refused(f"{where} is {shown(value)} ({kind}), it must be a whole number of 64 bits")
        return value

    def picture_name(self, value: Any, where: str) -> str:
        """A relative file name that stays below its folder, by the look of it (no system call)."""
        if type(value) is not str or not value.strip():
            raise self.refused(f"{where} is {shown(value)}, it must be a file name")
        is_printable = value.isprintable()
        if "/" not in value and "\\" not in value and ":" not in value and is_printable and value not in (".", ".."):
            return value
        parts = value.replace("\\", "/").split("/")
        if not parts[0] or ":" in parts[0] or ".." in parts or not is_printable:
            raise self.refused(f"{where} is {shown(value)}, not a path below the picture folder; correct it")
        return value

    def caption(self, value: Any, where: str) -> str:
        """The cleaned caption; empty, and noted, if nothing is left of it."""
        if type(value) is not str:
            raise self.refused(f"{where} is {shown(value)}, it must be text; correct or remove it")
        text = clean_caption(value)
        if not text:
            self.leave_out(f"{where} is empty; left out")
        elif len(value) > MAX_CHARACTERS:
            self.leave_out(f"{where} has {len(value):,} characters; cut at {MAX_CHARACTERS:,}")
        return text


def clean_caption(text: str) -> str:
    """One line, single blanks, at most `MAX_CHARACTERS`; may be empty."""
    text = text[:MAX_CHARACTERS]
    if not (text.isascii() and text.isprintable()):
        text = _CONTROL.sub(" ", text)
        text = _SURROGATE.sub("\ufffd", text)
        text = unicodedata.normalize("NFC", _DIRECTION.sub("", text))
    return " ".join(text.split())
