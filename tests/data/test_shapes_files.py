import hashlib
import json
import multiprocessing

import pytest
from PIL import Image

from showtell.config import ConfigError
from showtell.data import shapes
from showtell.data.settings import ShapesConfig
from showtell.data.shapes import ensure_shapes, is_true, load_scenes

SMALL = ShapesConfig(train_pictures=6, val_pictures=4)


def digest(root):
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "shapes"
    ensure_shapes(root, SMALL)
    return root


def annotations(root, split):
    return json.loads((root / "annotations" / f"captions_{split}.json").read_text())


def test_the_layout_is_cocos(drawn):
    for split, count in (("train", 6), ("val", 4)):
        content = annotations(drawn, split)
        assert set(content) == {"info", "licenses", "images", "annotations"}
        assert len(content["images"]) == count and len(content["annotations"]) == 5 * count
        for record in content["images"]:
            with Image.open(drawn / split / record["file_name"]) as image:
                assert image.size == (record["width"], record["height"])
        ids = {record["id"] for record in content["images"]}
        assert {record["image_id"] for record in content["annotations"]} == ids
        assert len({record["id"] for record in content["annotations"]}) == 5 * count


def test_no_id_is_in_both_splits(drawn):
    train, val = (annotations(drawn, split) for split in ("train", "val"))
    for key in ("images", "annotations"):
        assert not {record["id"] for record in train[key]} & {record["id"] for record in val[key]}


def test_every_caption_is_true_of_the_scene_beside_it(drawn):
    for split in ("train", "val"):
        scenes = load_scenes(drawn, split)
        assert all(is_true(r["caption"], scenes[r["image_id"]]) for r in annotations(drawn, split)["annotations"])


def test_pycocotools_reads_it(drawn):
    from pycocotools.coco import COCO

    coco = COCO(drawn / "annotations" / "captions_val.json")
    assert len(coco.getAnnIds(imgIds=coco.getImgIds()[0])) == 5


def test_the_same_seed_gives_the_same_bytes(drawn, tmp_path):
    ensure_shapes(tmp_path / "again", SMALL)
    ensure_shapes(tmp_path / "other", ShapesConfig(seed=1, train_pictures=6, val_pictures=4))
    assert digest(tmp_path / "again") == digest(drawn)
    assert digest(tmp_path / "other") != digest(drawn)


def test_more_pictures_begin_with_the_same_ones(drawn, tmp_path):
    ensure_shapes(tmp_path / "more", ShapesConfig(train_pictures=8, val_pictures=4))
    more = digest(tmp_path / "more")
    assert all(more[name] == value for name, value in digest(drawn).items() if name.endswith(".jpg"))


def test_what_is_there_is_not_drawn_again(tmp_path):
    root = tmp_path / "shapes"
    ensure_shapes(root, SMALL)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    ensure_shapes(root, SMALL)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_other_settings_or_another_generator_draw_anew(tmp_path, monkeypatch):
    root = tmp_path / "shapes"
    ensure_shapes(root, SMALL)
    ensure_shapes(root, ShapesConfig(train_pictures=3, val_pictures=2))
    assert len(list((root / "train").iterdir())) == 3
    (root / "train" / "stray.jpg").touch()
    monkeypatch.setattr(shapes, "GENERATOR_VERSION", 10**6)
    ensure_shapes(root, ShapesConfig(train_pictures=3, val_pictures=2))
    assert not (root / "train" / "stray.jpg").exists()


def test_a_kill_half_way_leaves_nothing_that_looks_complete(tmp_path, monkeypatch):
    root, write = tmp_path / "shapes", shapes._write_json

    def killed(path, content):
        if path.name == "captions_val.json":
            raise KeyboardInterrupt
        write(path, content)

    monkeypatch.setattr(shapes, "_write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        ensure_shapes(root, SMALL)
    assert not root.exists()
    monkeypatch.undo()
    ensure_shapes(root, SMALL)
    assert len(load_scenes(root, "val")) == 4
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["shapes"]


def test_somebody_elses_folder_is_refused_and_kept(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "mine.jpg").write_bytes(b"mine")
    with pytest.raises(ConfigError, match=r"data.root=.*photos holds other files") as error:
        ensure_shapes(tmp_path / "photos", SMALL)
    assert "\n" not in str(error.value)
    assert (tmp_path / "photos" / "mine.jpg").read_bytes() == b"mine"


def test_two_processes_at_once_draw_one_good_set(drawn, tmp_path):
    spawn = multiprocessing.get_context("spawn")
    both = [spawn.Process(target=ensure_shapes, args=(tmp_path / "shapes", SMALL)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert digest(tmp_path / "shapes") == digest(drawn)


def test_several_processes_draw_the_same_bytes(drawn, tmp_path, monkeypatch):
    monkeypatch.setattr(shapes, "_WORTH_PROCESSES", 1)
    monkeypatch.setattr(shapes.os, "cpu_count", lambda: 2)
    ensure_shapes(tmp_path / "shapes", SMALL)
    assert digest(tmp_path / "shapes") == digest(drawn)
