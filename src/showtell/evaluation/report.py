"""What a model's captions of a set of pictures are worth: scores and variety, on what, as a table and as JSON.

A score says little without its pictures: CIDEr weighs words by how many of these they are said of, so it is another
number over a whole data set than over its test split. So what was scored stands beside every score. Figures that cannot
be had (no Java, no training captions) are one note each.
"""

import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from showtell.config import DecodingConfig
from showtell.config.registry import parts
from showtell.evaluation.comparison import compared, corrected
from showtell.evaluation.diversity import CaptionVariety, caption_variety
from showtell.evaluation.metric import Pictures
from showtell.evaluation.metrics import score_captions
from showtell.evaluation.resampling import Sample, samples
from showtell.evaluation.signature import signature
from showtell.evaluation.sums import Sums
from showtell.text import NLTK, Tokenizer

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

INTERVALS = (
    "[ ]: 95% interval over the choice of pictures, not of the seed (bootstrap, 1,000 resamples; CIDEr's document "
    "frequencies are those of the whole reference set in every resample)"
)
PAIRED = "p: paired bootstrap, corrected for all models (Holm); from 0.05 on chance would do that too"

Forms = Set[tuple[str, ...]]


@dataclass(frozen=True)
class Subject:
    """What scores are about.

    Attributes:
        name: of the pictures: `test split of karpathy`, `captions_val.json`.
        split: train, val or test; None where no split was named.
        pictures: that were scored, because people described them.
        references: what people wrote about these.
        captioned: all pictures that were captioned.
    """

    name: str
    split: str | None
    pictures: int
    references: int
    captioned: int

    @classmethod
    def of(cls, name: str, split: str | None, references: Iterable[Sequence[str]]) -> "Subject":
        """Of pictures with these references."""
        counts = [len(texts) for texts in references]
        return cls(name, split, sum(count > 0 for count in counts), sum(counts), len(counts))

    def __str__(self) -> str:
        return f"{self.name}: {self.counts}"

    @property
    def counts(self) -> str:
        """`5,000 pictures, 25,010 references`."""
        if not self.references:
            return f"{self.captioned:,} pictures, no references"
        some = f" of {self.captioned:,}" if self.pictures < self.captioned else ""
        return f"{self.pictures:,}{some} pictures, {self.references:,} references"


@dataclass(frozen=True)
class Evaluation:
    """What one model's captions are worth.

    Attributes:
        scores: of all pictures, as fractions; empty without references.
        pictures: cider, bleu4 and rouge_l of each picture that has references.
        variety: how varied the captions are.
        notes: a line for each figure that is missing.
        subject: what was scored; None: nothing could be.
        domains: scores of the pictures of each domain by itself, where pictures have one (nocaps).
        sums: of which the intervals follow.
        signature: of the scores; empty where there are none.
    """

    scores: dict[str, float]
    pictures: dict[int, dict[str, float]]
    variety: CaptionVariety
    notes: list[str]
    subject: Subject | None = None
    domains: dict[str, dict[str, float]] = field(default_factory=dict)
    sums: tuple[Sums, ...] = field(default=(), compare=False, repr=False)
    signature: str = ""

    @cached_property
    def samples(self) -> dict[str, Sample]:
        """The scores that have an interval over resampled pictures; those of others on the same pictures pair."""
        return samples([self.sums])[0]


def evaluate(
    captions: Mapping[int, str],
    references: Mapping[int, Sequence[str]],
    named: tuple[str, str | None],
    training: Forms | None,
    metrics: Iterable[str] = (),
    domains: Mapping[int, str] | None = None,
    tokenizer: Tokenizer = NLTK,
    form: str = "",
    seen: Pictures | None = None,
) -> Evaluation:
    """Scores one caption per picture, of those pictures that have references.

    Args:
        captions: by picture id.
        references: likewise.
        named: name and split of the `Subject`.
        training: the forms of the training captions, for the share of new ones.
        metrics: what is scored besides what Showtell itself knows, by registered name.
        domains: by picture id, of pictures that have one.
        tokenizer: the model's.
        form: how the references are written down, for the signature.
        seen: the pictures, for metrics that look at them.
    """
    variety = caption_variety(captions.values(), training, tokenizer)
    subject = Subject.of(*named, [references.get(picture, ()) for picture in captions])
    described = {picture: references[picture] for picture in captions if references.get(picture)}
    if not described:
        return Evaluation({}, {}, variety, ["nobody described these pictures: captioned without scores"], subject)
    shipped = [part.name for part in parts("metric") if part.origin is None and not part.load().looks_at_pictures]
    said = {picture: captions[picture] for picture in described}
    chosen = dict.fromkeys([*shipped, *metrics])
    found = score_captions(said, described, chosen, tokenizer, seen)
    scores = {name: value for name, value in found.corpus.items() if name != "cider_d"}  # the same number as cider
    notes = list(found.notes)
    if bare := len(captions) - len(described):
        notes.append(f"nobody described {bare:,} of the {len(captions):,} pictures: captioned, left out of the scores")
    by_domain = _by_domain(said, described, chosen, domains or {}, tokenizer)
    about = signature(described, tokenizer, named[1], form).of(found.had_of(chosen), seen.model if seen else "")
    return Evaluation(scores, found.pictures, variety, notes, subject, by_domain, found.sums, about)


