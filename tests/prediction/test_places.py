"""`predict.py` writes over nothing that it reads, and one file that cannot be written costs no other."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.conftest import REPOSITORY
from tests.prediction.conftest import Said

from showtell.errors import ConfigError, UserError

Call = Callable[..., Said]


@pytest.fixture
def photos(tiny_coco: Path, tmp_path: Path) -> Path:
    """Three pictures in PNG's clothes: what predict.py would call its own."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, path in enumerate(sorted((tiny_coco / "val").iterdir())[:3]):
        shutil.copy(path, folder / f"{number}.png")
    return folder


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def refused(call: Call, tiny_run: Path, photos: Path) -> Callable[..., str]:
    """The line of a command that is refused; nothing has changed then."""

    def run(*words: object) -> str:
        before = contents(photos.parent), contents(tiny_run)
        with pytest.raises(ConfigError) as caught:
            call(tiny_run, photos, *words)
        assert (contents(photos.parent), contents(tiny_run)) == before
        return str(caught.value)

    return run


def test_a_folder_of_pictures_takes_no_pictures(refused: Callable[..., str], photos: Path) -> None:
    for option in ("--save-pictures", "--attention"):
        line = refused(option, photos / ".." / "photos")
        assert "a picture to caption lies there" in line and option in line


def test_no_output_is_an_input(refused: Callable[..., str], tiny_run: Path, photos: Path) -> None:
    link = photos.parent / "res.json"
    link.symlink_to(photos / "0.png")
    assert "would overwrite a picture to caption" in refused("--output", link)
    link.unlink()
    link.symlink_to(tiny_run / "checkpoints" / "best.ckpt")
    assert "would overwrite the checkpoint" in refused("--output", link)
    assert "would overwrite a file of the run" in refused("--gallery", tiny_run / "config.yaml")
    assert "ends like a picture" in refused("--output", photos / "0.png")
    page = photos.parent / "page"
    assert "would overwrite what --output writes" in refused("--output", page, "--gallery", page)


def test_one_picture_that_cannot_be_written_is_a_line(call: Call, tiny_run: Path, photos: Path, tmp_path: Path) -> None:
    (photos / "0.png").rename(photos / f"{'a' * 251}.png")
    out = tmp_path / "out"
    (out / "1.png").mkdir(parents=True)  # in its place
    said = call(tiny_run, photos, "--save-pictures", out, "--output", tmp_path / "res.json")
    assert said.status == 1
    assert len([line for line in said.err.splitlines() if line.startswith("error: cannot write")]) == 1
    assert sorted(path.name for path in out.iterdir()) == ["1.png", "2.png", f"{'a' * 251}.png"]
    assert len(json.loads((tmp_path / "res.json").read_text())) == 3


def test_temporaries_of_a_killed_command_go(call: Call, tiny_run: Path, photos: Path, tmp_path: Path) -> None:
    code = "import os, sys, showtell.files as f; c = f.atomic_write(sys.argv[1]); c.__enter__(); os._exit(1)"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src")}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "out" / "0.png")], env=environment)
    assert len(list((tmp_path / "out").iterdir())) == 1
    assert call(tiny_run, photos / "0.png", "--save-pictures", tmp_path / "out").status == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["0.png"]


def test_links_in_a_circle_are_one_line(call: Call, tiny_run: Path, photos: Path, tmp_path: Path) -> None:
    loop = tmp_path / "loop.ckpt"
    loop.symlink_to(loop)
    with pytest.raises(UserError, match=r"loop\.ckpt"):
        call(loop, photos)
    with pytest.raises(UserError, match="loop"):
        call(tiny_run, photos, "--save-pictures", loop)
