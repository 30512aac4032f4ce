"""`data=custom`: what is found, what it is kept under, and what is looked into at all."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.data import test_layouts as layouts

from showtell.config import DataConfig
from showtell.data.annotations import AnnotationError, check_folder
from showtell.data.caption_set import load_captions
from showtell.data.formats import finding, read_split
from showtell.data.paths import find_pictures
from showtell.data.settings import FolderConfig
from showtell.terminal import unfailing_output


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


class Counted(list[str]):
    """A list that knows how often it was gone through."""

    walks = 0

    def __iter__(self) -> Iterator[str]:
        Counted.walks += 1
        return super().__iter__()


def test_texts_beside_pictures_are_told_in_a_few_walks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not in one per text, which took seconds for thousands."""
    layouts.sidecars(tmp_path)
    names = Counted(finding._files_in(tmp_path, "."))
    monkeypatch.setattr(finding, "_files_in", lambda *_: names)
    assert len(finding._sidecars(tmp_path, ".", "*.txt")) == len(layouts.NAMES)
    assert Counted.walks < 5


@pytest.mark.parametrize("content", [{"data": []}, []], ids=["data", "list"])
def test_a_file_without_records_is_refused_in_one_line(tmp_path: Path, content: object) -> None:
    layouts.touch(tmp_path / "images")
    layouts.write(tmp_path / "captions.json", content)
    with pytest.raises(AnnotationError, match=r"captions\.json: holds no records; write or fetch it again$"):
        read_split(custom(tmp_path), "train")


def test_blank_lines_before_records_hide_no_pictures(tmp_path: Path) -> None:
    layouts.touch(tmp_path / "few", ["1.jpg", "2.jpg"])
    layouts.touch(tmp_path / "others", ["a.jpg", "b.jpg", "c.jpg"])
    rows = [json.dumps({"image": name, "caption": layouts.said(name)}) for name in ("1.jpg", "2.jpg")]
    layouts.write(tmp_path / "captions.jsonl", "\n" * 30 + "\n".join(rows))
    assert pictures(tmp_path) == {"1.jpg", "2.jpg"}


def test_another_column_of_records_gives_other_captions(tmp_path: Path) -> None:
    layouts.touch(tmp_path / "images")
    for split, names in (("train", layouts.NAMES[:15]), ("val", layouts.NAMES[15:])):
        records = [{"image": name, "en": "a dog", "de": "ein Hund"} for name in names]
        layouts.write(tmp_path / f"{split}.json", records)
    chosen = {"train_annotations": "train.json", "val_annotations": "val.json"}
    said = {}
    for column in ("en", "de"):
        captions = load_captions(custom(tmp_path, caption_column=column, **chosen), "train", tmp_path / "cache")
        said[captions.source] = captions.references[0]
    assert list(said.values()) == [["a dog"], ["ein Hund"]]


@pytest.mark.parametrize("place", [".", "photos", "photos/day 1"])
def test_pictures_that_are_added_later_are_found_by_their_names(tmp_path: Path, place: str) -> None:
    """Names without suffixes: which file each means is kept with the captions."""
    folder = tmp_path / "data" / place
    layouts.touch(folder, layouts.NAMES[:9])
    rows = [f"{name.removesuffix('.jpg')},{layouts.said(name)}\n" for name in layouts.NAMES]
    layouts.write(tmp_path / "data/captions.csv", "image,caption\n" + "".join(rows))
    cache, config = tmp_path / "cache", custom(tmp_path / "data", train_images=place, val_images=place)
    before = load_captions(config, "train", cache)
    assert any(not path.is_file() for path in before.paths)
    layouts.touch(folder)
    after = load_captions(config, "train", cache)
    assert len(after.paths) == 18 and all(path.is_file() for path in after.paths)
    assert after.source == before.source and load_captions(config, "train", cache).texts_file == after.texts_file


def test_the_files_that_old_runs_were_made_of_come_before_others(tmp_path: Path) -> None:
    layouts.coco_files(tmp_path)
    for split in ("train", "val"):
        layouts.write(tmp_path / f"captions_{split}_german.json", layouts.coco(["1.jpg"]))
    assert finding.find_annotations(tmp_path) == ("captions_train.json", "captions_val.json")
    assert pictures(tmp_path) == set(layouts.NAMES)


def test_no_more_than_some_files_are_opened_in_search_of_captions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of texts and JSON alike, those first that name a split; what was passed over is said."""
    layouts.touch(tmp_path / "images")
    for number in range(90):
        layouts.write(tmp_path / f"labels/{number:03}.json", {"shapes": []})
    opened: list[str] = []
    real = finding._ends
    monkeypatch.setattr(finding, "_ends", lambda file: (opened.append(file.name), real(file))[1])
    with pytest.raises(AnnotationError, match=r"no captions \(40 files such as labels/050\.json were not searched"):
        finding.find_annotations(tmp_path)
    assert len(opened) == 50
    for split, names in (("train", layouts.NAMES[:15]), ("val", layouts.NAMES[15:])):
        layouts.write(tmp_path / f"labels/{split}.json", layouts.coco(names))
    with unfailing_output():
        assert [finding.find_annotations(tmp_path) for _ in range(2)] == 2 * [("labels/train.json", "labels/val.json")]
    assert capsys.readouterr().out.count("42 files such as labels/048.json were not searched for captions") == 1


def test_what_is_not_there_is_told_with_the_setting_to_correct(tmp_path: Path) -> None:
    """Where nothing better is known; a test split without a folder of its own has that of validation."""
    config = DataConfig(root=str(tmp_path), train_images="no", val_images="no", test_annotations="t.json")
    for split, key in (("train", "train"), ("val", "val"), ("test", "val")):
        with pytest.raises(
            AnnotationError, match=rf"/no: there is no such folder; correct data\.root or data\.{key}_im"
        ):
            check_folder(config, split)  # type: ignore[arg-type]


def test_what_was_left_out_is_counted_in_the_right_number(tmp_path: Path) -> None:
    layouts.touch(tmp_path)
    config = custom(tmp_path, train_annotations="captions.csv", val_annotations="val.csv")
    layouts.write(tmp_path / "val.csv", layouts.table(",", "image", "caption"))
    for empty, said in ((1, "1 caption or picture left out, e.g. "), (2, "2 captions or pictures left out, e.g. ")):
        rows = "".join(f"{name},\n" for name in layouts.NAMES[:empty])
        layouts.write(tmp_path / "captions.csv", layouts.table(",", "image", "caption") + rows)
        assert load_captions(config, "train", tmp_path / "cache").notes(50)[1].startswith(said)
