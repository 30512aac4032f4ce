"""What systems score, and whether they differ: a system is one file of captions, or runs that differ by chance alone.

Each file is scored against the references whose pictures it captions. Files that caption the same pictures are a fold:
they share its references, its document frequencies and its resamples. Systems are compared on the same folds.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from showtell.data.paths import counted, shown
from showtell.errors import UserError
from showtell.evaluation.comparison import Comparison, compared, corrected, interval
from showtell.evaluation.groups import Folds
from showtell.evaluation.metric import CLIP_MODEL
from showtell.evaluation.metrics import WITHOUT_JAVA, CaptionScores, ReferenceCorpus
from showtell.evaluation.resampling import Interval, Sample, randomization_p, samples
from showtell.evaluation.signature import signature
from showtell.score.files import Matched, ReferenceFile, Results, match, pictures_of, read_results
from showtell.score.systems import System
from showtell.text import NLTK, Tokenizer


@dataclass(frozen=True)
class ScoredRun:
    """One file: what it says of the pictures of a fold, and what that scores."""

    results: Results
    matched: Matched
    fold: str
    scores: CaptionScores


@dataclass(frozen=True)
class Fold:
    """A set of pictures: which references, their hash and number, and the signature of the scores on them."""

    references: ReferenceFile
    pictures: int
    signature: str


@dataclass(frozen=True)
class Judgement:
    """Everything that was found out.

    Attributes:
        folds: by name.
        runs: of each system.
        scores: of each system by the name of the score.
        comparisons: by the name of the score.
        notes: what must be known of files and figures.
    """

    folds: Mapping[str, Fold]
    runs: Mapping[str, Sequence[ScoredRun]]
    scores: Mapping[str, Mapping[str, Interval | float]]
    comparisons: Mapping[str, Sequence[Comparison]]
    notes: Sequence[str]


def judge(
    systems: Sequence[System],
    references: Sequence[ReferenceFile],
    metrics: Iterable[str] = WITHOUT_JAVA,
    tokenizer: Tokenizer = NLTK,
    *,
    subset: bool = False,
    resamples: int = 1000,
    seed: int = 0,
    images: Path | None = None,
    clip_model: str = CLIP_MODEL,
) -> Judgement:
    """Scores systems and compares all of them with the first.

    Args:
        systems: what is judged.
        references: of all folds.
        metrics: by registered name.
        tokenizer: whose tokens are compared.
        subset: score those pictures that a run captions, where it leaves some out.
        resamples: of the pictures.
        seed: of the resampling.
        images: where the pictures lie, for metrics that look at them.
        clip_model: the network that looks at them.

    Raises:
        UserError: captions that belong to no references or leave pictures out; systems on different folds.
    """
    metrics = list(metrics)
    corpora: dict[str, ReferenceCorpus] = {}
    folds: dict[str, Fold] = {}
    runs: dict[str, list[ScoredRun]] = {}
    for system in systems:
        runs[system.name] = []
        for file in system.files:
            results = read_results(file)
            source, matched = _own_references(results, references)
            texts = _scored_texts(results, matched, source, subset=subset)
            facts = signature(texts, tokenizer, source.split, source.layout)
            name = f"{source.name} {facts.pics} {facts.set}"
            if name not in corpora:
                seen = pictures_of(source, images, clip_model, texts) if images else None
                corpora[name] = ReferenceCorpus(texts, tokenizer, seen)
            scores = corpora[name].score(matched.captions, metrics)
            if name not in folds:
                had = scores.had_of(metrics)
                folds[name] = Fold(source, len(texts), facts.of(had, clip_model if images else ""))
            runs[system.name].append(ScoredRun(results, matched, name, scores))
    _refuse_other_folds(runs)
    drawn = _samples(runs, folds, resamples, seed)
    first, *others = systems
    comparisons = _comparisons(first.name, [one.name for one in others], runs, drawn, folds, resamples, seed)
    scored = [run for some in runs.values() for run in some]
    notes = dict.fromkeys(note for run in scored for note in (*run.results.notes, *run.scores.notes))
    known = {name: _scores(some, drawn[name], folds) for name, some in runs.items()}
    return Judgement(folds, runs, known, comparisons, list(notes))


def _own_references(results: Results, references: Sequence[ReferenceFile]) -> tuple[ReferenceFile, Matched]:
    """The references that a run's captions are of."""
    found = [(source, match(results, source)) for source in references]
    whole = [pair for pair in found if not pair[1].missing and not pair[1].surplus]
    ranked = whole or sorted(found, key=lambda pair: -len(pair[1].captions))
    if len(references) > 1 and (
        len(whole) > 1 or (not whole and len(ranked[0][1].captions) == len(ranked[1][1].captions))
    ):
        names = " and ".join(shown(pair[0].path) for pair in ranked[:2])
        raise UserError(
            f"{shown(results.path)}: its pictures are those of {names} alike; name them by file, not by number"
        )
    source, matched = ranked[0]
    if not matched.captions:
        ours, theirs = shown(next(iter(results.captions))), shown(next(iter(source.names.values())))
        raise UserError(
            f"{shown(results.path)}: none of its pictures, such as {ours}, is in {shown(source.path)}, whose first is "
            f"{theirs} (id {next(iter(source.texts))}); give the references of these pictures"
        )
    return source, matched


