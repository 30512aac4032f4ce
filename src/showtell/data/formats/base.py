"""What an annotation format is, and where the files of a data set lie.

A format is one file here and one class: it says which splits there are, which files a split's captions come from, and
reads them. Whether the pictures are there, and what becomes of what cannot be used, is the same for all of them.
"""

from abc import ABC, abstractmethod
from pathlib import Path

from showtell.config import DataConfig
from showtell.data.annotations import AnnotationError, Split, SplitName
from showtell.data.files import shown, why_unreadable


class AnnotationFormat(ABC):
    """One layout of annotation files."""

    splits: tuple[SplitName, ...] = ("train", "val")
    absent = "set it to where {name} lies"
    """The remedy where `data.root` is no folder."""

    @abstractmethod
    def read(self, config: DataConfig, split: SplitName) -> Split:
        """Reads and checks a split; whether its pictures are there is not looked at.

        Raises:
            AnnotationError: a file is not what it should be.
        """

    def files(self, config: DataConfig, split: SplitName) -> list[Path]:
        """The files that a split's captions follow from.

        Raises:
            AnnotationError: no data there.
        """
        return [annotation_file(config, split)]


def annotation_file(config: DataConfig, split: SplitName) -> Path:
    """The file with a split's captions.

    Raises:
        AnnotationError: it cannot be read.
    """
    training = split == "train"
    key = "train_annotations" if training else "val_annotations"
    file = Path(config.root).expanduser() / (config.train_annotations if training else config.val_annotations)
    if reason := why_unreadable(file):
        raise AnnotationError(f"{shown(file)} {reason} (data.{key}, relative to data.root={shown(config.root)})")
    return file


def picture_folder(config: DataConfig, split: SplitName) -> Path:
    """The folder that a split's picture names start from."""
    return Path(config.root).expanduser() / (config.train_images if split == "train" else config.val_images)


def check_folder(folder: Path) -> None:
    """Refuses a folder of pictures that is none.

    Raises:
        AnnotationError: it is not there.
    """
    if not folder.is_dir():
        raise AnnotationError(
            f"{shown(folder)} is no folder that is there; set data.root, data.train_images, data.val_images"
        )
