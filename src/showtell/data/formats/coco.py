"""COCO's captions JSON, of any year and of anyone who writes the same layout.

`images[i]` holds `id` and `file_name`, `annotations[i]` holds `image_id`, `caption` and, if anything needs
it, `id`. A caption whose picture is not listed is left out and said so, and so is a picture without
captions: subsets of COCO are often cut that way. Two pictures or two annotations with one id are an error,
because one of them is wrong.

The content is checked here and then indexed by pycocotools, the reference implementation, so that pictures and
captions belong together as everybody else's tools have them.
"""

from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from pycocotools.coco import COCO


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
    content = load_json(file)
    skipped: list[str] = []
    images = _checked_images(member_list(content, "images", file), file)
    annotations = _checked_annotations(member_list(content, "annotations", file), images, file, skipped)
    index = coco_index(list(images.values()), annotations)
    pictures = []
    for image_id, image in index.imgs.items():
        captions = tuple(note["caption"] for note in index.imgToAnns.get(image_id, ()))
        if captions:
            pictures.append(Picture(image_id, folder / image["file_name"], captions))
        else:
            name = shown(image["file_name"])
            skipped.append(f"{shown(file)}: picture {image_id} ({name}) has no captions; left out")
    return Split(pictures, skipped)


def coco_index(images: list[Any], annotations: list[Any]) -> "COCO":
    """Pycocotools' index over pictures and captions that have passed the checks."""
    from pycocotools.coco import COCO  # here: only a cold caption table needs it

    index = COCO()
    index.dataset = {"images": images, "annotations": annotations}
    with redirect_stdout(StringIO()):
        index.createIndex()
    return index


def _checked_images(images: list[Any], file: Path) -> dict[int, dict[str, Any]]:
    """The pictures by id."""
    found: dict[int, dict[str, Any]] = {}
    for index, image in enumerate(images):
        where = f"images[{index}]"
        image_id = whole_number(member(image, "id", file, where), file, where, "id")
        if image_id in found:
            raise AnnotationError(f"{shown(file)}: {where}.id is {image_id}, as an earlier picture's; make ids unique")
        picture_name(member(image, "file_name", file, where), file, f"{where}.file_name")
        found[image_id] = image
    return found


def _checked_annotations(
    annotations: list[Any], images: dict[int, Any], file: Path, skipped: list[str]
) -> list[dict[str, Any]]:
    """The annotations that can be used, with cleaned captions and with the ids that pycocotools counts on."""
    seen: set[int] = set()
    usable = []
    for index, annotation in enumerate(annotations):
        where = f"annotations[{index}]"
        image_id = member(annotation, "image_id", file, where)
        text = member(annotation, "caption", file, where)
        annotation_id = annotation.setdefault("id", -1 - index)
        if type(image_id) is not int or type(annotation_id) is not int:
            whole_number(image_id, file, where, "image_id")
            whole_number(annotation_id, file, where, "id")
        if annotation_id in seen:
            raise AnnotationError(
                f"{shown(file)}: {where}.id is {annotation_id}, as an earlier annotation's; make ids unique"
            )
        seen.add(annotation_id)
        annotation["caption"] = caption_text(text, file, f"{where}.caption", skipped)
        if image_id not in images:
            skipped.append(f"{shown(file)}: {where} belongs to picture {image_id}, which is not in images; left out")
        elif annotation["caption"]:
            usable.append(annotation)
    return usable
