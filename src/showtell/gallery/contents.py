"""What the gallery shows, as plain data: the page's script reads nothing else, and this module knows nothing of models.

An attention decoder adds a map to each word; a word without one is shown all the same.
"""

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Word:
    """A word of a caption.

    Attributes:
        text: the word.
        p: its probability, given the words before it.
        map: where the model looked: non-negative weights of the caption's grid, row by row from the top left.
        glued: no blank stands before it.
    """

    text: str
    p: float
    map: Sequence[float] | None = None
    glued: bool = False


@dataclass(frozen=True)
class Caption:
    """A caption word by word.

    Attributes:
        words: in order.
        end: the probability that it ends where it does; None where unknown.
        grid: rows and columns of the words' maps, which cover the whole picture.
    """

    words: Sequence[Word]
    end: float | None = None
    grid: tuple[int, int] | None = None


@dataclass(frozen=True)
class Prediction:
    """What one model says about a picture, best caption first, and what that scores."""

    captions: Sequence[Caption]
    scores: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """A picture with its references and, in the order of the page's models, what they say.

    It is called `name`, or as its file.
    """

    path: Path
    references: Sequence[str]
    predictions: Sequence[Prediction]
    name: str = ""


@dataclass(frozen=True)
class Page:
    """The whole page.

    Attributes:
        title: of the page.
        systems: a name and a description of each model.
        figures: rows of the summary table: a name and one value per model.
        entries: the pictures, in the order in which they were given.
        subject: what the figures are about.
        notes: what the reader must know, such as which pictures the page leaves out.
    """

    title: str
    systems: Sequence[tuple[str, str]]
    figures: Sequence[Sequence[str]]
    entries: Sequence[Entry]
    subject: str = ""
    notes: Sequence[str] = ()


def entry_json(entry: Entry, thumbnail: dict[str, Any]) -> dict[str, Any]:
    """One picture for the page's script; `thumbnail` has its `src`, `width` and `height`."""
    told = [{"captions": [_caption(one) for one in said.captions], "scores": said.scores} for said in entry.predictions]
    return {"name": entry.name or entry.path.name, **thumbnail, "references": list(entry.references), "told": told}


def _caption(caption: Caption) -> dict[str, Any]:
    end = {} if caption.end is None else {"end": round(caption.end, 4)}
    grid = {} if caption.grid is None else {"grid": list(caption.grid)}
    return {"words": [_word(word, caption.grid) for word in caption.words], **end, **grid}


def _word(word: Word, grid: tuple[int, int] | None) -> dict[str, Any]:
    content: dict[str, Any] = {"text": word.text, "p": round(word.p, 4)} | ({"glued": 1} if word.glued else {})
    if word.map is None:
        return content
    assert grid is not None and len(word.map) == math.prod(grid), "a map has one weight per cell of the caption's grid"
    # a byte per cell, relative to the word's own peak: that is what the eye sees
    peak = max(word.map) or 1.0
    content["map"] = base64.b64encode(bytes(round(255 * weight / peak) for weight in word.map)).decode()
    return content
