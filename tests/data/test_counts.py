"""Every row that is read is in a split, left out with a line, or refused; no picture is in two splits."""

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data import test_layouts as layouts

from showtell.config import DataConfig
from showtell.config.migration import migrated
from showtell.data.annotations import AnnotationError, AnnotationFile, Split
from showtell.data.caption_set import load_captions, source_hash
from showtell.data.check import check, render
from showtell.data.formats import read_split
from showtell.data.formats.table import table_rows
from showtell.data.settings import FolderConfig


def both(config: FolderConfig) -> tuple[Split, Split]:
    return read_split(config, "train", check_files=False), read_split(config, "val", check_files=False)


def total(splits: tuple[Split, Split]) -> int:
    return sum(len(picture.captions) for split in splits for picture in split.pictures)


WORDS = st.text(st.sampled_from('ab ,;"|\t.'), min_size=1, max_size=12).map(lambda text: f"x{text}")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 9), st.one_of(WORDS, st.just(""))), min_size=4, max_size=20))
def test_rows_of_a_table_add_up(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, str]]) -> None:
    root = tmp_path_factory.mktemp("rows")
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(["image", "caption"])
    writer.writerows((f"{number}.jpg", text) for number, text in rows)
    (root / "captions.csv").write_text(file.getvalue(), newline="")
    source = AnnotationFile(root / "captions.csv")
    found = list(table_rows(source, source.text()))
    assert [(row.name, *row.texts) for row in found] == [(f"{number}.jpg", text) for number, text in rows]
    told = {number for number, text in rows if text}
    if len(told) > 1 and len({number for number, _ in rows}) == len(told):
        train, val = both(FolderConfig(root=str(root), train_images=".", val_images="."))
        empty = [line for line in train.skipped if "is empty" in line]
        assert total((train, val)) + len(empty) == len(rows) and val.skipped == []


def test_a_comma_too_many_joins_and_is_counted(tmp_path: Path) -> None:
    layouts.touch(tmp_path)
    rows = [f"{name},a dog , near a wall\n" for name in layouts.NAMES]
    (tmp_path / "captions.txt").write_text("image,caption\n" + "".join(rows))
    (tmp_path / "excel.csv").write_text(
        "image,caption\n" + "".join(row.replace(" , ", " ").replace("\n", ",,\n") for row in rows)
    )
    train, val = both(FolderConfig(root=str(tmp_path), train_annotations="captions.txt"))
    assert {caption for picture in train.pictures for caption in picture.captions} == {"a dog , near a wall"}
    assert (
        "captions.txt: 20 captions with commas but no quotes, joined again" in train.told and total((train, val)) == 20
    )
    blank, _ = both(FolderConfig(root=str(tmp_path), train_annotations="excel.csv"))
    assert blank.pictures[0].captions == ("a dog near a wall",) and not any("joined" in line for line in blank.told)


def test_columns_that_are_not_read_and_rows_that_are_short_are_told(tmp_path: Path) -> None:
    layouts.touch(tmp_path)
    rows = [f"{name},a dog,{'two dogs' if name != '3.jpg' else ''},anna\n" for name in layouts.NAMES]
    rows[4] = "5.jpg,a dog\n"
    (tmp_path / "captions.csv").write_text("image,caption_1,caption_2,by\n" + "".join(rows))
    train, _ = both(FolderConfig(root=str(tmp_path)))
    assert any(line.endswith("captions from `caption_1`, `caption_2`; not read: `by`") for line in train.told)
    assert "captions.csv: 1 rows with fewer columns than the header" in train.told


def test_a_line_that_lost_its_end_is_refused(tmp_path: Path) -> None:
    layouts.captions_on_a_line(tmp_path)
    file = tmp_path / "captions.tsv"
    file.write_text(file.read_text().replace("\n7.jpg", "\t7.jpg"))
    with pytest.raises(AnnotationError, match=r"line 6 names two pictures; a line's end is missing"):
        both(FolderConfig(root=str(tmp_path)))


