"""`data=custom`: what is found, what it is kept under, and what is looked into at all."""

import os
from pathlib import Path

import pytest
from tests.data import test_layouts as layouts

from showtell.data.formats import read_split
from showtell.data.paths import find_pictures
from showtell.data.settings import FolderConfig


def custom(root: Path, **changes: object) -> FolderConfig:
    return FolderConfig(root=str(root), **changes)  # type: ignore[arg-type]


def pictures(root: Path) -> set[str]:
    config = custom(root)
    return {picture.path.name for split in ("train", "val") for picture in read_split(config, split).pictures}


@pytest.mark.parametrize("names", [["a.JPE", "b.jpe"], ["a.heif", "b.tiff"]])
def test_every_suffix_of_a_picture_is_one_everywhere(tmp_path: Path, names: list[str]) -> None:
    layouts.touch(tmp_path / "images", names)
    layouts.write(tmp_path / "list.json", layouts.coco(names))
    assert pictures(tmp_path) == set(names) == {path.name for path in find_pictures([f"{tmp_path}/images"]).paths}


def test_linked_folders_are_read_and_links_that_lead_back_are_not(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    for name in ("photos/1.jpg", "elsewhere/2.jpg", "3.jpg"):
        layouts.touch(tmp_path, [name])
        layouts.write((tmp_path / name).with_suffix(".txt"), layouts.said(name))
    for link, target in (("more", tmp_path / "elsewhere"), ("self", root), ("up", tmp_path)):
        os.symlink(target, root / link)
    assert {path.name for path in find_pictures([str(root)], recursive=True).paths} == {"1.jpg", "2.jpg"}
    assert pictures(root) == {"1.jpg", "2.jpg"}
