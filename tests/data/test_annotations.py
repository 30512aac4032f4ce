"""Each reader on a fixture in its data set's real layout; missing files, policies, splits."""

import contextlib
import io
import json
from pathlib import Path

import pytest

from showtell.config import DataConfig
from showtell.data.annotations import AnnotationError, check_split
from showtell.data.formats import read_split
from showtell.data.formats.coco import read_coco
from showtell.data.settings import FlickrConfig, KarpathyConfig, ShapesDataConfig, ShardsConfig


def touch(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


def coco_root(root: Path, year: int) -> DataConfig:
    """COCO's layout of 2014 (names with the split in them) or 2017 (numbers alone)."""
    for split, number in (("train", 9), ("val", 42)):
        name = f"COCO_{split}2014_{number:012}.jpg" if year == 2014 else f"{number:012}.jpg"
        touch(root / f"{split}{year}", name)
        content = {
            "info": {"description": f"COCO {year} Dataset", "version": "1.0", "year": year},
            "images": [{"license": 3, "file_name": name, "height": 480, "width": 640, "id": number}],
            "licenses": [],
            "annotations": [
                {"image_id": number, "id": number + at, "caption": caption}
                for at, caption in enumerate(["Closeup of bins of food.\n", "A meal  presented in trays."])
            ],
        }
        (root / "annotations").mkdir(exist_ok=True)
        (root / f"annotations/captions_{split}{year}.json").write_text(json.dumps(content))
    return DataConfig(
        name=f"coco{year}", format="coco", root=str(root),
        train_images=f"train{year}", val_images=f"val{year}",
        train_annotations=f"annotations/captions_train{year}.json",
        val_annotations=f"annotations/captions_val{year}.json",
    )  # fmt: skip


@pytest.mark.parametrize("year", [2014, 2017])
def test_coco(tmp_path, year):
    split = read_split(coco_root(tmp_path, year), "val")
    (picture,) = split.pictures
    assert picture.id == 42 and picture.path.is_file() and split.skipped == []
    assert picture.captions == ("Closeup of bins of food.", "A meal presented in trays.")


def karpathy_root(root: Path, *, with_folders: bool = True) -> DataConfig:
    images = []
    for number, split in enumerate(["train", "restval", "val", "test"]):
        folder = "train2014" if split == "train" else "val2014"
        name = f"COCO_{folder}_{number:012}.jpg"
        touch(root / folder if with_folders else root, name)
        sentence = {"tokens": ["a", split], "raw": f"A {split}.", "imgid": number, "sentid": number}
        image = {"filename": name, "imgid": number, "split": split, "sentids": [number], "sentences": [sentence]}
        images.append(image | ({"filepath": folder, "cocoid": 1000 + number} if with_folders else {}))
    (root / "dataset_coco.json").write_text(json.dumps({"images": images, "dataset": "coco"}))
    return KarpathyConfig(root=str(root))


def test_karpathy_trains_on_train_and_restval(tmp_path):
    config = karpathy_root(tmp_path)
    found = {split: [p.id for p in read_split(config, split).pictures] for split in ("train", "val", "test")}
    assert found == {"train": [1000, 1001], "val": [1002], "test": [1003]}
    assert read_split(config, "val").pictures[0].captions == ("A val.",)


def test_karpathy_of_flickr_has_neither_folders_nor_coco_ids(tmp_path):
    config = karpathy_root(tmp_path, with_folders=False)
    assert [p.id for p in read_split(config, "train").pictures] == [0, 1]


TOKEN = "".join(f"{name}.jpg#{n}\tA dog {name} , caption {n} .\n" for name in "abcd" for n in range(5))
KAGGLE_8K = "image,caption\n" + "".join(
    f'{name}.jpg,"A ""dog"" {name} , caption {n} ."\n' for name in "abcd" for n in range(5)
)
KAGGLE_30K = "image_name| comment_number| comment\n" + "".join(
    f"{name}.jpg| {n}| A dog {name} , caption {n} .\n" if (name, n) != ("b", 4) else "b.jpg| 4   A dog b runs .\n"
    for name in "abcd"
    for n in range(5)
)


def flickr_root(root: Path, table: str, **settings) -> DataConfig:
    touch(root / "images", *(f"{name}.jpg" for name in "abcd"))
    (root / "captions.txt").write_text(table)
    return FlickrConfig(
        root=str(root), train_images="images", val_images="images",
        train_annotations="captions.txt", val_annotations="captions.txt", **settings,
    )  # fmt: skip


@pytest.mark.parametrize("table", [TOKEN, KAGGLE_8K, KAGGLE_30K, "\ufeff" + KAGGLE_8K.replace("\n", "\r\n")])
def test_flickr_tables(tmp_path, table):
    config = flickr_root(tmp_path, table)
    pictures = read_split(config, "train").pictures + read_split(config, "val").pictures
    assert sorted(p.path.name for p in pictures) == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    assert sorted(p.id for p in pictures) == [0, 1, 2, 3] and {len(p.captions) for p in pictures} == {5}
    first = min(pictures, key=lambda picture: picture.path.name).captions[0]
    assert first.replace('"', "") == "A dog a , caption 0 ."


def names_of(config, split):
    return [picture.path.stem for picture in read_split(config, split).pictures]


def test_flickr_split_files(tmp_path):
    config = flickr_root(tmp_path, TOKEN, train_split="train.txt", val_split="dev.txt")
    (tmp_path / "train.txt").write_text("a.jpg\nc.jpg\nelsewhere.jpg\n")
    (tmp_path / "dev.txt").write_text("b\n")
    assert names_of(config, "train") == ["a", "c"] and names_of(config, "val") == ["b"]
    assert "elsewhere.jpg" in read_split(config, "train").skipped[0]


@pytest.mark.parametrize("given", ["train_split", "val_split"])
def test_flickr_with_one_split_file_gives_the_rest_to_the_other(tmp_path, given):
    config = flickr_root(tmp_path, TOKEN, **{given: "names.txt"})
    (tmp_path / "names.txt").write_text("b.jpg\n")
    train, val = names_of(config, "train"), names_of(config, "val")
    assert (train, val) == ((["b"], ["a", "c", "d"]) if given == "train_split" else (["a", "c", "d"], ["b"]))


def test_flickr_split_by_hash_does_not_depend_on_the_order(tmp_path):
    config = flickr_root(tmp_path, TOKEN)
    chosen = names_of(config, "val")
    flickr_root(tmp_path, "".join(reversed(TOKEN.splitlines(keepends=True))))
    assert names_of(config, "val") == chosen and len(chosen) == 1


def test_flickr_test_pictures_are_in_no_other_split(tmp_path):
    config = flickr_root(tmp_path, TOKEN, test_split="test.txt")
    (tmp_path / "test.txt").write_text("a.jpg\nc.jpg\n")
    assert names_of(config, "test") == ["a", "c"]
    assert sorted([*names_of(config, "train"), *names_of(config, "val")]) == ["b", "d"]
    config.train_split = "train.txt"
    (tmp_path / "train.txt").write_text("b.jpg\n")
    assert names_of(config, "val") == ["d"]
    (tmp_path / "train.txt").write_text("a.jpg\nb.jpg\n")
    with pytest.raises(AnnotationError, match=r"names 1 picture of .*test.txt too, such as a.jpg"):
        read_split(config, "test")


def test_a_preset_s_test_list_that_a_copy_lacks_is_missed_by_the_test_split_alone(tmp_path):
    config = flickr_root(tmp_path, TOKEN, test_split="Flickr_8k.testImages.txt")
    assert read_split(config, "train").pictures and read_split(config, "val").pictures
    with pytest.raises(AnnotationError, match=r"Flickr_8k\.testImages\.txt is not there"):
        read_split(config, "test")


def test_flickr_picture_in_both_splits_is_refused(tmp_path):
    config = flickr_root(tmp_path, TOKEN, train_split="names.txt", val_split="names.txt")
    (tmp_path / "names.txt").write_text("b.jpg\n")
    with pytest.raises(AnnotationError, match="no picture may be in both"):
        read_split(config, "train")


def test_missing_pictures_are_left_out_and_named(tmp_path):
    config = coco_root(tmp_path, 2017)
    touch(tmp_path / "val2017", "000000000043.jpg")
    file = tmp_path / "annotations/captions_val2017.json"
    content = json.loads(file.read_text())
    content["images"].append({"id": 43, "file_name": "000000000043.jpg"})
    content["annotations"].append({"image_id": 43, "caption": "a cat"})
    file.write_text(json.dumps(content))
    (tmp_path / "val2017/000000000042.jpg").unlink()
    split = read_split(config, "val")
    assert [picture.id for picture in split.pictures] == [43]
    assert len(split.skipped) == 1 and "000000000042.jpg is not there" in split.skipped[0]
    assert len(read_split(config, "val", check_files=False).pictures) == 2
    config.bad_pictures = "fail"
    with pytest.raises(AnnotationError, match=r"data\.bad_pictures=skip"):
        read_split(config, "val")


def test_absolute_paths_leave_the_root(tmp_path):
    (tmp_path / "here").mkdir()
    config = coco_root(tmp_path / "here", 2017)
    config.val_annotations = str(tmp_path / "here" / config.val_annotations)
    config.val_images = str(tmp_path / "here/val2017")
    config.root = str(tmp_path)
    assert len(read_split(config, "val").pictures) == 1


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ({"root": "nowhere"}, "data.root=nowhere is no folder"),
        ({"val_annotations": "nothing.json"}, "data.val_annotations"),
        (
            {"val_images": "nowhere"},
            "nowhere: there is no such folder; the pictures lie in val2017; set data.val_images",
        ),
        ({"val_annotations": "annotations"}, "is a folder"),
    ],
)
def test_wrong_paths_name_the_setting(tmp_path, setting, reason):
    config = coco_root(tmp_path, 2017)
    for key, value in setting.items():
        setattr(config, key, value)
    with pytest.raises(AnnotationError) as caught:
        read_split(config, "val")
    assert reason in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("config", "remedy"),
    [
        (DataConfig(), "name its captions by data.test_annotations=FILE, its pictures by data.test_images=DIR"),
        (FlickrConfig(), "name the list of its pictures by data.test_split=FILE"),
        (ShardsConfig(), "name its shards by data.test_shards=PATTERN"),
        (ShapesDataConfig(), "score val"),
    ],
)
def test_a_test_split_that_there_is_not_is_refused_with_the_remedy(config, remedy):
    with pytest.raises(AnnotationError, match=f"data={config.name} has no test split, only train and val; {remedy}"):
        check_split(config, "test")