def _scored_texts(
    results: Results, matched: Matched, source: ReferenceFile, *, subset: bool
) -> dict[int, tuple[str, ...]]:
    """The references of the pictures that are scored."""
    if matched.missing and not subset:
        have = "has" if len(matched.missing) == 1 else "have"
        raise UserError(
            f"{shown(results.path)}: {counted(len(matched.missing), 'picture')} of the {len(source.texts):,} in "
            f"{shown(source.path)} {have} no caption (such as {shown(source.names[matched.missing[0]])}); "
            "caption every picture, or score those that have one by --subset"
        )
    return {picture: texts for picture, texts in source.texts.items() if picture in matched.captions}


def _refuse_other_folds(runs: Mapping[str, Sequence[ScoredRun]]) -> None:
    folds = {name: {run.fold for run in some} for name, some in runs.items()}
    (first, wanted), *others = folds.items()
    for name, found in others:
        if found != wanted:
            raise UserError(
                f"{shown(name)}: is scored on other pictures than {shown(first)} "
                f"({len(found)} and {len(wanted)} set(s), {len(found & wanted)} in common); give the same to both"
            )


Drawn = Mapping[str, Mapping[str, Mapping[str, list[Sample]]]]
"""The samples of each system, score and fold."""


def _samples(
    runs: Mapping[str, Sequence[ScoredRun]], folds: Mapping[str, Fold], resamples: int, seed: int
) -> dict[str, dict[str, dict[str, list[Sample]]]]:
    found: dict[str, dict[str, dict[str, list[Sample]]]] = {name: {} for name in runs}
    for place, fold in enumerate(folds):
        pairs = [(name, run) for name, some in runs.items() for run in some if run.fold == fold]
        drawn = samples([run.scores.sums for _, run in pairs], resamples, seed + place)
        for (name, _), values in zip(pairs, drawn, strict=True):
            for key, sample in values.items():
                found[name].setdefault(key, {}).setdefault(fold, []).append(sample)
    return found


def _scores(
    runs: Sequence[ScoredRun], drawn: Mapping[str, Folds], folds: Mapping[str, Fold]
) -> dict[str, Interval | float]:
    """The interval of each score; where there is none, the mean over the runs."""
    found: dict[str, Interval | float] = {}
    for key in dict.fromkeys(key for run in runs for key in run.scores.corpus):
        if key in drawn:
            found[key] = interval(drawn[key], _pictures(drawn[key], folds))
        else:
            values = [run.scores.corpus[key] for run in runs if key in run.scores.corpus]
            found[key] = sum(values) / len(values)
    return found


def _pictures(group: Folds, folds: Mapping[str, Fold]) -> dict[str, int]:
    return {fold: folds[fold].pictures for fold in group}


def _comparisons(
    first: str,
    others: Sequence[str],
    runs: Mapping[str, Sequence[ScoredRun]],
    drawn: Drawn,
    folds: Mapping[str, Fold],
    resamples: int,
    seed: int,
) -> dict[str, list[Comparison]]:
    found: dict[str, list[Comparison]] = {}
    for other in others:
        swaps = {}
        if len(runs[first]) == len(runs[other]) == 1:
            swaps = randomization_p(runs[other][0].scores.sums, runs[first][0].scores.sums, resamples, seed)
        for key in drawn[first].keys() & drawn[other].keys():
            ours, theirs = drawn[other][key], drawn[first][key]
            one = compared(other, ours, theirs, _pictures(ours, folds), swaps.get(key))
            found.setdefault(key, []).append(one)
    return {key: corrected(some) for key, some in found.items()}
