"""Arguments of predict: pictures, folders and patterns become files; whatever else becomes one line each."""

import os
from pathlib import Path

import pytest

from showtell.data.paths import find_pictures


@pytest.fixture
def folder(tmp_path) -> Path:
    for name in ("10.jpg", "2.JPG", "1.png", "a.webp", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "deeper.jpg").mkdir()
    return tmp_path


def names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


def test_a_folder_gives_its_pictures_in_natural_order(folder):
    found, problems = find_pictures([str(folder)])
    assert names(found) == ["1.png", "2.JPG", "10.jpg", "a.webp"] and problems == []


def test_a_pattern_and_a_name_give_each_file_once(folder):
    found, problems = find_pictures([str(folder / "10.jpg"), str(folder / "*.[jJp][pPn]?")])
    assert names(found) == ["10.jpg", "1.png", "2.JPG"] and problems == []


def test_a_name_that_looks_like_a_pattern_is_a_name(folder):
    (folder / "cat[1].jpg").touch()
    found, problems = find_pictures([str(folder / "cat[1].jpg")])
    assert names(found) == ["cat[1].jpg"] and problems == []


def test_a_named_file_is_kept_whatever_its_suffix(folder):
    assert names(find_pictures([str(folder / "notes.txt")])[0]) == ["notes.txt"]


def test_pictures_of_other_formats_are_mentioned(folder):
    (folder / "b.gif").touch()
    found, problems = find_pictures([str(folder)])
    assert len(found) == 4 and "1 file(s) in other formats" in problems[0]


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
    found, problems = find_pictures([*bad, str(folder / "1.png")])
    assert names(found) == ["1.png"] and len(problems) == len(bad)
    for problem, reason in zip(problems, bad.values(), strict=True):
        assert reason in problem and problem.isprintable() and len(problem) < 400


def test_a_folder_with_devices_and_loops_gives_its_pictures(folder):
    os.mkfifo(folder / "fifo.jpg")
    os.symlink(folder, folder / "self")
    os.symlink(folder / "loop.jpg", folder / "loop.jpg")
    found, problems = find_pictures([str(folder)])
    assert len(found) == 4 and len(problems) == 2
