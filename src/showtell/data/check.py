"""What is in a data set, and what of it cannot be used: read every caption, decode every picture, count.

Everything is looked at the way training looks at it, through the same readers, the same decoder and the
same tokenizer, so what is reported is what would happen. Decoding runs in threads: the decoders release the
interpreter's lock.
"""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from rich.console import Console
from rich.progress import track

from showtell.config import DataConfig
from showtell.data.annotations import Picture, SplitName
from showtell.data.formats import read_split
from showtell.data.images import PictureError, PictureFacts, inspect_picture
from showtell.data.shards.index import unreadable
from showtell.data.shards.members import read_members
from showtell.data.shards.pattern import ShardError, find_shards
from showtell.vocabulary import Vocabulary, tokenize_all

THRESHOLDS = (1, 2, 3, 4, 5, 6, 8, 10)
# a picture outside of these loses much when it is stretched to a square
ODD_ASPECT = 3.0
SMALL_SIDE = 64


@dataclass(frozen=True)
class PictureReport:
    """The pictures of a split after decoding them all.

    `odd` and `unreadable` hold a line each; `modes` counts Pillow's modes; sizes are (width, height) in
    pixels, by area.
    """

    unreadable: list[str]
    odd: list[str]
    gray: int
    rotated: int
    modes: Counter[str]
    smallest: tuple[int, int] | None
    largest: tuple[int, int] | None


@dataclass(frozen=True)
class SplitReport:
    """One split: how much there is, what was left out, how long captions are, which words they use."""

    name: str
    pictures: int
    captions: int
    skipped: list[str]
    lengths: Counter[int]
    words: Counter[str]
    files: frozenset[Path]
    decoded: PictureReport | None


@dataclass(frozen=True)
class VocabularyRow:
    """At a threshold on the training counts: how many words, and the share of words that become `<unk>`."""

    threshold: int
    words: int
    train_unknown: float
    val_unknown: float


@dataclass(frozen=True)
class Report:
    """What `check` found."""

    config: DataConfig
    train: SplitReport
    val: SplitReport
    vocabulary: list[VocabularyRow]

    @property
    def shared_pictures(self) -> int:
        """Files that both splits use; validation on them means nothing."""
        return len(self.train.files & self.val.files)

    @property
    def is_clean(self) -> bool:
        """Whether everything in the data set can be used."""
        splits = (self.train, self.val)
        return not any(s.skipped or (s.decoded and s.decoded.unreadable) for s in splits) and not self.shared_pictures


def check(config: DataConfig, *, decode: bool = True, console: Console | None = None) -> Report:
    """Reads both splits and, unless told not to, decodes every picture.

    Args:
        config: the data set; what cannot be used is counted, whatever `bad_pictures` says.
        decode: False looks at annotations and at the presence of files only.
        console: where progress is shown; nowhere if None.

    Raises:
        AnnotationError: the data set cannot be read at all.
        ShardError: its shards cannot.
    """
    config = replace(config, bad_pictures="skip")
    train, val = (_check_split(config, name, decode, console) for name in ("train", "val"))
    rows = [_vocabulary_row(threshold, train.words, val.words) for threshold in THRESHOLDS]
    return Report(config, train, val, rows)


def _check_split(config: DataConfig, name: str, decode: bool, console: Console | None) -> SplitReport:
    if config.format == "shards":
        return _check_shards(config, name, decode)
    split = read_split(config, cast(SplitName, name))
    captions = tokenize_all(caption for picture in split.pictures for caption in picture.captions)
    return SplitReport(
        name=name,
        pictures=len(split.pictures),
        captions=len(captions),
        skipped=split.skipped,
        lengths=Counter(map(len, captions)),
        words=Counter(word for caption in captions for word in caption),
        files=frozenset(picture.path for picture in split.pictures),
        decoded=_check_pictures(split.pictures, name, console) if decode else None,
    )


def _check_shards(config: DataConfig, name: str, decode: bool) -> SplitReport:
    """A split in shards, one after the other; pictures are decoded, and only those that cannot be are told of."""
    pattern = config.train_shards if name == "train" else config.val_shards
    paths = find_shards(config.root, pattern, f"data.{name}_shards")
    lengths: Counter[int] = Counter()
    words: Counter[str] = Counter()
    skipped: list[str] = []
    samples = 0
    for path in paths:
        content = read_members(path)
        samples += len(content.samples)
        skipped += content.notes + (list(unreadable(path, content.samples).values()) if decode else [])
        captions = tokenize_all(caption for sample in content.samples for caption in sample.captions)
        lengths.update(map(len, captions))
        words.update(word for caption in captions for word in caption)
    if not samples:
        raise ShardError(f"data={config.name}: no usable sample in the {name} shards; {(skipped or ['all empty'])[0]}")
    return SplitReport(name, samples, lengths.total(), skipped, lengths, words, frozenset(paths), None)


def _check_pictures(pictures: Sequence[Picture], name: str, console: Console | None) -> PictureReport:
    paths = [picture.path for picture in pictures]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        answers: Iterable[PictureFacts | str] = pool.map(_facts_or_reason, paths)
        if console is not None:
            answers = track(answers, f"decoding {name}", total=len(paths), console=console, transient=True)
        found = list(answers)
    facts = [(path, fact) for path, fact in zip(paths, found, strict=True) if isinstance(fact, PictureFacts)]
    sizes = sorted(((f.width, f.height) for _, f in facts), key=lambda size: size[0] * size[1])
    return PictureReport(
        unreadable=[reason for reason in found if isinstance(reason, str)],
        odd=[f"{path}: {oddity}" for path, fact in facts if (oddity := _oddity(fact))],
        gray=sum(fact.gray for _, fact in facts),
        rotated=sum(fact.rotated for _, fact in facts),
        modes=Counter(f"{fact.format} {fact.mode}" for _, fact in facts),
        smallest=sizes[0] if sizes else None,
        largest=sizes[-1] if sizes else None,
    )


def _facts_or_reason(path: Path) -> PictureFacts | str:
    try:
        return inspect_picture(path)
    except PictureError as error:
        return str(error)


def _oddity(fact: PictureFacts) -> str | None:
    """What is unusual about a picture, if anything."""
    short, long = sorted((fact.width, fact.height))
    if long > ODD_ASPECT * short:
        return f"{fact.width} x {fact.height}, very long"
    if short < SMALL_SIDE:
        return f"{fact.width} x {fact.height}, very small"
    return None if fact.mode in ("RGB", "L") else f"mode {fact.mode}"


def _vocabulary_row(threshold: int, train: Counter[str], val: Counter[str]) -> VocabularyRow:
    vocabulary = Vocabulary.from_counts(train, threshold)
    known = set(vocabulary.words)
    shares = [
        sum(n for word, n in counts.items() if word not in known) / (counts.total() or 1) for counts in (train, val)
    ]
    return VocabularyRow(threshold, len(vocabulary), *shares)