def test_coco_has_a_test_split_where_it_is_named(tmp_path):
    config = coco_root(tmp_path, 2017)
    config.test_annotations = config.val_annotations
    assert read_split(config, "test") == read_split(config, "val")
    config.test_images = config.train_images
    with pytest.raises(AnnotationError, match=r"none of the 1 test pictures .* set data\.test_images=val2017"):
        read_split(config, "test")
    config.test_annotations = "nothing.json"
    with pytest.raises(AnnotationError, match=r"data\.test_annotations, relative to"):
        read_split(config, "test")


def test_pictures_that_nobody_described_are_read_where_they_are_wanted(tmp_path):
    """In any format; for training they are left out, and said."""
    coco, karpathy = coco_root(tmp_path / "coco", 2017), karpathy_root(tmp_path / "karpathy")
    flickr = flickr_root(tmp_path / "flickr", TOKEN + "e.jpg#0\t \n", val_split="names.txt")
    (tmp_path / "flickr/names.txt").write_text("b.jpg\ne.jpg\n")
    extra = {"id": 5, "file_name": "5.jpg", "filename": "5.jpg", "split": "val", "cocoid": 5, "sentences": []}
    for file in ("coco/annotations/captions_val2017.json", "karpathy/dataset_coco.json"):
        content = json.loads((tmp_path / file).read_text())
        (tmp_path / file).write_text(json.dumps({**content, "images": [*content["images"], extra]}))
    for config in (coco, karpathy, flickr):
        described, bare = read_split(config, "val", undescribed=True, check_files=False).pictures
        assert described.captions and not bare.captions
        read = read_split(config, "val", check_files=False)
        assert read.pictures == [described] and f"({bare.path.name}) has no captions; left out" in read.skipped[-1]


