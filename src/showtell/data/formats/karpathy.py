"""Karpathy's `dataset_coco.json` (and those of Flickr8k and Flickr30k): one file, its own splits.

`images[i]` holds `filename`, `filepath` (COCO only: the folder below the root), `split`, an id (`cocoid`, else `imgid`)
and `sentences[j].raw`. Training takes `train` and `restval`, as the papers that use this split do. The raw sentences
are read and not the file's tokens, so that every data set passes through one tokenizer.
"""

from pathlib import Path
from typing import Any

from showtell.config import DataConfig
from showtell.data.annotations import (
    AnnotationFile,
    AnnotationFormat,
    Picture,
    Split,
    SplitName,
    annotation_file,
    picture_folder,
)  # fmt: skip
from showtell.data.paths import shown

_SPLITS = {"train": ("train", "restval"), "val": ("val",), "test": ("test",)}
_KNOWN = frozenset(name for names in _SPLITS.values() for name in names)


class KarpathyFormat(AnnotationFormat):
    """One file for all splits."""

    def read(self, config: DataConfig, split: SplitName) -> Split:
        """Reads the pictures of a split out of the whole file."""
        return read_karpathy(annotation_file(config, split), picture_folder(config, split), split)


def read_karpathy(file: Path, folder: Path, split: str) -> Split:
    """Reads the pictures of `split` (train, val or test); `filepath` is taken relative to `folder`.

    Raises:
        AnnotationError: the file is not what it should be.
    """
    source = AnnotationFile(file)
    return karpathy_split(source, source.json(), folder, split)


def karpathy_split(source: AnnotationFile, content: dict[str, Any], folder: Path, split: str) -> Split:
    """`read_karpathy` of a file whose JSON was read already."""
    wanted = _SPLITS[split]
    unwanted = AnnotationFile(source.path)
    pictures: list[Picture] = []
    seen: set[int] = set()
    for index, image in enumerate(source.list_of(content, "images")):
        where = f"images[{index}]"
        belongs_to = source.member(image, "split", where)
        if not isinstance(belongs_to, str) or belongs_to not in _KNOWN:
            raise source.refused(f"{where}.split is {shown(belongs_to)}, it must be train, restval, val or test")
        picture = _picture(image, source if belongs_to in wanted else unwanted, folder, where)
        if picture.id in seen:
            raise source.refused(f"{where} has the id {picture.id} of an earlier picture; make ids unique")
        seen.add(picture.id)
        if belongs_to in wanted:
            pictures.append(picture)
    return Split(pictures, source.skipped, source.told, "karpathy")


def _picture(image: Any, source: AnnotationFile, folder: Path, where: str) -> Picture:
    name = source.picture_name(source.member(image, "filename", where), f"{where}.filename")
    if image.get("filepath"):
        name = f"{source.picture_name(image['filepath'], f'{where}.filepath')}/{name}"
    key = "cocoid" if "cocoid" in image else "imgid"
    image_id = source.whole_number(source.member(image, key, where), f"{where}.{key}")
    sentences = source.member(image, "sentences", where)
    if not isinstance(sentences, list):
        raise source.refused(f"{where}.sentences is {shown(sentences)}, it must be a list")
    places = [f"{where}.sentences[{number}]" for number in range(len(sentences))]
    raw = [
        (source.member(sentence, "raw", place), f"{place}.raw")
        for sentence, place in zip(sentences, places, strict=True)
    ]
    return Picture(
        image_id, source.picture_path(folder, name), tuple(text for pair in raw if (text := source.caption(*pair)))
    )
