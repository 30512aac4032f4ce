"""Tokenized captions as arrays, kept on disk by content.

Tokenizing does not depend on the vocabulary's threshold: a caption is kept as numbers of distinct words, and a
vocabulary is a look-up table over those. So one file serves every run of every sweep over a data set, and a warm
start tokenizes nothing. The file's name is a hash of what it was made from: the annotation file's bytes, the split
and the reader's settings.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from showtell.config import DataConfig, find
from showtell.data.annotations import SplitName
from showtell.data.contents import Contents
from showtell.data.derived import derived, sealed_write, unsealed
from showtell.data.formats import content_files, listed_pictures, read_split, resolved
from showtell.data.paths import FileFacts, file_facts
from showtell.files import content_key, file_sha256, short_hash
from showtell.terminal import tell
from showtell.text import END, NLTK, Tokenizer, Vocabulary

CACHE_VERSION = 2


@dataclass(frozen=True)
class CaptionTable:
    """Captions as numbers of words.

    Attributes:
        words: the distinct words, most frequent first.
        word_numbers: `(sum of lengths,)` int32, all captions one after the other.
        starts: `(N + 1,)` int64, where each caption begins.
        picture_of: `(N,)` int32, row of the caption's picture.
    """

    words: list[str]
    word_numbers: NDArray[np.int32]
    starts: NDArray[np.int64]
    picture_of: NDArray[np.int32]

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """`(N,)` words per caption."""
        return np.diff(self.starts)

    @cached_property
    def counts(self) -> Counter[str]:
        """How often each word occurs."""
        return self.counts_in(np.ones(len(self.lengths), dtype=np.bool_))

    def counts_in(self, chosen: NDArray[np.bool_]) -> Counter[str]:
        """How often each word occurs in the `(N,)` chosen captions; those that do not are left out."""
        numbers = np.bincount(self.word_numbers[np.repeat(chosen, self.lengths)], minlength=len(self.words))
        return Counter({word: count for word, count in zip(self.words, numbers.tolist(), strict=True) if count})

    def tokens(self, vocabulary: Vocabulary) -> NDArray[np.int32]:
        """`word_numbers` as tokens of a vocabulary; words it does not hold become `<unk>`."""
        table = np.array(vocabulary.look_up(self.words), dtype=np.int32)
        return table[self.word_numbers] if len(table) else self.word_numbers

    def batch(self, tokens: NDArray[np.int32], rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """`(B, T)` tokens of rows of one length, `<end>` last."""
        length = self.lengths[rows[0]]
        captions = np.full((len(rows), length + 1), END, dtype=np.int64)
        captions[:, :-1] = tokens[self.starts[rows, None] + np.arange(length)]
        return captions


def caption_arrays(captions: Iterable[Sequence[str]], max_words: int, tokenizer: Tokenizer = NLTK) -> dict[str, Any]:
    """Tokenizes the captions of each picture: a `CaptionTable` as arrays for a file, and how many were `cut`."""
    captions = list(captions)
    whole = [tokenizer.split(text) for texts in captions for text in texts]
    tokenized = [tokenizer.shortened(words, max_words) for words in whole]
    counts = Counter(word for words in tokenized for word in words)
    ordered = sorted(counts, key=lambda word: (-counts[word], word))
    number = {word: i for i, word in enumerate(ordered)}
    sizes = [len(texts) for texts in captions]
    return {
        "words": np.frombuffer("\n".join(ordered).encode("utf-8"), dtype=np.uint8),
        "word_numbers": np.array([number[word] for words in tokenized for word in words], dtype=np.int32),
        "starts": np.cumsum([0, *map(len, tokenized)], dtype=np.int64),
        "picture_of": np.repeat(np.arange(len(sizes), dtype=np.int32), sizes),
        "cut": np.int64(sum(len(cut) < len(words) for cut, words in zip(tokenized, whole, strict=True))),
    }


def caption_columns(found: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """The fields of a `CaptionTable` out of such a file."""
    words = bytes(found["words"]).decode("utf-8").split("\n") if found["words"].size else []
    return {"words": words, **{name: found[name] for name in ("word_numbers", "starts", "picture_of")}}


@dataclass(frozen=True)
class CaptionSet(CaptionTable):
    """The captions of a split that was read from annotation files.

    Attributes:
        picture_ids: `(P,)` int64.
        texts_file: JSON with the paths of the pictures, the captions as written, and what reading told and skipped.
        source: the `source_hash` of the split.
        cut: how many captions were longer than `data.max_caption_words`.
        extra: how many of the captions, the last ones, are further ones that nobody wrote (`data.extra_captions`).
    """

    picture_ids: NDArray[np.int64]
    texts_file: Path
    source: str = ""
    cut: int = 0
    extra: int = 0

    @cached_property
    def counts(self) -> Counter[str]:
        """How often each word occurs in what people wrote."""
        return self.counts_in(np.arange(len(self.lengths)) < len(self.lengths) - self.extra)

    @cached_property
    def paths(self) -> list[Path]:
        """The `(P,)` picture files."""
        return [Path(path) for path in self.path_names]

    @property
    def path_names(self) -> list[str]:
        """The `(P,)` picture files as text; making a `Path` of each costs more than asking for its size."""
        names: list[str] = self._texts["paths"]
        return names

    @cached_property
    def facts(self) -> list[FileFacts]:
        """Of each of the `(P,)` files, which are asked once."""
        return [file_facts(path) for path in self.path_names]

    @cached_property
    def stamps(self) -> list[str]:
        """The `stamp` of each of the `(P,)` files."""
        return [found.stamp for found in self.facts]

    @cached_property
    def contents(self) -> Contents:
        """Of the `(P,)` files."""
        return Contents(self.path_names, self.texts_file.parents[2] / "contents", self.facts)

    @property
    def skipped(self) -> list[str]:
        """One line for each thing that reading the annotations left out."""
        lines: list[str] = self._texts["skipped"]
        return lines

    @property
    def told(self) -> list[str]:
        """Lines that say how the annotations were read where that was not spelled out."""
        lines: list[str] = self._texts["told"]
        return lines

    def notes(self, max_words: int, max_length: int = 0) -> list[str]:
        """What a person should know of how the split was read: what was found, left out, cut.

        Args:
            max_words: longer captions were cut.
            max_length: words of the longest caption that will be decoded; 0: it does not matter.
        """
        lines = ["; ".join(self.told)] if self.told else []
        if count := len(self.skipped):
            what = "caption or picture" if count == 1 else "captions or pictures"
            lines.append(f"{count:,} {what} left out, e.g. {self.skipped[0]}")
        total = len(self.lengths)
        if self.cut:
            lines.append(
                f"{self.cut:,} of {total:,} captions are longer than data.max_caption_words={max_words} and are cut"
            )
        median = int(np.median(self.lengths)) if total else 0
        if 0 < max_length < median:
            lines.append(
                f"half of the captions have {median} words or more; decoding.max_length={max_length} is below that"
            )
        return lines

    @cached_property
    def references(self) -> dict[int, list[str]]:
        """The captions as people wrote them, by picture id."""
        references: dict[int, list[str]] = {int(picture): [] for picture in self.picture_ids}
        ids = self.picture_ids[self.picture_of[: len(self.lengths) - self.extra]].tolist()
        for picture, text in zip(ids, self._texts["captions"], strict=True):
            references[picture].append(text)
        return references

    @cached_property
    def _texts(self) -> dict[str, Any]:
        texts: dict[str, Any] = json.loads(unsealed(self.texts_file))
        return texts


def load_captions(config: DataConfig, split: SplitName, cache: Path, tokenizer: Tokenizer = NLTK) -> CaptionSet:
    """Reads and tokenizes a split, or finds that done.

    Whether the pictures are there is not asked here: that can change while the captions stay. Where names lack suffixes
    or folders, the files that are there say which picture is meant; with other files the split is read again.

    Raises:
        AnnotationError: the annotations cannot be read; one line.
    """
    config = resolved(config, split)
    source = source_hash(config, split, tokenizer)
    place = [config.root, config.train_images, config.val_images, *([str(config.test_images)] * (split == "test"))]
    listed = listed_pictures(config, split)
    names = [short_hash(f"{name}\0" for name in listed)] if listed else []
    key = content_key(CACHE_VERSION, *place, source, *names, *_plugin_key(config))
    directory = cache / "captions" / f"{config.name}-{split}-{key}"
    arrays, texts = directory / "arrays.npz", directory / "texts.json"

    def load() -> CaptionSet:
        unsealed(texts)
        with np.load(BytesIO(unsealed(arrays)), allow_pickle=False) as found:
            columns = caption_columns(found) | {"picture_ids": found["picture_ids"], "cut": int(found["cut"])}
            return CaptionSet(**columns, texts_file=texts, source=source)

    return derived(arrays, lambda: _write(config, split, tokenizer, arrays, texts), load)


def _plugin_key(config: DataConfig) -> list[str]:
    """What captions follow from besides their files where a plugin reads them: its code, and settings of its own."""
    reader = find("format", config.format)
    own = sorted({one.name for one in fields(config)} - {one.name for one in fields(DataConfig)})
    return [] if reader.origin is None else [reader.sha256, *(f"{name}={getattr(config, name)}" for name in own)]


def source_hash(config: DataConfig, split: SplitName, tokenizer: Tokenizer = NLTK) -> str:
    """A hash of a split's captions as they are read and tokenized, wherever the files lie."""
    config = resolved(config, split)
    key, files = content_files(config, split)
    settings = [tokenizer.key, split, *key, config.max_caption_words]
    return short_hash([json.dumps(settings), *(bytes.fromhex(file_sha256(file)) for file in files)])


def _write(config: DataConfig, name: SplitName, tokenizer: Tokenizer, arrays: Path, texts: Path) -> None:
    tell("captions", f"reading and tokenizing those of {config.name} {name}")
    split = read_split(config, name, check_files=False)
    captions = [picture.captions for picture in split.pictures]
    columns = caption_arrays(captions, config.max_caption_words, tokenizer)
    paths = [str(picture.path) for picture in split.pictures]
    written = [text for said in captions for text in said]
    notes = {"skipped": split.skipped, "told": split.told}
    with sealed_write(texts) as file:
        file.write(json.dumps({"paths": paths, "captions": written, **notes}).encode("ascii"))
    with sealed_write(arrays) as file:
        np.savez(file, **columns, picture_ids=np.array([picture.id for picture in split.pictures], dtype=np.int64))
