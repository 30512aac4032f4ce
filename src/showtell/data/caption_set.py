"""The tokenized captions of a split, kept on disk by content.

Tokenizing does not depend on the vocabulary's threshold: a caption is kept as numbers of distinct words, and a
vocabulary is a look-up table over those. So one file serves every run of every sweep over a data set, and a warm
start tokenizes nothing. The file's name is a hash of what it was made from: the annotation file's bytes, the split
and the reader's settings.
"""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import nltk
import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from showtell.atomic import atomic_write, remove_stale_temporaries
from showtell.config import DataConfig
from showtell.data.annotations import Split, SplitName, read_split, source_files
from showtell.data.tokenize import tokenize_all
from showtell.vocabulary import UNK, Vocabulary

CACHE_VERSION = 1


@dataclass(frozen=True)
class CaptionSet:
    """Captions as numbers of words.

    Attributes:
        words: the distinct words, most frequent first.
        word_numbers: `(sum of lengths,)` int32, all captions one after the other.
        starts: `(N + 1,)` int64, where each caption begins.
        picture_of: `(N,)` int32, row of the caption's picture.
        picture_ids: `(P,)` int64.
        texts_file: JSON with the paths of the pictures, the captions as written, and what was skipped in reading.
    """

    words: list[str]
    word_numbers: NDArray[np.int32]
    starts: NDArray[np.int64]
    picture_of: NDArray[np.int32]
    picture_ids: NDArray[np.int64]
    texts_file: Path

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """`(N,)` words per caption."""
        return np.diff(self.starts)

    @cached_property
    def counts(self) -> Counter[str]:
        """How often each word occurs."""
        numbers = np.bincount(self.word_numbers, minlength=len(self.words))
        return Counter(dict(zip(self.words, numbers.tolist(), strict=True)))

    @cached_property
    def paths(self) -> list[Path]:
        """The `(P,)` picture files."""
        return [Path(path) for path in self.path_names]

    @property
    def path_names(self) -> list[str]:
        """The `(P,)` picture files as text; making a `Path` of each costs more than asking for its size."""
        return list(self._texts["paths"])

    @property
    def skipped(self) -> list[str]:
        """One line for each thing that reading the annotations left out."""
        return list(self._texts["skipped"])

    @cached_property
    def references(self) -> dict[int, list[str]]:
        """The captions as they were written, by picture id."""
        references: dict[int, list[str]] = {int(picture): [] for picture in self.picture_ids}
        ids = self.picture_ids[self.picture_of].tolist()
        for picture, text in zip(ids, self._texts["captions"], strict=True):
            references[picture].append(text)
        return references

    @cached_property
    def _texts(self) -> dict[str, Any]:
        texts: dict[str, Any] = json.loads(self.texts_file.read_text(encoding="utf-8"))
        return texts

    def encode(self, vocabulary: Vocabulary) -> NDArray[np.int32]:
        """`word_numbers` as tokens of a vocabulary; words it does not hold become `<unk>`."""
        known = {word: token for token, word in enumerate(vocabulary.words)}
        table = np.array([known.get(word, UNK) for word in self.words], dtype=np.int32)
        return table[self.word_numbers] if len(table) else self.word_numbers


def load_captions(config: DataConfig, split: SplitName, cache: Path) -> CaptionSet:
    """Reads and tokenizes a split, or finds that done.

    Whether the pictures are there is not asked here: that can change while the captions stay.

    Raises:
        AnnotationError: the annotations cannot be read; one line.
    """
    directory = cache / "captions" / f"{config.name}-{split}-{content_key(config, split)}"
    arrays, texts = directory / "arrays.npz", directory / "texts.json"
    if not arrays.is_file():
        directory.mkdir(parents=True, exist_ok=True)
        with FileLock(directory / "lock"):  # runs that start together tokenize once
            if not arrays.is_file():
                _write(read_split(config, split, check_files=False), config.max_caption_words, arrays, texts)
    with np.load(arrays, allow_pickle=False) as found:
        words = bytes(found["words"]).decode("utf-8").split("\n") if found["words"].size else []
        return CaptionSet(
            words, found["word_numbers"], found["starts"], found["picture_of"], found["picture_ids"], texts
        )


def content_key(config: DataConfig, split: SplitName) -> str:
    """A hash of everything that the tokenized captions follow from, the place of the files included."""
    place = [CACHE_VERSION, config.root, config.train_images, config.val_images, source_hash(config, split)]
    return hashlib.sha256(json.dumps(place).encode()).hexdigest()[:16]


def source_hash(config: DataConfig, split: SplitName) -> str:
    """A hash of a split's captions as they are read and tokenized, wherever the files lie."""
    settings = [nltk.__version__, split, config.format, config.max_caption_words]
    digest = hashlib.sha256(json.dumps(settings).encode())
    for file in source_files(config, split):
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()[:16]


def _write(split: Split, max_words: int, arrays: Path, texts: Path) -> None:
    remove_stale_temporaries(arrays.parent)
    captions = [caption for picture in split.pictures for caption in picture.captions]
    tokenized = [words[:max_words] for words in tokenize_all(captions)]
    counts = Counter(word for words in tokenized for word in words)
    ordered = sorted(counts, key=lambda word: (-counts[word], word))
    number = {word: i for i, word in enumerate(ordered)}
    starts = np.zeros(len(tokenized) + 1, dtype=np.int64)
    np.cumsum([len(words) for words in tokenized], out=starts[1:])
    sizes = [len(picture.captions) for picture in split.pictures]
    with atomic_write(texts) as file:
        paths = [str(picture.path) for picture in split.pictures]
        content = {"paths": paths, "captions": captions, "skipped": list(split.skipped)}
        file.write(json.dumps(content).encode())
    with atomic_write(arrays) as file:
        np.savez(
            file,
            words=np.frombuffer("\n".join(ordered).encode("utf-8"), dtype=np.uint8),
            word_numbers=np.array([number[word] for words in tokenized for word in words], dtype=np.int32),
            starts=starts,
            picture_of=np.repeat(np.arange(len(sizes), dtype=np.int32), sizes),
            picture_ids=np.array([picture.id for picture in split.pictures], dtype=np.int64),
        )
