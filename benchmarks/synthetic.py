"""Data of any size without pictures: random features and captions with the words' frequencies of a language.

Words follow Zipf's law, lengths are those of COCO's captions (8 to 16 words, mostly 10), five captions a picture.
"""

from pathlib import Path

import numpy as np
import torch

from showtell.data.caption_set import CaptionSet
from showtell.data.module import SplitData
from showtell.data.readers import CachedFeatures
from showtell.text import Vocabulary

CAPTIONS_PER_PICTURE = 5
LENGTHS = np.arange(8, 17)
SHARES = np.array([0.14, 0.21, 0.23, 0.16, 0.10, 0.07, 0.04, 0.03, 0.02])


def caption_set(captions: int, words: int, length: int | None = None, seed: int = 0) -> CaptionSet:
    """Captions over a vocabulary of `words`; all of one length where that is given."""
    random = np.random.default_rng(seed)
    lengths = np.full(captions, length) if length else random.choice(LENGTHS, captions, p=SHARES)
    frequencies = 1 / np.arange(1, words + 1)
    numbers = random.choice(words, int(lengths.sum()), p=frequencies / frequencies.sum())
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    pictures = -(-captions // CAPTIONS_PER_PICTURE)
    return CaptionSet(
        [f"word{number}" for number in range(words)],
        numbers.astype(np.int32),
        starts,
        (np.arange(captions) // CAPTIONS_PER_PICTURE).astype(np.int32),
        np.arange(pictures),
        Path("none"),
    )


def split(captions: CaptionSet, *feature_shape: int) -> SplitData:
    """The captions with random features, as float16 in memory."""
    pictures = len(captions.picture_ids)
    features = torch.randn(pictures, *feature_shape, generator=torch.Generator().manual_seed(0)).half()
    return SplitData(captions, CachedFeatures(features), np.zeros(pictures, dtype=bool))


def vocabulary(captions: CaptionSet) -> Vocabulary:
    """A vocabulary that knows every word."""
    return Vocabulary.from_counts(captions.counts, 1)
