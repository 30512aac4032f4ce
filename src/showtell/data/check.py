"""`python -m showtell.data check`: what is in a data set, and what of it cannot be used.

Everything is looked at the way training looks at it, through the same readers, the same decoder and the same tokenizer,
so what is reported is what would happen. Decoding runs in threads: the decoders release the interpreter's lock.
"""

import os
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from math import ceil
from pathlib import Path
from typing import cast

from rich.console import Console
from rich.progress import track

from showtell.config import DataConfig, DecodingConfig, VocabConfig
from showtell.config.arguments import Parser
from showtell.config.presets import data_and_vocab
from showtell.config.setting import spelled, walk
from showtell.data.annotations import Picture, SplitName
from showtell.data.formats import read_split, resolved
from showtell.data.images import PictureError, PictureFacts, inspect_picture
from showtell.data.paths import counted, shown
from showtell.data.settings import FolderConfig, ShardsConfig
from showtell.data.shards.index import unreadable
from showtell.data.shards.members import ShardError, find_shards, read_members
from showtell.text import Tokenizer, Vocabulary, tokenizer_of
from showtell.text.vocabulary import vocabulary_fault

THRESHOLDS = (1, 2, 3, 4, 5, 6, 8, 10)
# a picture outside of these loses much when it is stretched to a square
ODD_ASPECT = 3.0
SMALL_SIDE = 64
_LISTED = 10
_BAR = 40
_BINS = 15
_PLACES = (
    "data.root", "data.train_annotations", "data.val_annotations", "data.train_images", "data.val_images",
    "data.image_column", "data.caption_column", "data.val_share", "data.split_seed", "data.max_caption_words",
)  # fmt: skip


@dataclass(frozen=True)
class PictureReport:
    """The pictures of a split after decoding them all; `unreadable` has a line for each that cannot be."""

    facts: dict[Path, PictureFacts]
    unreadable: list[str]


@dataclass(frozen=True)
class SplitReport:
    """One split: how much there is, what was left out, how long captions are, which words they use."""

    name: str
    pictures: int
    skipped: list[str]
    lengths: Counter[int]
    words: Counter[str]
    files: frozenset[Path]
    decoded: PictureReport | None
    told: list[str] = field(default_factory=list)

    @property
    def captions(self) -> int:
        """How many there are."""
        return self.lengths.total()

    def longer_than(self, words: int) -> int:
        """How many captions have more words."""
        return sum(count for length, count in self.lengths.items() if length > words)


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
    vocabulary_fault: str | None = None

    @property
    def shared_pictures(self) -> int:
        """Files that both splits use; validation on them means nothing."""
        return len(self.train.files & self.val.files)

    @property
    def is_clean(self) -> bool:
        """Whether everything in the data set can be used."""
        splits, words = (self.train, self.val), self.config.max_caption_words
        lost = (s.skipped or s.longer_than(words) or (s.decoded and s.decoded.unreadable) for s in splits)
        return not (any(lost) or self.shared_pictures or self.vocabulary_fault)


def check(
    config: DataConfig, vocab: VocabConfig | None = None, *, decode: bool = True, console: Console | None = None
) -> Report:
    """Reads both splits and, unless told not to, decodes every picture.

    What cannot be used is counted, whatever `bad_pictures` says. Progress is shown on the console, if there is one.

    Raises:
        AnnotationError: the data set cannot be read at all.
        ShardError: its shards cannot.
    """
    config, vocab = replace(config, bad_pictures="skip"), vocab or VocabConfig()
    config = config if config.format == "shards" else resolved(config)
    tokenizer = tokenizer_of(vocab)
    train, val = (_check_split(config, name, tokenizer, decode, console) for name in ("train", "val"))
    rows = [_vocabulary_row(one, train.words, val.words) for one in sorted({*THRESHOLDS, vocab.threshold})]
    return Report(config, train, val, rows, vocabulary_fault(train.words, vocab.threshold, tokenizer))


def _check_split(
    config: DataConfig, name: str, tokenizer: Tokenizer, decode: bool, console: Console | None
) -> SplitReport:
    if config.format == "shards":
        return _check_shards(config, name, tokenizer, decode)
    split = read_split(config, cast(SplitName, name))
    captions = [tokenizer.split(caption) for picture in split.pictures for caption in picture.captions]
    lengths, words = Counter(map(len, captions)), Counter(word for caption in captions for word in caption)
    files = frozenset(picture.path for picture in split.pictures)
    decoded = _check_pictures(split.pictures, name, console) if decode else None
    return SplitReport(name, len(split.pictures), split.skipped, lengths, words, files, decoded, split.told)


def _check_shards(config: DataConfig, name: str, tokenizer: Tokenizer, decode: bool) -> SplitReport:
    """A split in shards, one after the other; pictures are decoded, and only those that cannot be are told of."""
    assert isinstance(config, ShardsConfig)
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
        captions = [tokenizer.split(caption) for sample in content.samples for caption in sample.captions]
        lengths.update(map(len, captions))
        words.update(word for caption in captions for word in caption)
    if not samples:
        raise ShardError(f"data={config.name}: no usable sample in the {name} shards; {(skipped or ['all empty'])[0]}")
    return SplitReport(name, samples, skipped, lengths, words, frozenset(paths), None)


def _check_pictures(pictures: Sequence[Picture], name: str, console: Console | None) -> PictureReport:
    paths = [picture.path for picture in pictures]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        answers: Iterable[PictureFacts | str] = pool.map(_facts_or_reason, paths)
        if console is not None:
            answers = track(answers, f"decoding {name}", total=len(paths), console=console, transient=True)
        found = list(answers)
    facts = {path: fact for path, fact in zip(paths, found, strict=True) if isinstance(fact, PictureFacts)}
    return PictureReport(facts, [reason for reason in found if isinstance(reason, str)])


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
    known = Vocabulary.from_counts(train, threshold)
    return VocabularyRow(threshold, len(known), known.unknown_share(train), known.unknown_share(val))