def _by_domain(
    captions: Mapping[int, str],
    references: Mapping[int, Sequence[str]],
    metrics: Collection[str],
    domains: Mapping[int, str],
    tokenizer: Tokenizer,
) -> dict[str, dict[str, float]]:
    """Scores of each domain as of a set of its own, with its own document frequencies, as nocaps' papers give them."""
    found = {}
    for domain in sorted({domains[picture] for picture in captions if picture in domains}):
        own = [picture for picture in captions if domains.get(picture) == domain]
        said, described = {p: captions[p] for p in own}, {p: references[p] for p in own}
        scores = score_captions(said, described, metrics, tokenizer).corpus
        found[domain] = {"pictures": len(own), **{name: value for name, value in scores.items() if name != "cider_d"}}
    return found


def scores_content(
    evaluation: Evaluation,
    rows: Iterable[Mapping[str, Any]],
    system: str,
    checkpoints: Sequence[object],
    decoding: DecodingConfig,
) -> dict[str, Any]:
    """What a file of scores holds: scores of all pictures and of each, how they came about, and what is missing.

    A row says `image_id`, `file_name`, `caption` and `log_prob` of a picture.
    """
    return {
        "system": system,
        "checkpoints": [str(file) for file in checkpoints],
        "decoding": asdict(decoding),
        "scored_on": None if evaluation.subject is None else asdict(evaluation.subject),
        "signature": evaluation.signature,
        "scores": evaluation.scores,
        "intervals": {name: one.interval().bounds for name, one in evaluation.samples.items()},
        **({"domains": evaluation.domains} if evaluation.domains else {}),
        "variety": asdict(evaluation.variety),
        "notes": evaluation.notes,
        "pictures": [{**row, **evaluation.pictures.get(row["image_id"], {})} for row in rows],
    }


def table(evaluations: Mapping[str, Evaluation]) -> str:
    """What was scored and the figures as text, one column per model.

    Columns are lettered, with the names below, where these need too much room.
    """
    rows, heads = figures(evaluations), list(evaluations)
    lines = list(dict.fromkeys(str(one.subject) for one in evaluations.values() if one.subject))
    widths = _widths(heads, rows)
    if len(heads) > 1 and sum(widths) + 2 * len(heads) > shutil.get_terminal_size((160, 24)).columns:
        heads = [chr(ord("A") + place) if place < 26 else str(place + 1) for place in range(len(heads))]
        widths = _widths(heads, rows)
    for row in [["", *heads], *rows]:
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *cells]))
    lines += [f"{head}: {name}" for head, name in zip(heads, evaluations, strict=True) if head != name]
    return "\n".join([*lines, *footnotes(evaluations)])


def footnotes(evaluations: Mapping[str, Evaluation]) -> list[str]:
    """What the figures' intervals are, and the signatures; empty where nothing was scored."""
    signatures = [one.signature for one in evaluations.values() if one.signature]
    paired = [PAIRED] if _against_best(evaluations) else []
    return [INTERVALS, *paired, *(f"signature: {line}" for line in dict.fromkeys(signatures))] if signatures else []


def _widths(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(["", *heads], *rows, strict=True)]


def figures(evaluations: Mapping[str, Evaluation]) -> list[list[str]]:
    """Rows of name and one value per model; a figure that no model has gets no row."""
    rows = []
    names = {key: name for part in parts("metric") for key, name in part.load().names.items()}
    for key, name in names.items():
        rows.append([name, *(_score(one, key) for one in evaluations.values())])
        rows += _against_best(evaluations) if key == "cider" else []
    for domain in dict.fromkeys(domain for one in evaluations.values() for domain in one.domains):
        own = [one.domains.get(domain, {}) for one in evaluations.values()]
        label = f"CIDEr of {max(found.get('pictures', 0) for found in own):,.0f} {domain}"
        rows.append([label, *(f"{found['cider']:.4f}" if found else "-" for found in own)])
    for key, name in VARIETY_NAMES.items():
        rows.append([name, *(variety_text(key, getattr(one.variety, key)) for one in evaluations.values())])
    return [row for row in rows if set(row[1:]) != {"-"}]


def _score(evaluation: Evaluation, key: str) -> str:
    if key in evaluation.samples:
        return str(evaluation.samples[key].interval())
    value = evaluation.scores.get(key)
    return "-" if value is None else f"{value:.4f}"


def _against_best(evaluations: Mapping[str, Evaluation]) -> list[list[str]]:
    """How each model's CIDEr differs from the best one's, where all are of the same pictures."""
    models = list(evaluations.values())
    if (
        len(models) < 2
        or len({(*one.pictures,) for one in models}) > 1
        or not all("cider" in one.samples for one in models)
    ):
        return []
    best = max(models, key=lambda one: one.scores["cider"])
    folds, count = [{"": [one.samples["cider"]]} for one in models], {"": len(best.pictures)}
    others = [place for place, one in enumerate(models) if one is not best]
    found = corrected([compared("", folds[place], folds[models.index(best)], count) for place in others])
    told = dict(zip(others, map(str, found), strict=True))
    return [["CIDEr minus the best one's", *(told.get(place, "best") for place in range(len(models)))]]


def variety_text(key: str, value: float | None) -> str:
    """A figure of `CaptionVariety` as tables show it."""
    if value is None:
        return "-"
    if key in _SHARES:
        return f"{100 * value:.1f} %"
    return f"{value:.2f}" if key == "mean_length" else f"{value:.0f}"