@pytest.mark.parametrize(
    "content", [";", "image,ca\rption\n1.jpg,a dog\n", '[{"image": "' + "1." * 500 + '.jpg", "caption": "x"}]']
)
def test_what_is_no_table_is_one_line(tmp_path: Path, content: str) -> None:
    layouts.touch(tmp_path)
    (tmp_path / ("captions.json" if content.startswith("[") else "captions.csv")).write_text(content, newline="")
    with pytest.raises(AnnotationError):
        read_split(FolderConfig(root=str(tmp_path)), "train")


def test_a_caption_of_several_lines_is_no_stray_quote(tmp_path: Path) -> None:
    layouts.touch(tmp_path)
    rows = [f'{name},"a dog\nthat sleeps, or not"\n' for name in layouts.NAMES]
    (tmp_path / "captions.csv").write_text("image,caption\n" + "".join(rows))
    splits = both(FolderConfig(root=str(tmp_path)))
    assert total(splits) == 20 and splits[0].pictures[0].captions == ("a dog that sleeps, or not",)


def test_spellings_of_one_picture_are_one_picture_on_one_side(tmp_path: Path) -> None:
    layouts.touch(tmp_path / "images" / "sub")
    spelt = ("images/sub/{}", "./images/sub/{}", "images\\sub\\{}", "images//sub/{}", "IMAGES/SUB/{}")
    rows = [f"{form.format(name)},seen so\n" for name in layouts.NAMES for form in spelt[:4]]
    rows += [f"images/sub/{Path(name).stem.upper()}.JPG,seen so\n" for name in layouts.NAMES]
    rows += [f"{tmp_path}/images/sub/{name},seen so\n" for name in layouts.NAMES]
    (tmp_path / "captions.csv").write_text("image,caption\n" + "".join(rows))
    train, val = both(FolderConfig(root=str(tmp_path)))
    assert (len(train.pictures), len(val.pictures), total((train, val))) == (18, 2, 120)
    assert not {p.path for p in train.pictures} & {p.path for p in val.pictures}
    assert "captions.csv: 20 names with backslashes, read as paths with /" in train.told
    assert "captions.csv: 20 names in other upper and lower case than their files" in train.told


def test_two_pictures_are_never_taken_for_one(tmp_path: Path) -> None:
    layouts.touch(tmp_path / "images", ["1.jpg", "2.jpg"])
    (tmp_path / "captions.csv").write_text("image,caption\na/1.jpg,a dog\nb/1.jpg,a cat\n")
    with pytest.raises(AnnotationError, match=r"line 3: b/1\.jpg and a/1\.jpg are both 1\.jpg below"):
        both(FolderConfig(root=str(tmp_path)))


def test_the_draw_follows_share_and_seed_and_not_the_order(tmp_path: Path) -> None:
    layouts.csv(tmp_path)

    def drawn(**values: object) -> set[str]:
        return {p.path.name for p in both(FolderConfig(root=str(tmp_path), **values))[1].pictures}  # type: ignore[arg-type]

    first = drawn()
    assert len(drawn(val_share=0.25)) == 5 and first <= drawn(val_share=0.25)
    assert len({frozenset(drawn(split_seed=seed)) for seed in range(5)}) > 1
    file = tmp_path / "captions.csv"
    head, *rows = file.read_text().splitlines()
    file.write_text("\n".join([head, *reversed(rows)]))
    assert drawn() == first
    keys = {source_hash(FolderConfig(root=str(tmp_path), split_seed=seed), "train") for seed in (0, 1)}
    assert len(keys) == 2


def test_halves_of_sidecars_are_told(tmp_path: Path) -> None:
    layouts.sidecars(tmp_path)
    (tmp_path / "1.txt").unlink()
    (tmp_path / "2.jpg").unlink()
    (tmp_path / "3.txt").write_text("")
    train, val = both(FolderConfig(root=str(tmp_path)))
    assert len(train.pictures) + len(val.pictures) == 17 and val.skipped == []
    told = "\n".join(train.skipped)
    for line in ("1.jpg has no 1.txt beside it", "2.txt has no picture beside it", "3.txt is empty"):
        assert line in told
    assert len(train.skipped) == 3


