"""Your own pictures, in any of the layouts in which people keep them: what lies in the folder is found and told.

`finding` answers each `auto` of the settings; here the files are read, by their content: a table (`table`), records
(`records`), COCO's or Karpathy's JSON, or texts beside pictures. Where one file holds all captions, a column of it says
which split a row belongs to, else a share of its pictures is set aside for validation: those whose name and the seed
have the lowest SHA-256, so the draw depends on neither the order nor the machine, and no picture is in both.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from showtell.config import DataConfig
from showtell.data.annotations import (
    AnnotationError,
    AnnotationFile,
    AnnotationFormat,
    Split,
    SplitName,
    annotation_file,
    picture_folder,
)  # fmt: skip
from showtell.data.formats.captions_file import is_karpathys, layout_of, read_rows
from showtell.data.formats.coco import coco_split
from showtell.data.formats.finding import FOLDER_NAMES, SIDECARS, find_annotations, find_images, pictures_in
from showtell.data.formats.karpathy import karpathy_split
from showtell.data.formats.rows import LOOKS_LIKE_PICTURE, Gathered, Row, Wanted, gather
from showtell.data.paths import counted, files_below, natural, shown
from showtell.data.settings import FolderConfig

AUTO = "auto"


class FolderFormat(AnnotationFormat):
    """Whatever lies in the folder."""

    absent = "set it to the folder of your pictures and captions"

    def resolved(self, config: DataConfig) -> DataConfig:
        """The settings with what was found in place of each `auto`."""
        assert isinstance(config, FolderConfig)
        root = Path(config.root).expanduser()
        train, val = config.train_annotations, config.val_annotations
        if train == val == AUTO:
            train, val = find_annotations(root)
        elif val == AUTO:
            val = train
        elif train == AUTO:
            raise AnnotationError(
                f"data.val_annotations={val} without data.train_annotations; set both, or only data.train_annotations "
                "and a share of its pictures is for validation"
            )
        config = replace(config, train_annotations=train, val_annotations=val)
        config = replace(config, train_images=_images(config, root, "train"))
        config = replace(config, val_images=_images(config, root, "val"))
        return replace(config, test_images=_images(config, root, "test") if config.test_annotations else None)

    def read(self, config: DataConfig, split: SplitName) -> Split:
        """Reads what was found and takes the split out of it; the first line that is told says what that was."""
        assert isinstance(config, FolderConfig)
        found = self._read(config, split)
        name, folder = _named(config, split), picture_folder(config, split)
        layout = found.layout or layout_of(Path(name))
        return replace(
            found, layout=layout, told=[f"captions from {shown(name)}, pictures in {shown(folder)}", *found.told]
        )

    def _read(self, config: FolderConfig, split: SplitName) -> Split:
        folder = picture_folder(config, split)
        name = _named(config, split)
        if name in SIDECARS:
            return _divided(config, split, *_gathered(AnnotationFile(folder / name), folder, name))
        if name == FOLDER_NAMES:
            source = AnnotationFile(folder)
            return _divided(config, split, source, gather(source, _named_by_folder(folder), folder))
        source = AnnotationFile(annotation_file(config, split))
        content = read_rows(source, _wanted(config))
        if isinstance(content, dict):
            return _of_images(config, split, source, content, folder)
        return _divided(config, split, source, gather(source, content, folder))

    def files(self, config: DataConfig, split: SplitName) -> list[Path]:
        """The file with the captions, or the texts beside the pictures."""
        assert isinstance(config, FolderConfig)
        name = _named(config, split)
        if name in SIDECARS:
            texts = (_text_of(picture, name[1:]) for picture in _pictures_below(picture_folder(config, split)))
            return [text for text in texts if text is not None]
        return [] if name == FOLDER_NAMES else super().files(config, split)

    def key(self, config: DataConfig, split: SplitName) -> list[str]:
        """What chooses columns and draws a split; nothing where two files in COCO's format are read, as ever.

        Records lie in `.json` too, and of them the columns count.
        """
        assert isinstance(config, FolderConfig)
        own, folder = _named(config, split), picture_folder(config, split)
        if own.endswith(".json") and not _shares(config, split) and _wanted(config) == Wanted():
            return ["coco"]
        names = [_named(config, other) for other in ("train", "val", split)]
        listed = own in (*SIDECARS, FOLDER_NAMES)
        below = [os.path.relpath(picture, folder) for picture in _pictures_below(folder)] if listed else []
        columns = [str(config.image_column), str(config.caption_column)]
        return [config.format, *names, *columns, str(config.val_share), str(config.split_seed), *below]

    def listing(self, config: DataConfig, split: SplitName) -> list[str]:
        """The pictures at most three folders deep: a name may lack its suffix or folder (`PictureNames`)."""
        assert isinstance(config, FolderConfig)
        if _named(config, split) in (*SIDECARS, FOLDER_NAMES):
            return []  # `key` has them
        below = pictures_in(picture_folder(config, split))
        return [os.path.join(folder, name) for folder, names in below.items() for name in names]


def _images(config: FolderConfig, root: Path, split: SplitName) -> str:
    """The folder of a split's pictures: the given one, that of the training split if they share a file, or found."""
    given = {"train": config.train_images, "val": config.val_images, "test": config.test_images or AUTO}[split]
    file = _named(config, split)
    if given != AUTO:
        return given
    if split != "train" and file == config.train_annotations and file not in (*SIDECARS, FOLDER_NAMES):
        return config.train_images
    if file not in (*SIDECARS, FOLDER_NAMES):
        annotation_file(config, split)
    return find_images(root, file, split, _wanted(config))


