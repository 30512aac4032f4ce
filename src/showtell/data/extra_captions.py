"""Further captions of training pictures that nobody wrote, such as an ensemble's, from which a single model learns.

They come behind the captions that people wrote, as rows like any others: each is seen once per epoch. Everything that
measures keeps to people's: the vocabulary, the rewards of self-critical training, and every score.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from showtell.config import DataConfig
from showtell.data.annotations import AnnotationError, AnnotationFile
from showtell.data.caption_set import CACHE_VERSION, CaptionSet, CaptionTable, caption_arrays, caption_columns
from showtell.data.derived import derived, sealed_write, unsealed
from showtell.data.formats.results import NamedPictures, picture_named, result_rows
from showtell.data.paths import counted, shown
from showtell.files import content_key, file_sha256, short_hash
from showtell.terminal import tell
from showtell.text import Tokenizer, Vocabulary

_REMEDY = "give a list of image_id and caption, as predict.py RUN --split train --output FILE writes it"


@dataclass(frozen=True)
class ExtraCaptions(CaptionTable):
    """The captions of a file that are of training pictures.

    Attributes:
        file: where they stand.
        sha256: of the file.
        cut: how many were longer than `data.max_caption_words`.
        left_out: how many were not taken, by reason.
    """

    file: Path
    sha256: str
    cut: int
    left_out: dict[str, int]

    def notes(self, vocabulary: Vocabulary) -> list[str]:
        """What a person should know of them."""
        name, pictures = shown(self.file.name), len(np.unique(self.picture_of))
        lines = [f"{name}: {counted(len(self.lengths), 'further caption')} of {counted(pictures, 'picture')}"]
        lines += [f"{name}: {counted(count, 'caption')} left out: {reason}" for reason, count in self.left_out.items()]
        if self.cut:
            lines.append(f"{name}: {counted(self.cut, 'caption')} longer than data.max_caption_words, cut")
        known, total = set(vocabulary.words), self.counts.total()
        if unknown := sum(count for word, count in self.counts.items() if word not in known):
            lines.append(f"{name}: {unknown:,} of {total:,} words are not in the vocabulary and become <unk>")
        return lines

    def behind(self, captions: CaptionSet) -> CaptionSet:
        """The captions of the training split, and then these."""
        number = {word: place for place, word in enumerate(captions.words)}
        numbers = np.array([number.setdefault(word, len(number)) for word in self.words], dtype=np.int32)
        own = numbers[self.word_numbers] if len(numbers) else self.word_numbers
        return replace(
            captions,
            words=list(number),
            word_numbers=np.concatenate([captions.word_numbers, own]),
            starts=np.concatenate([captions.starts, captions.starts[-1] + self.starts[1:]]),
            picture_of=np.concatenate([captions.picture_of, self.picture_of]),
            source=short_hash([captions.source, self.sha256]),
            extra=len(self.lengths),
        )


def read_extra_captions(
    file: Path, captions: CaptionSet, config: DataConfig, cache: Path, tokenizer: Tokenizer
) -> ExtraCaptions:
    """Reads and tokenizes a file of captions, or finds that done.

    Args:
        file: of results: COCO's, JSON Lines, CSV, names with one caption or several.
        captions: of the training split.
        config: of the data set.
        cache: where tokenized captions are kept.
        tokenizer: cuts captions into words.

    Raises:
        AnnotationError: it cannot be read, or no caption in it is of a training picture.
    """
    source = AnnotationFile(file.expanduser())
    with _setting():
        source.text()
        sha256, split = file_sha256(source.path), captions.texts_file.parent
        key = content_key(CACHE_VERSION, sha256, split.name)
        arrays = cache / "captions" / f"{config.name}-extra-{key}" / "arrays.npz"
        content = derived(arrays, lambda: _write(source, captions, config, tokenizer, arrays), lambda: unsealed(arrays))
    with np.load(BytesIO(content), allow_pickle=False) as found:
        left_out = json.loads(str(found["left_out"]))
        columns = caption_columns(found) | {"cut": int(found["cut"]), "left_out": left_out}
        return ExtraCaptions(**columns, file=source.path, sha256=sha256)


def _write(
    source: AnnotationFile, captions: CaptionSet, config: DataConfig, tokenizer: Tokenizer, arrays: Path
) -> None:
    tell("captions", f"reading and tokenizing those of {shown(source.path)}")
    texts, left_out = _matched(source, captions)
    columns: dict[str, Any] = caption_arrays(texts, config.max_caption_words, tokenizer)
    with sealed_write(arrays) as stream:
        np.savez(stream, **columns, left_out=np.array(json.dumps(left_out)))


def _matched(source: AnnotationFile, captions: CaptionSet) -> tuple[list[list[str]], Counter[str]]:
    """The captions of each training picture, and how many captions were left out, by reason."""
    ids, paths = captions.picture_ids.tolist(), captions.path_names
    folder = os.path.commonpath([os.path.dirname(path) for path in paths])
    names = (os.path.relpath(path, folder) for path in paths)
    pictures = NamedPictures(dict(zip(ids, names, strict=True)))
    place = {picture: row for row, picture in enumerate(ids)}
    texts: list[list[str]] = [[] for _ in ids]
    left_out: Counter[str] = Counter()
    strangers: list[int | str] = []
    fits: dict[int | str, bool] = {}  # of pictures that are told by number
    for row in result_rows(source, _REMEDY, n_best=True):
        name = picture_named(source, row)
        picture = pictures.find(name)
        if isinstance(name, int) or name.isdecimal():
            fits[name] = picture is not None
        for value in row.texts:
            text = source.caption(value, row.where)
            if picture is None:
                strangers.append(name)
            elif not text:
                left_out["empty"] += 1
            else:
                texts[place[picture]].append(text)
    if not any(texts):
        example = f", such as {shown(strangers[0])}," if strangers else ""
        raise source.refused(f"none of its pictures{example} is in the training split; {_REMEDY}")
    if (few := sum(fits.values())) < len(fits) / 2:  # ids of different data sets are partly the same numbers
        raise source.refused(
            f"{few:,} of its {counted(len(fits), 'picture')} {'is' if few == 1 else 'are'} in the training split, so "
            "their numbers may be another data set's; leave out what is not in the split, or give file names"
        )
    if strangers:
        left_out[f"their pictures, such as {shown(strangers[0])}, are not in the training split"] = len(strangers)
    return texts, left_out


@contextmanager
def _setting() -> Iterator[None]:
    """A block whose errors name the setting."""
    try:
        yield
    except AnnotationError as error:
        raise AnnotationError(f"data.extra_captions: {error}") from None