def test_a_file_without_any_captions_is_not_trained_on(tmp_path):
    config = coco_root(tmp_path, 2017)
    file = tmp_path / config.val_annotations
    content = json.loads(file.read_text())
    for annotations in ({}, {"annotations": []}):
        file.write_text(json.dumps({"images": content["images"], **annotations}))
        assert len(read_split(config, "val", undescribed=True).pictures) == 1
        with pytest.raises(AnnotationError, match=r"1 picture but no captions; is it a captions file\?"):
            read_split(config, "val")


@pytest.mark.parametrize(
    ("folder", "settings", "expected"),
    [
        ("coco_mini", {
            "train_annotations": "annotations/captions_train2017.json", "train_images": "train2017",
            "val_annotations": "annotations/captions_val2017.json", "val_images": "val2017",
        }, [(80, 400), (79, 395)]),
        ("flickr800", {
            "train_annotations": "captions_train.json", "train_images": "images",
            "val_annotations": "captions_val.json", "val_images": "images",
        }, [(700, 3500), (100, 500)]),
    ],
)  # fmt: skip
def test_real_files(shared_data, folder, settings, expected):
    if not (shared_data / folder).is_dir():
        pytest.skip(f"{folder} is not here")
    config = DataConfig(name=folder, format="coco", root=str(shared_data / folder), bad_pictures="fail", **settings)
    splits = [read_split(config, split) for split in ("train", "val")]
    assert [(len(s.pictures), sum(len(p.captions) for p in s.pictures)) for s in splits] == expected


def test_captions_belong_to_pictures_as_pycocotools_has_them(tmp_path: Path) -> None:
    """The reference implementation; the annotations of a picture lie apart, and a picture has none."""
    from pycocotools.coco import COCO

    images = [{"id": number, "file_name": f"{number}.jpg"} for number in (9, 4, 70, 5)]
    order = [70, 9, 70, 4, 9, 70]
    notes = [
        {"id": 100 - place, "image_id": image, "caption": f"caption {place}."} for place, image in enumerate(order)
    ]
    file = tmp_path / "captions.json"
    file.write_text(json.dumps({"images": images, "annotations": notes}))
    with contextlib.redirect_stdout(io.StringIO()):
        reference = COCO(str(file))
    found = read_coco(file, tmp_path).pictures
    assert [picture.id for picture in found] == reference.getImgIds()
    for picture in found:
        told = [note["caption"] for note in reference.loadAnns(reference.getAnnIds([picture.id]))]
        assert list(picture.captions) == told
