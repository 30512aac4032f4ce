"""`python -m showtell.data show`: look at a data set before training on it, as one page that works offline.

Captions are read by the same readers and cut by the same tokenizer as in training, all of them; of the pictures a
sample is shown, which follows from the seed. Shards are read one after the other, so the whole set is never in memory.
"""

import os
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from showtell.config import DataConfig, VocabConfig
from showtell.config.arguments import Parser
from showtell.config.outputs import check_outputs
from showtell.config.presets import data_and_vocab
from showtell.data.annotations import SplitName, check_split, picture_folder
from showtell.data.formats import read_split
from showtell.data.images import PictureError, decode_picture, picture_pixels
from showtell.data.paths import shown
from showtell.data.settings import ShapesDataConfig, ShardsConfig
from showtell.data.shapes import ensure_shapes
from showtell.data.shards.index import member_name
from showtell.data.shards.members import Extent, find_shards, read_members
from showtell.errors import UserError
from showtell.gallery.data_page import (
    CUT_OFF,
    DataPage,
    ShownCaption,
    ShownPicture,
    SplitFacts,
    write_data_page,
)
from showtell.gallery.drawing import Pixels
from showtell.gallery.page import thumbnail_data
from showtell.text import Tokenizer, tokenizer_of
from showtell.text.vocabulary import vocabulary_fault

PICTURES = 300
MOST_PICTURES = 5_000
_SMALL_SPLIT = 5  # a split has at least this part of the shown pictures


@dataclass(frozen=True)
class Sample:
    """A picture with its captions; `read` gives its pixels, None where only features are there."""

    name: str
    captions: Sequence[str]
    read: Callable[[], Pixels] | None


@dataclass
class Look:
    """A split that is being read: counts of all of it, and a sample of its pictures."""

    name: str
    pictures: int = 0
    lengths: Counter[int] = field(default_factory=Counter)
    words: Counter[str] = field(default_factory=Counter)
    left_out: list[str] = field(default_factory=list)
    kept: list[tuple[int, Sample]] = field(default_factory=list)

    def read(self, samples: Iterator[Sample], tokenizer: Tokenizer, max_words: int, most: int, seed: int) -> None:
        """Counts all samples, and keeps at most `most`, each as likely as any other (Vitter 1985, algorithm R)."""
        draw = random.Random(f"{seed} {self.name}")
        for number, sample in enumerate(samples):
            self.pictures += 1
            for caption in sample.captions:
                words = tokenizer.split(caption)
                self.lengths[len(words)] += 1
                self.words.update(words[:max_words])
            if number < most:
                self.kept.append((number, sample))
            elif (place := draw.randint(0, number)) < most:
                self.kept[place] = number, sample


def look(
    config: DataConfig, vocab: VocabConfig, splits: Sequence[SplitName], most: int, seed: int, console: Console
) -> DataPage:
    """Reads a data set for its page.

    Raises:
        UserError: no split of it can be read.
    """
    config, tokenizer = replace(config, bad_pictures="skip"), tokenizer_of(vocab)
    if isinstance(config, ShapesDataConfig):
        ensure_shapes(Path(config.root), config.shapes)
    found, failed = {}, {}
    for name in dict.fromkeys(["train", *splits]):  # the words of training are always wanted
        found[name] = Look(name)
        try:
            samples = _samples(config, name, found[name], console)
            found[name].read(samples, tokenizer, config.max_caption_words, most, seed)
        except UserError as error:
            del found[name]
            failed[name] = str(error)
    if failed.keys() >= set(splits):
        raise UserError(failed[splits[0]])
    words = next(iter(found.values())).words  # of training where that can be read
    fault = vocabulary_fault(words, vocab.threshold, tokenizer)
    notes = [*(f"{name} left out: {reason}" for name, reason in failed.items()), *([fault] if fault else [])]
    quotas = _quotas({name: one.pictures for name, one in found.items() if name in splits}, most)
    facts, pictures = [], []
    for name, one in found.items():
        chosen = _chosen(one, quotas.get(name, 0), seed)
        thumbnails = _thumbnails(chosen, name, console)
        facts.append(_facts(one, thumbnails))
        for sample, thumbnail in zip(chosen, thumbnails, strict=True):
            captions = [_caption(text, tokenizer, words, config.max_caption_words) for text in sample.captions]
            picture = None if isinstance(thumbnail, str) else thumbnail
            pictures.append(ShownPicture(sample.name, name, captions, picture))
    title = f"{config.name} in {shown(config.root)}"
    return DataPage(title, facts, pictures, vocab.threshold, tokenizer.name, config.max_caption_words, notes)


def _facts(one: Look, thumbnails: Sequence[dict[str, Any] | str | None]) -> SplitFacts:
    unreadable = [said for said in thumbnails if isinstance(said, str)]
    return SplitFacts(one.name, one.pictures, len(thumbnails), one.lengths, one.words, one.left_out, unreadable)


def _samples(config: DataConfig, name: SplitName, told: Look, console: Console) -> Iterator[Sample]:
    if isinstance(config, ShardsConfig):
        yield from _shard_samples(config, name, told, console)
        return
    split = read_split(config, name)
    told.left_out = split.skipped
    folder = picture_folder(config, name)
    for picture in split.pictures:
        name_below = os.path.relpath(picture.path, folder)
        yield Sample(name_below, picture.captions, partial(picture_pixels, picture.path))


