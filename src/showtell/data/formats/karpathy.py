"""Karpathy's `dataset_coco.json` (and those of Flickr8k and Flickr30k): one file, its own splits.

`images[i]` holds `filename`, `filepath` (COCO only: the folder below the root), `split`, an id (`cocoid`,
else `imgid`) and `sentences[j].raw`. Training takes `train` and `restval`, as the papers that use this
split do. The raw sentences are read and not the file's tokens, so that every data set passes through one
tokenizer.
"""

from pathlib import Path
from typing import Any

from showtell.config import DataConfig
from showtell.data.annotations import (
    AnnotationError,
    AnnotationFormat,
    Picture,
    Split,
    SplitName,
    annotation_file,
    caption_text,
    load_json,
    member,
    member_list,
    picture_folder,
    picture_name,
    whole_number,
)
from showtell.data.files import shown

_SPLITS = {"train": ("train", "restval"), "val": ("val",), "test": ("test",)}
_KNOWN = frozenset(name for names in _SPLITS.values() for name in names)


class KarpathyFormat(AnnotationFormat):
    """One file for all splits."""

    splits = ("train", "val", "test")

    def read(self, config: DataConfig, split: SplitName) -> Split:
        """Reads the pictures of a split out of the whole file."""
        return read_karpathy(annotation_file(config, split), picture_folder(config, split), split)


def read_karpathy(file: Path, folder: Path, split: str) -> Split:
    """Reads the pictures of `split` (train, val or test); `filepath` is taken relative to `folder`.

    Raises:
        AnnotationError: the file is not what it should be.
    """
    wanted = _SPLITS[split]
    result = Split([], [])
    seen: set[int] = set()
    for index, image in enumerate(member_list(load_json(file), "images", file)):
        where = f"images[{index}]"
        belongs_to = member(image, "split", file, where)
        if not isinstance(belongs_to, str) or belongs_to not in _KNOWN:
            raise AnnotationError(
                f"{shown(file)}: {where}.split is {shown(belongs_to)}, it must be train, restval, val or test"
            )
        picture = _picture(image, file, folder, where, result.skipped if belongs_to in wanted else [])
        if picture.id in seen:
            raise AnnotationError(
                f"{shown(file)}: {where} has the id {picture.id} of an earlier picture; make ids unique"
            )
        seen.add(picture.id)
        if belongs_to not in wanted:
            continue
        if picture.captions:
            result.pictures.append(picture)
        else:
            result.skipped.append(f"{shown(file)}: {where} ({shown(picture.path.name)}) has no captions; left out")
    return result


def _picture(image: Any, file: Path, folder: Path, where: str, skipped: list[str]) -> Picture:
    name = picture_name(member(image, "filename", file, where), file, f"{where}.filename")
    if image.get("filepath"):
        name = f"{picture_name(image['filepath'], file, f'{where}.filepath')}/{name}"
    key = "cocoid" if "cocoid" in image else "imgid"
    image_id = whole_number(member(image, key, file, where), file, where, key)
    sentences = member(image, "sentences", file, where)
    if not isinstance(sentences, list):
        raise AnnotationError(f"{shown(file)}: {where}.sentences is {shown(sentences)}, it must be a list")
    captions = []
    for number, sentence in enumerate(sentences):
        here = f"{where}.sentences[{number}]"
        caption = caption_text(member(sentence, "raw", file, here), file, f"{here}.raw", skipped)
        if caption:
            captions.append(caption)
    return Picture(image_id, folder / name, tuple(captions))
