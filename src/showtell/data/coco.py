"""COCO's captions JSON, of any year and of anyone who writes the same layout.

`images[i]` holds `id` and `file_name`, `annotations[i]` holds `image_id`, `caption` and, if anything needs
it, `id`. A caption whose picture is not listed is left out and said so, and so is a picture without
captions: subsets of COCO are often cut that way. Two pictures or two annotations with one id are an error,
because one of them is wrong.
"""

from pathlib import Path
from typing import Any

from showtell.data.files import shown
from showtell.data.records import AnnotationError, Picture, Split
from showtell.data.schema import caption_text, load_json, member, member_list, picture_name, whole_number


def read_coco(file: Path, folder: Path) -> Split:
    """Reads a captions file whose pictures lie in `folder` (whether they do is not looked at here).

    Raises:
        AnnotationError: the file is not what it should be.
    """
    content = load_json(file)
    names = _picture_names(member_list(content, "images", file), file)
    captions: dict[int, list[str]] = {image_id: [] for image_id in names}
    skipped: list[str] = []
    _collect_captions(member_list(content, "annotations", file), captions, file, skipped)
    pictures = []
    for image_id, said in captions.items():
        if said:
            pictures.append(Picture(image_id, folder / names[image_id], tuple(said)))
        else:
            skipped.append(f"{shown(file)}: picture {image_id} ({shown(names[image_id])}) has no captions; left out")
    return Split(pictures, skipped)


def _picture_names(images: list[Any], file: Path) -> dict[int, str]:
    names: dict[int, str] = {}
    for index, image in enumerate(images):
        where = f"images[{index}]"
        image_id = whole_number(member(image, "id", file, where), file, where, "id")
        if image_id in names:
            raise AnnotationError(f"{shown(file)}: {where}.id is {image_id}, as an earlier picture's; make ids unique")
        names[image_id] = picture_name(member(image, "file_name", file, where), file, f"{where}.file_name")
    return names


def _collect_captions(annotations: list[Any], captions: dict[int, list[str]], file: Path, skipped: list[str]) -> None:
    """Appends each annotation's caption to its picture's list."""
    seen: set[int] = set()
    for index, annotation in enumerate(annotations):
        where = f"annotations[{index}]"
        image_id = member(annotation, "image_id", file, where)
        text = member(annotation, "caption", file, where)
        annotation_id = annotation.get("id", -1 - index)
        if type(image_id) is not int or type(annotation_id) is not int:
            whole_number(image_id, file, where, "image_id")
            whole_number(annotation_id, file, where, "id")
        if annotation_id in seen:
            raise AnnotationError(
                f"{shown(file)}: {where}.id is {annotation_id}, as an earlier annotation's; make ids unique"
            )
        seen.add(annotation_id)
        caption = caption_text(text, file, f"{where}.caption", skipped)
        if image_id not in captions:
            skipped.append(f"{shown(file)}: {where} belongs to picture {image_id}, which is not in images; left out")
        elif caption:
            captions[image_id].append(caption)