def _named(config: FolderConfig, split: SplitName) -> str:
    names = {"train": config.train_annotations, "val": config.val_annotations}
    return names.get(split) or config.test_annotations or config.val_annotations


def _wanted(config: FolderConfig) -> Wanted:
    return Wanted(config.image_column, config.caption_column)


def _of_images(
    config: FolderConfig, split: SplitName, source: AnnotationFile, content: dict[str, Any], folder: Path
) -> Split:
    """JSON with `images`: Karpathy's, which has its own splits, or COCO's."""
    if is_karpathys(source, content):
        return karpathy_split(source, content, folder, split)
    found = coco_split(source, content, folder)
    divided = _divided(config, split, source, Gathered(found.pictures, [""] * len(found.pictures)))
    return replace(divided, layout=found.layout)


def _shares(config: FolderConfig, split: SplitName) -> bool:
    """Whether training or validation are read from the same file as this split, or the same folder of texts."""
    name, folder = _named(config, split), picture_folder(config, split)
    others: list[SplitName] = [other for other in ("train", "val") if other != split]
    in_folder = name in (*SIDECARS, FOLDER_NAMES)
    return any(_named(config, o) == name and (not in_folder or picture_folder(config, o) == folder) for o in others)


def _divided(config: FolderConfig, split: SplitName, source: AnnotationFile, found: Gathered) -> Split:
    """The pictures of a split: of a file of its own all, of a shared one those that its rows name or that are drawn.

    What a shared file left out is told of training alone, so that counts add up.
    """
    name, folder = _named(config, split), picture_folder(config, split)
    if not _shares(config, split):
        return Split(found.pictures, source.skipped, source.told)
    skipped, told = source.skipped if split == "train" else [], source.told
    if any(found.splits):
        if count := found.splits.count("test"):
            told.append(f"{counted(count, 'picture')} for the test (data.test_annotations={name})")
        pairs = zip(found.pictures, found.splits, strict=True)
        return Split([picture for picture, named in pairs if named == split], skipped, told)
    described = [str(picture.path) for picture in found.pictures if picture.captions]
    drawn = drawn_for_validation(described, folder, config)
    counts = f"{len(drawn):,} of {counted(len(described), 'picture')}"
    told.append(f"{counts} set aside for validation (data.val_share={config.val_share})")
    return Split([p for p in found.pictures if (str(p.path) in drawn) == (split == "val")], skipped, told)


def drawn_for_validation(names: list[str], folder: Path, config: FolderConfig) -> set[str]:
    """The share of the pictures, at least one, whose name below the folder and seed have the lowest SHA-256."""
    count = min(max(1, round(config.val_share * len(names))), len(names) - 1)

    def lot(name: str) -> bytes:
        told = f"{config.split_seed}\0{os.path.relpath(name, folder)}"
        return hashlib.sha256(told.encode("utf-8", "surrogateescape")).digest()

    return set(sorted(names, key=lot)[:count])


def _pictures_below(folder: Path) -> list[Path]:
    """The pictures in a folder and below it, `2.jpg` before `10.jpg`."""
    return sorted((file for file in files_below(folder) if LOOKS_LIKE_PICTURE.search(file.name)), key=natural)


def _text_of(picture: Path, suffix: str) -> Path | None:
    """`dog.txt` or `dog.jpg.txt` for `dog.jpg`."""
    texts = picture.with_suffix(suffix), picture.with_name(picture.name + suffix)
    return next((text for text in texts if text.is_file()), None)


def _gathered(source: AnnotationFile, folder: Path, pattern: str) -> tuple[AnnotationFile, Gathered]:
    """Pictures with the texts beside them, a caption on each line; what lacks its other half is told."""
    pictures = _pictures_below(folder)
    texts = {picture: _text_of(picture, pattern[1:]) for picture in pictures}
    used = {text for text in texts.values() if text is not None}
    for picture in (picture for picture, text in texts.items() if text is None):
        source.skipped.append(f"{shown(picture)} has no {picture.stem}{pattern[1:]} beside it; left out")
    for text in sorted({file for file in files_below(folder) if file.name.endswith(pattern[1:])} - used):
        if not text.stem.lower().startswith(("readme", "license", "licence")):
            source.skipped.append(f"{shown(text)} has no picture beside it; left out")
    found = gather(source, _rows_beside(source, texts, folder), folder)
    source.readings["texts beside pictures, a caption on each line"] = len(used)
    return source, found


def _rows_beside(source: AnnotationFile, texts: dict[Path, Path | None], folder: Path) -> Iterator[Row]:
    for picture, text in texts.items():
        if text is None:
            continue
        if not text.stat().st_size:
            source.skipped.append(f"{shown(text)} is empty; left out")
            continue
        lines = AnnotationFile(text).text().splitlines()
        yield Row(shown(text), os.path.relpath(picture, folder), [line for line in lines if line.strip()])


def _named_by_folder(folder: Path) -> Iterator[Row]:
    for picture in _pictures_below(folder):
        name = picture.parent.name.replace("_", " ").replace("-", " ")
        yield Row(shown(picture), os.path.relpath(picture, folder), [name])
