"""What captions score against human references: BLEU-1..4, ROUGE-L and CIDEr, without Java.

The numbers are those of coco-caption (pycocoevalcap), to which the tests compare them on equal tokens to
eight digits. Its scorers are not called: they count string n-grams anew on each call, references included,
which is several seconds for COCO's validation split and far too slow for a reward in every training step.
Here a `ReferenceCorpus` is tokenized and counted once. pycocoevalcap serves where nothing else does, for
METEOR and SPICE (`java.py`).

Pictures are put in the order of their ids before anything is summed, so the order in which candidates
arrive, and the number of processes they come from, cannot change a digit.
"""

from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from showtell.config import find
from showtell.errors import UserError
from showtell.evaluation.cider import CiderD
from showtell.evaluation.metric import Candidates, Metric, Pictures, References, UnavailableError
from showtell.evaluation.ngrams import Ints
from showtell.evaluation.sums import Sums
from showtell.text import NLTK, Tokenizer


class CandidateError(UserError):
    """Candidates or references that cannot be scored; the message is one line."""


@dataclass(frozen=True)
class CaptionScores:
    """Scores as fractions (CIDEr up to 10), of the corpus and of each picture.

    `corpus` has the keys bleu1 bleu2 bleu3 bleu4 rouge_l cider cider_d, where cider and cider_d are one and
    the same number (`cider.py` says why), and what was asked for besides; `pictures[id]` has cider, bleu4 and rouge_l,
    in the order of ids. `notes` says which tokens were compared where these are not English's, and has a line for each
    metric that cannot be had. `sums` is what `resampling` makes intervals of.
    """

    corpus: dict[str, float]
    pictures: dict[int, dict[str, float]]
    notes: tuple[str, ...] = ()
    sums: tuple[Sums, ...] = field(default=(), compare=False, repr=False)

    def had_of(self, metrics: Iterable[str]) -> list[str]:
        """Those of these metrics, by registered name, that could be had: what a signature names."""
        return [name for name in metrics if find("metric", name).load().names.keys() & self.corpus.keys()]


WITHOUT_JAVA = ("bleu", "rouge_l", "cider")  # the order of columns in metrics.csv
ONE_PICTURE = (
    "CIDEr is 0 whatever is said of a single picture: it counts words that tell a picture from the others; use more "
    "pictures, or judge by the loss or BLEU"
)


class ReferenceCorpus:
    """The human captions of some pictures, tokenized and counted once, against which candidates are scored.

    Raises:
        CandidateError: no picture at all, or one without references.
    """

    def __init__(
        self,
        references: Mapping[int, Sequence[str]],
        tokenizer: Tokenizer = NLTK,
        pictures: Pictures | None = None,
    ) -> None:
        _check_references(references)
        self.picture_ids = sorted(references)
        self._places = {picture: place for place, picture in enumerate(self.picture_ids)}
        first: Ints = np.cumsum([0, *(len(references[picture]) for picture in self.picture_ids)])
        self.tokenizer = tokenizer
        self._references = References(references, self.picture_ids, first, tokenizer, pictures)
        self._cider = CiderD(self._references)
        # a corpus that only gives rewards never needs BLEU's tables
        self._metrics: dict[str, Metric] = {"cider": self._cider}

    def score(self, candidates: Mapping[int, str], metrics: Collection[str] = WITHOUT_JAVA) -> CaptionScores:
        """Scores one caption per picture; an empty caption gets 0.

        Args:
            candidates: the captions by picture id.
            metrics: by registered name.

        Raises:
            CandidateError: a picture of the corpus without candidate, or a candidate for an unknown picture.
        """
        _check_pictures(candidates, self._places)
        tokens = [self._references.tokens(candidates[picture]) for picture in self.picture_ids]
        texts = [candidates[picture] for picture in self.picture_ids]
        given = Candidates(tokens, self._references.index.count(tokens), texts)
        corpus: dict[str, float] = {}
        columns: dict[str, list[float]] = {}
        sums: list[Sums] = []
        notes = [] if self.tokenizer.is_english else [tokens_note(self.tokenizer)]
        if len(self.picture_ids) == 1 and "cider" in metrics:
            notes.append(ONE_PICTURE)
        for name in metrics:
            try:
                found = self._metric(name).score(given)
            except UnavailableError as reason:
                notes.append(f"{name.upper()} left out: {reason}")
                continue
            corpus |= found.corpus
            sums += [found.sums] if found.sums else []
            columns |= {key: values.tolist() for key, values in found.pictures.items()}
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        pictures = rows or [{} for _ in self.picture_ids]
        return CaptionScores(corpus, dict(zip(self.picture_ids, pictures, strict=True)), tuple(notes), tuple(sums))

    def _metric(self, name: str) -> Metric:
        if name not in self._metrics:
            self._metrics[name] = find("metric", name).load()(self._references)
        return self._metrics[name]

    def cider_d_rewards(self, picture_ids: Sequence[int], captions: Sequence[Sequence[str]]) -> NDArray[np.float64]:
        """The CIDEr-D of each caption (captions), for self-critical training.

        Document frequencies are those of this corpus, so make it from the training split. It gives more
        than ten thousand rewards a second on one core.

        Args:
            picture_ids: the picture of each caption; several captions may share one.
            captions: the words of each caption, special tokens left out.

        Raises:
            CandidateError: an unknown picture, or not as many captions as pictures.
        """
        if len(picture_ids) != len(captions):
            raise CandidateError(
                f"{len(captions)} captions for {len(picture_ids)} pictures; give one picture id per caption"
            )
        _check_known(picture_ids, self._places)
        places = np.array([self._places[picture] for picture in picture_ids], np.int64)
        texts = self._references.index.count([self._references.tokens(" ".join(words)) for words in captions])
        return self._cider.scores(texts, places)


def tokens_note(tokenizer: Tokenizer) -> str:
    """Which tokens scores are about, for a tokenizer that is not English's."""
    return (
        f"scores compare tokens of vocab.tokenizer={tokenizer.of_words.name}, without punctuation; "
        "compare them with those of the same tokenizer only"
    )


def score_captions(
    candidates: Mapping[int, str],
    references: Mapping[int, Sequence[str]],
    metrics: Collection[str] = WITHOUT_JAVA,
    tokenizer: Tokenizer = NLTK,
    pictures: Pictures | None = None,
) -> CaptionScores:
    """Scores one caption per picture against the picture's references, once.

    Raises:
        CandidateError: the two do not name the same pictures, or a picture has no references.
    """
    return ReferenceCorpus(references, tokenizer, pictures).score(candidates, metrics)


def _check_references(references: Mapping[int, Sequence[str]]) -> None:
    if not references:
        raise CandidateError("there are no references to score against; give at least one picture with captions")
    bare = [picture for picture, captions in references.items() if not captions]
    if bare:
        raise CandidateError(f"picture {bare[0]} has no references to score against; leave it out or give it a caption")


def _check_known(pictures: Iterable[int], known: Container[int]) -> None:
    for picture in pictures:
        if picture not in known:
            raise CandidateError(f"picture {picture} has a caption but no references; leave it out or add references")


def _check_pictures(candidates: Mapping[int, str], references: Collection[int]) -> None:
    _check_known(candidates, references)
    missing = [picture for picture in references if picture not in candidates]
    if missing:
        raise CandidateError(
            f"{len(missing)} of {len(references)} pictures have no caption (first: {missing[0]}); caption every picture"
        )
