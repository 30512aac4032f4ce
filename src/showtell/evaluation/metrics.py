"""What captions score against human references: BLEU-1..4, ROUGE-L and CIDEr, without Java, fast enough for every epoch.

The numbers are those of coco-caption (pycocoevalcap), to which the tests compare them on equal tokens to eight digits. Its scorers
are not called: they count string n-grams anew on each call, references included, which is several seconds for COCO's validation
split and far too slow for a reward in every training step. Here a `ReferenceCorpus` is tokenized and counted once.
pycocoevalcap serves where nothing else does, for METEOR and SPICE (`java.py`).

Pictures are put in the order of their ids before anything is summed, so the order in which candidates arrive, and the number of
processes they come from, cannot change a digit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from showtell.evaluation.bleu import Bleu
from showtell.evaluation.cider import CiderD
from showtell.evaluation.ngrams import Captions, Ints, NgramIndex
from showtell.evaluation.ptb import ptb_tokens
from showtell.evaluation.rouge import rouge_l


class CandidateError(ValueError):
    """Candidates or references that cannot be scored; the message is one line."""


@dataclass(frozen=True)
class CaptionScores:
    """Scores as fractions (CIDEr up to 10), of the corpus and of each picture.

    `corpus` has the keys bleu1 bleu2 bleu3 bleu4 rouge_l cider cider_d, where cider and cider_d are one number under its two
    names (see `cider.py`); `pictures[id]` has cider, bleu4 and rouge_l, in the order of the ids.
    """

    corpus: dict[str, float]
    pictures: dict[int, dict[str, float]]


class ReferenceCorpus:
    """The human captions of some pictures, tokenized and counted once, against which candidates are scored.

    Raises:
        CandidateError: no picture at all, or one without references.
    """

    def __init__(self, references: Mapping[int, Sequence[str]]) -> None:
        bare = next((picture for picture, captions in references.items() if not captions), None)
        if bare is not None or not references:
            where = "there are no references" if bare is None else f"picture {bare} has no references"
            raise CandidateError(f"{where} to score against; leave it out or give it a caption")
        self.picture_ids = sorted(references)
        self._places = {picture: place for place, picture in enumerate(self.picture_ids)}
        self._first: Ints = np.cumsum([0, *(len(references[picture]) for picture in self.picture_ids)])
        index = NgramIndex([ptb_tokens(text) for picture in self.picture_ids for text in references[picture]])
        self._index = index
        self._cider = CiderD(index, self._first)
        self._bleu: Bleu | None = None

    def score(self, candidates: Mapping[int, str]) -> CaptionScores:
        """Scores one caption per picture; an empty caption gets 0.

        Raises:
            CandidateError: a picture of the corpus without candidate, or a candidate for an unknown picture.
        """
        self._check(candidates)
        # a corpus that only gives rewards never needs BLEU's tables
        self._bleu = self._bleu or Bleu(self._index.captions, self._first)
        texts = self._index.count([ptb_tokens(candidates[picture]) for picture in self.picture_ids])
        bleu, picture_bleu = self._bleu.score(texts)
        rouge = self._rouge(texts)
        cider = self._cider.score(texts, np.arange(len(texts)))
        corpus = {f"bleu{order}": float(value) for order, value in enumerate(bleu, start=1)}
        corpus |= {"rouge_l": float(rouge.mean()), "cider": float(cider.mean()), "cider_d": float(cider.mean())}
        rows = zip(cider.tolist(), picture_bleu[:, 3].tolist(), rouge.tolist(), strict=True)
        pictures = [{"cider": c, "bleu4": b, "rouge_l": r} for c, b, r in rows]
        return CaptionScores(corpus, dict(zip(self.picture_ids, pictures, strict=True)))

    def cider_d_rewards(
        self, picture_ids: Sequence[int], captions: Sequence[Sequence[str]]
    ) -> NDArray[np.float64]:
        """The CIDEr-D of each caption (captions), for self-critical training; document frequencies are this corpus's.

        Args:
            picture_ids: the picture of each caption; several captions may share one.
            captions: the words of each caption, special tokens left out.

        Raises:
            CandidateError: an unknown picture, or not as many captions as pictures.
        """
        if len(picture_ids) != len(captions):
            raise CandidateError(f"{len(captions)} captions for {len(picture_ids)} pictures; give one picture id per caption")
        places = np.array([self._place(picture) for picture in picture_ids], np.int64)
        texts = self._index.count([ptb_tokens(" ".join(words)) for words in captions])
        return self._cider.score(texts, places)

    def _place(self, picture: int) -> int:
        if picture not in self._places:
            raise CandidateError(f"picture {picture} has a caption but no references; leave it out or add references")
        return self._places[picture]

    def _check(self, candidates: Mapping[int, str]) -> None:
        for picture in candidates:
            self._place(picture)
        missing = [picture for picture in self.picture_ids if picture not in candidates]
        if missing:
            raise CandidateError(
                f"{len(missing)} of {len(self.picture_ids)} pictures have no caption (first: {missing[0]}); caption every picture"
            )

    def _rouge(self, texts: Captions) -> NDArray[np.float64]:
        references = _sentences(self._index.captions)
        candidates = _sentences(texts)
        spans = pairwise(self._first.tolist())
        return np.array([rouge_l(own, references[a:b]) for own, (a, b) in zip(candidates, spans, strict=True)])


def _sentences(captions: Captions) -> list[list[int]]:
    words = captions.words.tolist()
    return [words[start:end] for start, end in pairwise(captions.starts.tolist())]


def score_captions(candidates: Mapping[int, str], references: Mapping[int, Sequence[str]]) -> CaptionScores:
    """Scores one caption per picture against the picture's references, once.

    Raises:
        CandidateError: the two do not name the same pictures, or a picture has no references.
    """
    return ReferenceCorpus(references).score(candidates)
