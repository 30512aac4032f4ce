"""Arguments of predict: pictures, folders and patterns become files; whatever else becomes one line each."""

import os
from pathlib import Path

import pytest

from showtell.data.paths import find_pictures, telling_names


@pytest.fixture
def folder(tmp_path) -> Path:
    for name in ("10.jpg", "2.JPG", "1.png", "a.webp", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "deeper.jpg").mkdir()
    return tmp_path


def names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


def test_a_folder_gives_its_pictures_in_natural_order(folder):
    found = find_pictures([str(folder)])
    assert names(found.paths) == ["1.png", "2.JPG", "10.jpg", "a.webp"] and found.problems == []


def test_a_pattern_and_a_name_give_each_file_once(folder):
    found = find_pictures([str(folder / "10.jpg"), str(folder / "*.[jJp][pPn]?")])
    assert names(found.paths) == ["10.jpg", "1.png", "2.JPG"] and found.problems == []


def test_a_name_that_looks_like_a_pattern_is_a_name(folder):
    (folder / "cat[1].jpg").touch()
    found = find_pictures([str(folder / "cat[1].jpg")])
    assert names(found.paths) == ["cat[1].jpg"] and found.problems == []


def test_a_named_file_is_kept_whatever_its_suffix(folder):
    assert names(find_pictures([str(folder / "notes.txt")]).paths) == ["notes.txt"]


def test_pictures_of_other_formats_are_mentioned(folder):
    (folder / "b.psd").touch()
    found = find_pictures([str(folder)])
    assert len(found.paths) == 4 and "1 file in other formats" in found.problems[0]


def test_each_bad_argument_is_one_line_and_the_rest_goes_on(folder):
    os.mkfifo(folder / "fifo.jpg")
    os.symlink(folder / "loop.jpg", folder / "loop.jpg")
    (folder / "empty").mkdir()
    bad = {
        "http://host/a.jpg": "no local path", "file:///etc/passwd": "no local path", "": "no local path",
        "a\0b": "no local path", "/dev/zero": "device", "-": "not there", "x" * 5000: "cannot be reached",
        str(folder / "missing.jpg"): "not there", str(folder / "none*.jpg"): "no file matches",
        str(folder / "empty"): "holds no", str(folder / "fifo.jpg"): "named pipe",
        str(folder / "loop.jpg"): "cannot be reached",
    }  # fmt: skip
    found = find_pictures([*bad, str(folder / "1.png")])
    assert names(found.paths) == ["1.png"] and len(found.problems) == len(bad)
    for problem, reason in zip(found.problems, bad.values(), strict=True):
        assert reason in problem and problem.isprintable() and len(problem) < 400


def test_a_folder_with_devices_and_loops_gives_its_pictures(folder):
    os.mkfifo(folder / "fifo.jpg")
    os.symlink(folder, folder / "self")
    os.symlink(folder / "loop.jpg", folder / "loop.jpg")
    found = find_pictures([str(folder)])
    assert len(found.paths) == 4 and len(found.problems) == 2


@pytest.fixture
def deep(tmp_path) -> Path:
    for name in ("1.jpg", "a/2.HEIC", "a/b/3.jfif", "a/.hidden/4.jpg", "a/._2.jpg", "empty/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    os.symlink(tmp_path, tmp_path / "a/loop")
    return tmp_path


def test_two_stars_mean_any_depth(deep):
    assert names(find_pictures([str(deep / "**/*.j*")]).paths) == ["1.jpg", "3.jfif"]
    assert names(find_pictures([str(deep / "a/**")]).paths) == ["2.HEIC", "3.jfif"]
    assert "no file matches" in find_pictures([str(deep / "**/*.png")]).problems[0]


def test_sub_folders_are_taken_when_asked_for_and_mentioned_when_not(deep):
    found = find_pictures([str(deep)])
    assert names(found.paths) == ["1.jpg"] and found.problems == []
    assert found.notes == [f"{deep}: pictures in 1 sub-folder such as a are left out; --recursive takes them too"]
    found = find_pictures([str(deep)], recursive=True)
    assert names(found.paths) == ["1.jpg", "2.HEIC", "3.jfif"] and found.problems == found.notes == []
    (deep / "1.jpg").unlink()
    assert find_pictures([str(deep)]).problems == [f"{deep}: its pictures lie in sub-folders; add --recursive"]


def test_pictures_of_one_name_are_told_apart_by_their_folders():
    paths = [Path("p/a/x.jpg"), Path("p/b/x.jpg"), Path("p/b/c/x.jpg"), Path("q/y.jpg")]
    assert telling_names(paths) == ["a/x.jpg", "b/x.jpg", "b/c/x.jpg", "y.jpg"]
    assert telling_names(paths[:1]) == ["x.jpg"]