def test_linked_folders_are_read_once(tmp_path: Path) -> None:
    layouts.sidecars(tmp_path / "elsewhere")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "photos").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "loop").symlink_to(tmp_path / "root")
    train, val = both(FolderConfig(root=str(tmp_path / "root")))
    assert (len(train.pictures), len(val.pictures), train.skipped) == (18, 2, [])


def test_rejected_captions_of_vizwiz_are_left_out_and_told(tmp_path: Path) -> None:
    layouts.vizwiz(tmp_path)
    file = tmp_path / "annotations" / "train.json"
    content = json.loads(file.read_text())
    content["annotations"][0]["is_rejected"] = content["annotations"][1]["is_precanned"] = True
    file.write_text(json.dumps(content))
    train, _ = both(FolderConfig(root=str(tmp_path)))
    assert len(train.pictures) == 13
    assert "annotations[0] is marked is_rejected" in train.skipped[0] and "is_precanned" in train.skipped[1]


def test_rows_of_the_test_split_are_left_for_it_and_told(tmp_path: Path) -> None:
    layouts.csv_with_split(tmp_path)
    file = tmp_path / "flickr_annotations_30k.csv"
    file.write_text(file.read_text().replace(",val,20.jpg", ",test,20.jpg"))
    config = FolderConfig(root=str(tmp_path))
    train, val = both(config)
    assert len(val.pictures) == 4 and any("1 picture for the test" in line for line in train.told)
    config.test_annotations = file.name
    assert [picture.path.name for picture in read_split(config, "test").pictures] == ["20.jpg"]


def test_captions_that_are_cut_are_counted(tmp_path: Path) -> None:
    layouts.csv(tmp_path)
    file = tmp_path / "captions.csv"
    file.write_text(file.read_text().replace("picture 1 seen", "picture 1 " + "seen " * 60))
    config = FolderConfig(root=str(tmp_path))
    assert sum(load_captions(config, name, tmp_path / "cache").cut for name in ("train", "val")) == 1  # type: ignore[arg-type]
    train = load_captions(FolderConfig(root=str(tmp_path), max_caption_words=4), "train", tmp_path / "cache")
    assert "2 of 20 pictures set aside for validation" in train.notes(4, 3)[0]
    assert train.notes(4, 3)[1:] == [
        "18 of 18 captions are longer than data.max_caption_words=4 and are cut",
        "half of the captions have 4 words or more; decoding.max_length=3 is below that",
    ]
    assert len(train.notes(4, 4)) == len(train.notes(4)) == 2
    report = check(config, decode=False)
    assert "cut: 1 captions have more words than data.max_caption_words=50" in render(report) and not report.is_clean


def test_old_runs_of_custom_data_are_those_of_today(tmp_path: Path) -> None:
    """What commit f60d47a recorded for data=custom reads the same captions under the same hash."""
    layouts.coco_files(tmp_path)
    names = {"train_annotations": "captions_train.json", "val_annotations": "captions_val.json"}
    images = {"train_images": "images", "val_images": "images"}
    old = migrated({"data": {"name": "custom", "format": "coco", "root": str(tmp_path), **names, **images}})["data"]
    assert (old["format"], old["train_annotations"], old["val_images"]) == ("folder", "captions_train.json", "images")
    before = DataConfig(name="custom", format="coco", root=str(tmp_path), **names, **images)  # type: ignore[arg-type]
    for split in ("train", "val"):
        assert source_hash(FolderConfig(root=str(tmp_path)), split) == source_hash(before, split)  # type: ignore[arg-type]
    elsewhere = {**images, "train_images": "photos"}
    kept = migrated({"data": {"name": "custom", "format": "coco", "root": str(tmp_path), **names, **elsewhere}})["data"]
    assert (kept["format"], kept["train_annotations"], kept["train_images"]) == (
        "folder",
        names["train_annotations"],
        "photos",
    )
