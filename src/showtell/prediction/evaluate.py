"""What a model's captions are worth on annotated pictures: scores, variety, and a table of both.

The numbers come from `evaluation`; here they meet the annotations on one side and a checkpoint's training captions
on the other, which tell how many captions are new. Figures that cannot be had (no Java, no training captions) are
one note each.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from showtell.config import Config
from showtell.config.registry import parts
from showtell.data.formats import read_split
from showtell.errors import UserError
from showtell.evaluation.diversity import CaptionVariety, caption_forms, caption_variety
from showtell.evaluation.metrics import score_captions
from showtell.text import NLTK, Tokenizer, build_tokenizer

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
    tokenizer = tokenizer_of(configs)
    found = score_captions(captions, wanted, chosen, tokenizer)
    scores = {name: value for name, value in found.corpus.items() if name != "cider_d"}  # the same number as cider
    forms, note = training_forms(configs)
    variety = caption_variety(captions.values(), forms, tokenizer)
    return Evaluation(scores, found.pictures, variety, [*found.notes, *([note] if note else [])])


def unreferenced(captions: Mapping[int, str], configs: Sequence[Config]) -> Evaluation:
    """What can be said of captions of pictures that nobody described."""
    forms, note = training_forms(configs)
    variety = caption_variety(captions.values(), forms, tokenizer_of(configs))
    return Evaluation({}, {}, variety, [note] if note else [])


def tokenizer_of(configs: Sequence[Config]) -> Tokenizer:
    """The one that the runs were trained with."""
    return build_tokenizer(configs[0].vocab.tokenizer) if configs else NLTK


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
        texts = (caption for picture in split.pictures for caption in picture.captions)
        forms |= caption_forms(texts, tokenizer_of(configs))
    return forms, None


def table(evaluations: Mapping[str, Evaluation]) -> str:
    """The figures as text, one column per model."""
    rows = figures(evaluations)
    widths = [max(map(len, column)) for column in zip(["", *evaluations], *rows, strict=True)]
    lines = []
    for row in [["", *evaluations], *rows]:
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *cells]))
    return "\n".join(lines)


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
