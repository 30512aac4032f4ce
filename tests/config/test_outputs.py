"""Outputs that a command would write over what it reads."""

import os
from pathlib import Path

import pytest

from showtell.config.outputs import check_folder, check_outputs
from showtell.errors import ConfigError


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photos" / "a.json"  # the kind of file does not matter here
    path.parent.mkdir()
    path.write_bytes(b"mine")
    return path


def spellings(photo: Path, folder: Path) -> dict[str, Path]:
    (folder / "link.json").symlink_to(photo)
    os.link(photo, folder / "twin.json")
    (folder / "here").symlink_to(photo.parent)
    return {
        "itself": photo,
        "dots": photo.parent / ".." / "photos" / "a.json",
        "link": folder / "link.json",
        "hard link": folder / "twin.json",
        "through a folder": folder / "here" / "a.json",
    }


@pytest.mark.parametrize("how", ["itself", "dots", "link", "hard link", "through a folder"])
def test_an_input_is_refused_however_it_is_spelled(photo: Path, tmp_path: Path, how: str) -> None:
    output = spellings(photo, tmp_path)[how]
    with pytest.raises(ConfigError, match=f"^--output {output}: would overwrite a picture"):
        check_outputs([("--output", output)], [("a picture", photo)])
    assert photo.read_bytes() == b"mine"


def test_two_outputs_are_two_files(tmp_path: Path) -> None:
    (tmp_path / "here").symlink_to(tmp_path)
    pair = [("--output", tmp_path / "a.json"), ("--scores", tmp_path / "here" / "a.json")]
    with pytest.raises(ConfigError, match=r"--scores .*: would overwrite what --output writes"):
        check_outputs(pair)
    check_outputs([(option, Path("/dev/null")) for option in ("--output", "--scores")])


@pytest.mark.parametrize("name", ["a.jpg", "B.PNG", "best.ckpt"])
def test_the_names_of_other_things_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="ends like a picture or a checkpoint"):
        check_outputs([("--output", tmp_path / name)])


def test_what_cannot_be_written_is_refused_beforehand(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in (tmp_path / "file" / "a", tmp_path / ("a" * 300), tmp_path / "loop", tmp_path):
        with pytest.raises(ConfigError, match=r"^--output .*: cannot be written \(.*\); name another place$"):
            check_outputs([("--output", path)])


def test_a_folder_with_inputs_takes_no_outputs(photo: Path, tmp_path: Path) -> None:
    (tmp_path / "here").symlink_to(photo.parent)
    inputs = [("a picture", photo)]
    for folder in (photo.parent, tmp_path / "here"):
        with pytest.raises(
            ConfigError, match=r"^--attention .*: a picture lies there \(a.json\); name another folder$"
        ):
            check_folder("--attention", folder, [], inputs)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").symlink_to(photo)
    with pytest.raises(ConfigError, match=r"out/a.png: would overwrite a picture"):
        check_folder("--attention", tmp_path / "out", ["a.png"], inputs)
    check_folder("--attention", tmp_path / "new" / "folder", ["a.png"], inputs)
