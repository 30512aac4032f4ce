"""What is there instead, for an error about what is not: the end of its line, with the words to type."""

import os
from difflib import get_close_matches
from pathlib import Path

from showtell.config import DataConfig
from showtell.data.annotations import SplitName, picture_folder
from showtell.data.formats.finding import find_images, fitting, folders, pictures_in
from showtell.data.formats.rows import Wanted
from showtell.data.paths import shown
from showtell.errors import UserError


def advice(config: DataConfig, split: SplitName) -> str:
    """Another data set that is there, or where this one's pictures are; empty if neither is found."""
    root = Path(config.root).expanduser()
    return _moved(config, split) or fitting(root, but=config.name)


def nearby(config: DataConfig, split: SplitName) -> str:
    """Where a split's pictures lie if not where they are looked for."""
    if moved := _moved(config, split):
        return moved
    own = os.path.normpath(picture_folder(config, split))
    root = Path(config.root).expanduser()
    seen = [folder for folder in pictures_in(root) if os.path.normpath(root / folder) != own]
    if not seen:
        return "no file has such a name; correct the names or add the pictures"
    return f"other pictures lie in {', '.join(seen[:3])}; set data.root or data.{split}_images"


def _moved(config: DataConfig, split: SplitName) -> str:
    """The settings under which a split's pictures are found."""
    root, annotations = Path(config.root).expanduser(), getattr(config, f"{split}_annotations")
    if not (root / annotations).is_file():
        return ""
    try:
        folder = find_images(root, annotations, split, Wanted())
    except (UserError, OSError):
        return ""
    told = getattr(config, f"{split}_images")
    if os.path.normpath(folder) == os.path.normpath(told):
        return ""
    deeper = ", one level deeper" if os.path.dirname(folder) == os.path.normpath(told) else ""
    keys = ("train_images", "val_images") if config.train_images == config.val_images else (f"{split}_images",)
    words = " ".join(f"data.{key}={folder}" for key in keys)
    return f"the pictures lie in {shown(folder)}{deeper}; set {words}"


def similar_folder(name: str) -> str:
    """`; did you mean ...?` for a folder that is not there, where one of nearly this name is."""
    path = Path(name).expanduser()
    there = [folder for folder in folders(path.parent)[1:] if os.sep not in folder] if path.parent.is_dir() else []
    close = get_close_matches(path.name, there, 1, 0.8)
    return f"; did you mean {shown(path.parent / close[0])}?" if close else ""
