"""What `judge` found as text: scores with intervals, a column per system, and how the others differ from the first."""

from collections.abc import Callable, Sequence
from statistics import fmean

from showtell.config.registry import parts
from showtell.data.paths import counted
from showtell.evaluation.comparison import Comparison, p_text
from showtell.evaluation.diversity import caption_variety
from showtell.evaluation.groups import GroupScore
from showtell.evaluation.report import VARIETY_NAMES, variety_text
from showtell.evaluation.resampling import Interval
from showtell.score.judge import Fold, Judgement, ScoredRun
from showtell.text import Tokenizer

FREQUENCIES = "CIDEr's document frequencies are those of the whole reference set in every resample"


def lines(found: Judgement, tokenizer: Tokenizer, resamples: int, seed: int) -> list[str]:
    """The whole report."""
    return [
        *(_subject(fold, [run for some in found.runs.values() for run in some if run.fold == name])
          for name, fold in found.folds.items()),
        "",
        *_columns([["", *found.scores], *_score_rows(found), *_variety_rows(found, tokenizer)]),
        *_comparison_lines(found),
        "",
        *dict.fromkeys(f"signature: {fold.signature}" for fold in found.folds.values()),
        f"[ ]: 95% interval; {_explained(found)}; {resamples:,} resamples, seed {seed}; {FREQUENCIES}",
    ]  # fmt: skip


def _subject(fold: Fold, runs: Sequence[ScoredRun]) -> str:
    texts = fold.references.texts
    references = sum(len(said) for said in texts.values()) if fold.pictures == len(texts) else None
    some = f" of {len(texts):,}" if fold.pictures < len(texts) else ""
    told = [f"{fold.references.name}: {fold.pictures:,}{some} pictures scored"]
    told += [] if references is None else [f"{references:,} references"]
    missing = max(len(run.matched.missing) for run in runs)
    surplus = max(len(run.matched.surplus) for run in runs)
    told.append(f"{missing:,} without a caption" + (", left out" if missing else ""))
    told.append(
        counted(surplus, "surplus caption") + (" (of pictures that nobody described), left out" if surplus else "")
    )
    return ", ".join(told)


def _names() -> dict[str, str]:
    names = {key: name for part in parts("metric") for key, name in part.load().names.items()}
    return {**names, "cider": "CIDEr (CIDEr-D)"}


def _score_rows(found: Judgement) -> list[list[str]]:
    names = _names()
    keys = dict.fromkeys(key for scores in found.scores.values() for key in scores)
    order = [key for key in names if key in keys]
    return [[names[key], *(_score(scores.get(key)) for scores in found.scores.values())] for key in order]


def _score(value: Interval | float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, Interval) else f"{value:.4f}"


def _variety_rows(found: Judgement, tokenizer: Tokenizer) -> list[list[str]]:
    """Of each system the mean over its runs."""
    measured = [
        [caption_variety(run.matched.captions.values(), None, tokenizer) for run in runs]
        for runs in found.runs.values()
    ]
    rows = []
    for key, name in VARIETY_NAMES.items():
        values = [[value for one in some if (value := getattr(one, key)) is not None] for some in measured]
        rows.append([name, *(variety_text(key, fmean(some)) if some else "-" for some in values)])
    return [row for row in rows if set(row[1:]) != {"-"}]


def _comparison_lines(found: Judgement) -> list[str]:
    first, names = next(iter(found.scores)), _names()
    told = []
    for system in list(found.scores)[1:]:
        rows = [
            [names[key], *_cells(one)]
            for key in names
            for one in found.comparisons.get(key, ())
            if one.system == system
        ]
        told += ["", f"{system} minus {first}", *_columns(rows, str.ljust)]
    return told


def _cells(one: Comparison) -> list[str]:
    value = one.difference
    tests = [f"{p_text(p)} ({name})" for name, p in one.tests.items()]
    holm = [f"{p_text(one.corrected)} (Holm)"] if one.corrected is not None else []
    verdict = "differs" if one.is_told else "chance would do that too"
    return [f"{value.value:+.4f} [{value.low:+.4f}, {value.high:+.4f}]", *tests, *holm, verdict]


def _columns(rows: Sequence[Sequence[str]], adjust: Callable[[str, int], str] = str.rjust) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(adjust(cell, width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        ).rstrip()
        for row in rows
    ]


def _explained(found: Judgement) -> str:
    """What the intervals are about."""
    groups = [one for scores in found.scores.values() for one in scores.values() if isinstance(one, GroupScore)]
    several = any(len(runs) > 1 for runs in found.runs.values())
    if not several:
        return "it covers the choice of pictures, not that of the seed (bootstrap over pictures)"
    if groups and all(one.seeds for one in groups):
        return "it covers the choice of pictures (bootstrap) and of seeds (t distribution)"
    return "it covers the choice of pictures; seeds only where a system has several runs on each set of pictures"
