"""What a model's captions are worth on annotated pictures: scores, variety, and a table of both.

The numbers come from `evaluation`; here they meet the annotations on one side and a checkpoint's training captions
on the other, which tell how many captions are new. Figures that cannot be had (no Java, no training captions) are
one note each.
"""

import shutil
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from showtell.config import Config
from showtell.config.registry import parts
from showtell.data.formats import read_split
from showtell.errors import UserError
from showtell.evaluation.diversity import CaptionVariety, caption_forms, caption_variety
from showtell.evaluation.metrics import score_captions

VARIETY_NAMES = {
    "captions": "captions",
    "distinct": "distinct captions",
    "novel": "not seen in training",
    "vocabulary": "words used",
    "mean_length": "words per caption",
    "repeated_words": "with a repeated word",
    "bad_endings": "ending in a function word",
}
_SHARES = ("novel", "repeated_words", "bad_endings")

Forms = Set[tuple[str, ...]]


@dataclass(frozen=True)
class Evaluation:
    """What one model's captions are worth.

    Attributes:
        scores: of all pictures, as fractions; empty without references.
        pictures: cider, bleu4 and rouge_l of each picture.
        variety: how varied the captions are.
        notes: a line for each figure that is missing.
    """

    scores: dict[str, float]
    pictures: dict[int, dict[str, float]]
    variety: CaptionVariety
    notes: list[str]


def evaluate(
    captions: Mapping[int, str], references: Mapping[int, Sequence[str]], configs: Sequence[Config]
) -> Evaluation:
    """Scores one caption per picture.

    The training runs' configurations say where the training captions lie, and what is scored besides what Showtell
    itself knows.
    """
    wanted = {picture: references[picture] for picture in captions}
    shipped = [part.name for part in parts("metric") if part.origin is None]
    chosen = dict.fromkeys([*shipped, *(name for config in configs for name in config.training.metrics)])
    found = score_captions(captions, wanted, chosen)
    scores = {name: value for name, value in found.corpus.items() if name != "cider_d"}  # the same number as cider
    forms, note = training_forms(configs)
    variety = caption_variety(captions.values(), forms)
    return Evaluation(scores, found.pictures, variety, [*found.notes, *([note] if note else [])])


def unreferenced(captions: Mapping[int, str], configs: Sequence[Config]) -> Evaluation:
    """What can be said of captions of pictures that nobody described."""
    forms, note = training_forms(configs)
    return Evaluation({}, {}, caption_variety(captions.values(), forms), [note] if note else [])


def training_forms(configs: Sequence[Config]) -> tuple[Forms | None, str | None]:
    """The captions that the runs were trained on, or a note why they cannot be had."""
    if not configs:
        return None, None
    forms: Forms = frozenset()
    data = {str(config.data): config.data for config in configs}
    for section in data.values():
        try:
            split = read_split(section, "train", check_files=False)
        except (UserError, OSError) as error:
            return None, f"share of new captions left out: the training captions are not at hand ({error})"
        forms |= caption_forms(caption for picture in split.pictures for caption in picture.captions)
    return forms, None


def table(evaluations: Mapping[str, Evaluation]) -> str:
    """The figures as text, one column per model; lettered, with the names below, where these need too much room."""
    rows, heads, lines = figures(evaluations), list(evaluations), list[str]()
    widths = _widths(heads, rows)
    if len(heads) > 1 and sum(widths) + 2 * len(heads) > shutil.get_terminal_size((160, 24)).columns:
        heads = [chr(ord("A") + place) if place < 26 else str(place + 1) for place in range(len(heads))]
        widths = _widths(heads, rows)
    for row in [["", *heads], *rows]:
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *cells]))
    lines += [f"{head}: {name}" for head, name in zip(heads, evaluations, strict=True) if head != name]
    return "\n".join(lines)


def _widths(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(["", *heads], *rows, strict=True)]


def figures(evaluations: Mapping[str, Evaluation]) -> list[list[str]]:
    """Rows of name and one value per model; a figure that no model has gets no row."""
    rows = []
    names = {key: name for part in parts("metric") for key, name in part.load().names.items()}
    for key, name in names.items():
        values = [evaluation.scores.get(key) for evaluation in evaluations.values()]
        rows.append([name, *("-" if value is None else f"{value:.4f}" for value in values)])
    for key, name in VARIETY_NAMES.items():
        rows.append([name, *(_variety_text(key, getattr(one.variety, key)) for one in evaluations.values())])
    return [row for row in rows if set(row[1:]) != {"-"}]


def _variety_text(key: str, value: float | None) -> str:
    if value is None:
        return "-"
    if key in _SHARES:
        return f"{100 * value:.1f} %"
    return f"{value:.2f}" if key == "mean_length" else f"{value:d}"
