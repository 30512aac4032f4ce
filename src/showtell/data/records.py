"""What the annotation readers hand over: pictures with their captions."""

from dataclasses import dataclass, field
from pathlib import Path

from showtell.errors import UserError


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
