"""COCO's captions JSON, of any year and of anyone who writes the same layout.

`images[i]` holds `id` and `file_name`, `annotations[i]` holds `image_id`, `caption` and, if anything needs it, `id`. A
caption whose picture is not listed is left out and said so, because subsets of COCO are often cut that way; a picture
may have no captions, as all of `image_info_test2014.json`, which has no `annotations`. Two pictures or two annotations
with one id are an error, because one of them is wrong.

VizWiz marks captions that were rejected, or that say no more than that nothing can be seen (`is_rejected`,
`is_precanned`); its own evaluation leaves both out, and so is done here. nocaps names a `domain` of each picture.

Pictures and captions belong together as pycocotools has them, the reference implementation (a test compares): in the
file's order. It is not called, because scoring a file of captions needs numpy and nltk alone.
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


class CocoFormat(AnnotationFormat):
    """A captions file for each split."""

    def read(self, config: DataConfig, split: SplitName) -> Split:
        """Reads a split's captions file."""
        return read_coco(annotation_file(config, split), picture_folder(config, split))


class ShapesFormat(CocoFormat):
    """The drawn scenes, whose annotations are COCO's."""

    absent = "`python train.py` draws it"


def read_coco(file: Path, folder: Path) -> Split:
    """Reads a captions file whose pictures lie in `folder` (whether they do is not looked at here).

    Raises:
        AnnotationError: the file is not what it should be.
    """
    source = AnnotationFile(file)
    return coco_split(source, source.json(), folder)


def coco_split(source: AnnotationFile, content: dict[str, Any], folder: Path) -> Split:
    """`read_coco` of a file whose JSON was read already."""
    images = _checked_images(source, source.list_of(content, "images"))
    notes = source.list_of(content, "annotations") if content.get("annotations", []) != [] else []
    annotations = _checked_annotations(source, notes, images)
    said: dict[int, list[str]] = {image_id: [] for image_id in images}
    for note in annotations:
        said[note["image_id"]].append(note["caption"])
    pictures = []
    for image_id, image in images.items():
        path, domain = source.picture_path(folder, image["file_name"]), str(image.get("domain") or "")
        pictures.append(Picture(image_id, path, tuple(said[image_id]), domain))
    return Split(pictures, source.skipped, source.told, "coco")


def _checked_images(source: AnnotationFile, images: list[Any]) -> dict[int, dict[str, Any]]:
    """The pictures by id."""
    found: dict[int, dict[str, Any]] = {}
    for index, image in enumerate(images):
        where = f"images[{index}]"
        image_id = source.whole_number(source.member(image, "id", where), f"{where}.id")
        if image_id in found:
            raise source.refused(f"{where}.id is {image_id}, as an earlier picture's; make ids unique")
        source.picture_name(source.member(image, "file_name", where), f"{where}.file_name")
        found[image_id] = image
    return found


def _checked_annotations(
    source: AnnotationFile, annotations: list[Any], images: dict[int, Any]
) -> list[dict[str, Any]]:
    """The annotations that can be used, with cleaned captions."""
    seen: set[int] = set()
    usable = []
    for index, annotation in enumerate(annotations):
        where = f"annotations[{index}]"
        image_id = source.member(annotation, "image_id", where)
        text = source.member(annotation, "caption", where)
        annotation_id = annotation.get("id", -1 - index)
        if type(image_id) is not int or type(annotation_id) is not int:
            source.whole_number(image_id, f"{where}.image_id")
            source.whole_number(annotation_id, f"{where}.id")
        if annotation_id in seen:
            raise source.refused(f"{where}.id is {annotation_id}, as an earlier annotation's; make ids unique")
        seen.add(annotation_id)
        annotation["caption"] = source.caption(text, f"{where}.caption")
        if image_id not in images:
            source.leave_out(f"{where} belongs to picture {image_id}, which is not in images; left out")
        elif annotation.get("is_rejected") or annotation.get("is_precanned"):
            source.leave_out(f"{where} is marked {_mark(annotation)}; left out, as VizWiz' evaluation does")
        elif annotation["caption"]:
            usable.append(annotation)
    return usable


def _mark(annotation: dict[str, Any]) -> str:
    return "is_rejected" if annotation.get("is_rejected") else "is_precanned"