def main(arguments: list[str]) -> int:
    """Checks the data set that the arguments name and prints the report; 1 if something was left out.

    Raises:
        UserError: nothing could be checked.
    """
    parser = Parser(
        prog="python -m showtell.data check",
        description="Report pictures, captions and vocabulary of a data set, and what of it cannot be used.",
        epilog="examples: python -m showtell.data check MY_PHOTOS; ... check data=coco2017 data.root=/data/coco",
    )
    parser.add_argument(
        "settings", nargs="*", help="a folder, or data=NAME, data.key=value, vocab.key=value as for train.py"
    )
    parser.add_argument("--fast", action="store_true", help="do not decode the pictures")
    options = parser.parse_intermixed_args(arguments)
    report = check(*data_and_vocab(options.settings), decode=not options.fast, console=Console(stderr=True))
    print(render(report))
    return 0 if report.is_clean else 1


def render(report: Report) -> str:
    """The whole report, a paragraph per topic."""
    config = report.config
    lines = [f"{config.name} ({config.format}) in {shown(config.root)}"]
    if isinstance(config, FolderConfig):
        lines.append(f"in full: {in_full(config)}")
        root = shlex.quote(f"data.root={config.root}")
        words = [root, *re.findall(r"use (vocab\.\w+=\w+)", report.vocabulary_fault or "")]
        lines.append(f"to train: python train.py experiment=photos data=custom {' '.join(words)}")
    lines += dict.fromkeys([*report.train.told, *report.val.told])
    for split in (report.train, report.val):
        lines += ["", *_split_lines(split, config.max_caption_words)]
    if report.shared_pictures:
        lines += ["", f"warning: both splits use {counted(report.shared_pictures, 'picture')}"]
    lines += ["", "vocabulary (3 special tokens included)", "threshold     size   <unk> train   <unk> val"]
    for row in report.vocabulary:
        lines.append(f"{row.threshold:9} {row.words:8,} {row.train_unknown:12.2%} {row.val_unknown:11.2%}")
    if report.vocabulary_fault:
        lines += ["", f"warning: {report.vocabulary_fault}"]
    lines += ["", "Everything can be used." if report.is_clean else "Not all of it can be used as it is, see above."]
    return "\n".join(lines)


def in_full(config: DataConfig) -> str:
    """The settings of a data set that differ from what they are by themselves, as words of a command line."""
    told = [one for one in walk(config, "data") if one.key in _PLACES]
    words = [f"{one.key}={spelled(value)}" for one in told if (value := getattr(config, one.field.name)) != one.default]
    return " ".join(["data=custom", *map(shlex.quote, words)])


def _split_lines(split: SplitReport, max_words: int) -> list[str]:
    per_picture = split.captions / max(1, split.pictures)
    counts = f"{split.pictures:,} pictures, {split.captions:,} captions"
    lines = [f"{split.name}: {counts} ({per_picture:.2f} per picture)"]
    lines += _listed("left out or shortened", split.skipped)
    if longer := split.longer_than(max_words):
        lines.append(f"  cut: {longer:,} captions have more words than data.max_caption_words={max_words}")
    if split.decoded:
        lines += _picture_lines(split.decoded)
    return lines + _histogram(split.lengths)


def _picture_lines(found: PictureReport) -> list[str]:
    facts = found.facts.values()
    modes = Counter(f"{fact.format} {fact.mode}" for fact in facts).most_common()
    counted = ", ".join(f"{count:,} {mode}" for mode, count in modes) or "none"
    gray, rotated = sum(fact.gray for fact in facts), sum(fact.rotated for fact in facts)
    lines = [f"  decoded: {counted}; {gray:,} gray, {rotated:,} rotated by EXIF"]
    if sizes := sorted((fact.width * fact.height, f"{fact.width} x {fact.height}") for fact in facts):
        lines.append(f"  sizes: {sizes[0][1]} to {sizes[-1][1]} pixels")
    odd = [f"{path}: {oddity}" for path, fact in found.facts.items() if (oddity := _oddity(fact))]
    return lines + _listed("unreadable", found.unreadable) + _listed("odd", odd)


def _listed(title: str, entries: list[str]) -> list[str]:
    lines = [f"  {title}: {len(entries):,}", *(f"    {entry}" for entry in entries[:_LISTED])]
    return [*lines, f"    ... and {len(entries) - _LISTED:,} more"] if len(entries) > _LISTED else lines


def _histogram(lengths: Counter[int]) -> list[str]:
    """Captions by number of words: at most `_BINS` bins up to the 99th percentile, one beyond it."""
    total = lengths.total()
    ordered = sorted(lengths.elements())
    high = ordered[int(0.99 * (total - 1))]
    width = max(1, ceil(high / _BINS))
    bins = Counter(min((length - 1) // width, (high - 1) // width + 1) for length in ordered)
    median, most = ordered[total // 2], ordered[-1]
    lines = [f"  tokens per caption: median {median}, most {most}"]
    if median > (longest := DecodingConfig().max_length):
        lines.append(f"  half of them are longer than decoding.max_length={longest}; set it to {most} or so")
    for place in range(min(bins), max(bins) + 1):
        first, last = place * width + 1, (place + 1) * width
        label = f"{first}-{last}" if width > 1 else f"{first}"
        if place > (high - 1) // width:
            label = f"{first}+"
        bar = "#" * round(_BAR * bins[place] / max(bins.values()))
        lines.append(f"    {label:>7} {bins[place]:9,} {bar}".rstrip())
    return lines