def _shard_samples(config: ShardsConfig, name: SplitName, told: Look, console: Console) -> Iterator[Sample]:
    check_split(config, name)
    pattern = getattr(config, f"{name}_shards")
    paths = find_shards(config.root, pattern, f"data.{name}_shards")
    for path in track(paths, f"reading {name}", console=console, transient=True, disable=len(paths) < 2):
        content = read_members(path)
        told.left_out += content.notes
        for sample in content.samples:
            called, extent = member_name(path, sample.key), sample.picture
            read = None if extent is None else partial(_shard_pixels, path, extent, called)
            yield Sample(f"{path.name}: {sample.key}", sample.captions, read)


def _shard_pixels(path: Path, extent: Extent, name: str) -> Pixels:
    with path.open("rb") as file:
        data = os.pread(file.fileno(), extent.size, extent.offset)
    return decode_picture(data, name).permute(1, 2, 0).numpy()


def _quotas(sizes: dict[str, int], most: int) -> dict[str, int]:
    """How many pictures of each split are shown: as many as there are of it, but not too few of a small one."""
    total = sum(sizes.values()) or 1
    if total <= most:
        return sizes
    least = {name: min(size, -(-most // _SMALL_SPLIT)) for name, size in sizes.items()}
    quotas = {name: max(least[name], most * size // total) for name, size in sizes.items()}
    largest = max(quotas, key=lambda name: quotas[name])
    quotas[largest] += most - sum(quotas.values())
    return quotas


def _chosen(one: Look, count: int, seed: int) -> list[Sample]:
    kept = one.kept if count >= len(one.kept) else random.Random(f"{seed} {one.name}").sample(one.kept, count)
    return [sample for _, sample in sorted(kept, key=lambda pair: pair[0])]


def _thumbnails(samples: Sequence[Sample], name: str, console: Console) -> list[dict[str, Any] | str | None]:
    """Of each sample: its small picture, the reason why there is none, or None where there is no picture."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        made = pool.map(_thumbnail, samples)
        return list(track(made, f"reading pictures of {name}", len(samples), console=console, transient=True))


def _thumbnail(sample: Sample) -> dict[str, Any] | str | None:
    if sample.read is None:
        return None
    try:
        return thumbnail_data(sample.read())
    except (PictureError, OSError) as error:
        return str(error)


def _caption(text: str, tokenizer: Tokenizer, counts: Counter[str], max_words: int) -> ShownCaption:
    words = tokenizer.split(text)
    lowered, places, position = text.lower(), [], 0
    if len(lowered) != len(text):  # a few letters become two
        text = lowered
    for number, word in enumerate(words):
        start = lowered.find(word, position)
        if start >= 0:  # nltk writes quotes another way
            position = start + len(word)
            places.append((start, position, counts[word] if number < max_words else CUT_OFF))
    return ShownCaption(text, places, len(words))


def main(arguments: list[str]) -> int:
    """Writes the page of the data set that the arguments name.

    Raises:
        UserError: it cannot be read, or the page cannot be written.
    """
    parser = Parser(
        prog="python -m showtell.data show",
        description="Write one page with a data set's pictures, captions and words, to look at before training.",
        epilog="example: python -m showtell.data show data=coco2017 data.root=/data/coco vocab.threshold=8",
    )
    parser.add_argument("settings", nargs="*", help="a folder, or data=NAME, data.key=value, vocab.key=value")
    parser.add_argument("--output", type=Path, metavar="FILE", help="the page (NAME.html)")
    parser.add_argument(
        "--pictures", type=int, default=PICTURES, metavar="N", help=f"show at most so many pictures ({PICTURES})"
    )
    parser.add_argument("--split", choices=("train", "val", "test"), help="show one split (train and val)")
    parser.add_argument("--seed", type=int, default=0, help="chooses the pictures where there are more (0)")
    options = parser.parse_intermixed_args(arguments)
    if not 1 <= options.pictures <= MOST_PICTURES:
        raise UserError(f"--pictures {options.pictures} is out of range; it must be from 1 to {MOST_PICTURES:,}")
    config, vocab = data_and_vocab(options.settings)
    output = options.output or Path(f"{config.name}.html")
    splits: list[SplitName] = [options.split] if options.split else ["train", "val"]
    if output.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--output {output}: name a file that ends in .html")
    names = [str(getattr(config, f"{split}_annotations") or "") for split in ("train", "val", "test")]
    root = Path(config.root).expanduser()
    check_outputs([("--output", output)], [("the captions file", root / name) for name in names if name])
    page = look(config, vocab, splits, options.pictures, options.seed, Console(stderr=True))
    write_data_page(page, output)
    for note in page.notes:
        print(f"note: {note}", file=sys.stderr)
    print(_summary(page, output))
    return 0


def _summary(page: DataPage, output: Path) -> str:
    lines = []
    for split in page.splits:
        lines.append(
            f"{split.name}: {split.shown:,} of {split.pictures:,} pictures shown, {split.lengths.total():,} captions, "
            f"{len(split.left_out):,} left out, {len(split.unreadable):,} unreadable"
        )
    size = output.stat().st_size / 1e6
    return "\n".join([*lines, f"{output} ({size:.1f} MB): open it in a browser"])
