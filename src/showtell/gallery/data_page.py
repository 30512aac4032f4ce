"""What the page of a data set shows, as plain data, and the page: pictures with all their captions, plots, words.

The page's script counts nothing: which words become `<unk>` at a threshold follows from the counts that it is given.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from showtell.files import atomic_write
from showtell.gallery.frame import frame, safe_json

MOST_WORDS = 20_000
MOST_LINES = 200
MOST_CAPTIONS = 50
MOST_CHARACTERS = 1_000
CUT_OFF = -1


@dataclass(frozen=True)
class ShownCaption:
    """A caption as it was written, and where its words stand in it.

    Attributes:
        text: at most `MOST_CHARACTERS` of it are shown.
        words: start, end, and how often the training captions hold the word; `CUT_OFF` where training does not see it.
        length: how many words it has.
    """

    text: str
    words: Sequence[tuple[int, int, int]]
    length: int


@dataclass(frozen=True)
class ShownPicture:
    """A picture with all its captions; `thumbnail` as `gallery.page.thumbnail_data` makes it, None: nothing to show."""

    name: str
    split: str
    captions: Sequence[ShownCaption]
    thumbnail: Mapping[str, Any] | None


@dataclass(frozen=True)
class SplitFacts:
    """One split as a whole.

    Attributes:
        name: of the split.
        pictures: how many there are.
        shown: how many of them the page shows.
        lengths: how many captions have how many words.
        words: how often each word occurs.
        left_out: a line for each thing that cannot be used, or is not used whole.
        unreadable: a line for each picture that could not be read, of those that were to be shown.
    """

    name: str
    pictures: int
    shown: int
    lengths: Counter[int]
    words: Counter[str]
    left_out: Sequence[str]
    unreadable: Sequence[str]


@dataclass(frozen=True)
class DataPage:
    """The whole page.

    Attributes:
        title: of the page.
        splits: first the one whose words make the vocabulary, which is the training split.
        pictures: those that are shown.
        threshold: `vocab.threshold`.
        tokenizer: its name.
        max_words: longer captions are cut in training.
        notes: what the reader must know.
    """

    title: str
    splits: Sequence[SplitFacts]
    pictures: Sequence[ShownPicture]
    threshold: int
    tokenizer: str
    max_words: int
    notes: Sequence[str] = ()


def write_data_page(page: DataPage, path: Path) -> None:
    """Writes the page; errors as `write_gallery`."""
    before, after = frame("data", page.title)
    with atomic_write(path, "w") as file:
        file.write(before)
        file.write(f'{safe_json(_head(page))[:-1]},"pictures":[')
        for place, picture in enumerate(page.pictures):
            file.write("," * bool(place) + "\n" + safe_json(_picture(picture)))
        file.write("\n]}" + after)


def _head(page: DataPage) -> dict[str, Any]:
    train, *others = page.splits
    elsewhere: Counter[str] = Counter()
    for split in others:
        elsewhere.update(split.words)
    ranked = sorted(train.words.items(), key=lambda item: (-item[1], item[0]))
    return {
        "threshold": page.threshold,
        "tokenizer": page.tokenizer,
        "maxWords": page.max_words,
        "splits": [_split(split) for split in page.splits],
        "words": [[word, count, elsewhere[word]] for word, count in ranked[:MOST_WORDS]],
        "counts": list(_counts(train.words, elsewhere)),
        "notes": list(page.notes),
    }


def _counts(train: Counter[str], elsewhere: Counter[str]) -> Iterator[tuple[int, int, int]]:
    """For each number of occurrences in training: how many words have it, and how often these occur elsewhere."""
    words = Counter(train.values())
    seen: Counter[int] = Counter()
    for word, count in elsewhere.items():
        seen[train[word]] += count
    return ((count, words[count], seen[count]) for count in sorted({*words, *seen}))


def _split(split: SplitFacts) -> dict[str, Any]:
    return {
        "name": split.name,
        "pictures": split.pictures,
        "shown": split.shown,
        "lengths": sorted(split.lengths.items()),
        "leftOut": len(split.left_out),
        "unreadable": len(split.unreadable),
        "lines": [*split.unreadable, *split.left_out][:MOST_LINES],
    }


def _picture(picture: ShownPicture) -> dict[str, Any]:
    captions = [[one.text[:MOST_CHARACTERS], one.length, _flat(one)] for one in picture.captions[:MOST_CAPTIONS]]
    more = {"more": len(picture.captions) - MOST_CAPTIONS} if len(picture.captions) > MOST_CAPTIONS else {}
    return {"name": picture.name, "split": picture.split, **(picture.thumbnail or {}), "captions": captions, **more}


def _flat(caption: ShownCaption) -> list[int]:
    return [number for word in caption.words if word[1] <= MOST_CHARACTERS for number in word]
