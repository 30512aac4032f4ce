"""`predict.py CKPT PICTURES`: lines, result file, captioned pictures."""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from tests.prediction.conftest import Said, load

from showtell.config import ConfigError

Call = Callable[..., Said]


def test_a_line_per_picture(call: Call, tiny_run: Path, tiny_coco: Path) -> None:
    said = call(tiny_run, tiny_coco / "val", "--beam", 3, "--num-captions", 2)
    lines = [line.split("\t") for line in said.out.splitlines()]
    assert [Path(line[0]).name for line in lines] == sorted(path.name for path in (tiny_coco / "val").iterdir())
    assert all(len(line) == 3 and all(line) for line in lines)
    assert said.status == 0


def test_a_bad_argument_costs_one_line_and_status_1(call: Call, tiny_run: Path, tiny_coco: Path) -> None:
    picture = next((tiny_coco / "val").iterdir())
    said = call(tiny_run / "checkpoints/last.ckpt", picture, "nothing.jpg")
    assert (said.status, len(said.out.splitlines())) == (1, 1)
    assert said.err.startswith("skipped: nothing.jpg")


def test_names_without_numbers_are_told_apart_by_file_name(
    call: Call, tiny_run: Path, tiny_coco: Path, tmp_path: Path
) -> None:
    picture = next((tiny_coco / "val").iterdir())
    (tmp_path / "cat.jpg").write_bytes(picture.read_bytes())
    call(tiny_run, tmp_path / "cat.jpg", picture, "--output", tmp_path / "res.json")
    found = load(tmp_path / "res.json")
    assert [(e["image_id"], e["file_name"]) for e in found] == [(1, "cat.jpg"), (2, picture.name)]
    call(tiny_run, picture, "--output", tmp_path / "res.json")
    (entry,) = load(tmp_path / "res.json")
    assert entry == {"image_id": int(picture.stem[-12:]), "caption": entry["caption"]}


def test_pictures_with_captions_are_saved(call: Call, tiny_run: Path, tiny_coco: Path, tmp_path: Path) -> None:
    picture = next((tiny_coco / "val").iterdir())
    call(tiny_run, picture, "--save-pictures", tmp_path / "cards")
    with Image.open(tmp_path / "cards" / f"{picture.stem}.png") as card:
        assert card.width == 480


def test_pictures_of_one_name_are_saved_under_names_of_their_own(
    call: Call, tiny_run: Path, tiny_coco: Path, tmp_path: Path
) -> None:
    picture = next((tiny_coco / "val").iterdir())
    files = [tmp_path / folder / "dog.jpg" for folder in ("a", "b", "c/a")]
    for file in files:
        file.parent.mkdir(parents=True)
        file.write_bytes(picture.read_bytes())
    call(tiny_run, *files, picture, "--save-pictures", tmp_path / "cards")
    names = {f"{name}.png" for name in ("a_dog", "b_dog", "c_a_dog", picture.stem)}
    assert {path.name for path in (tmp_path / "cards").iterdir()} == names
    with pytest.raises(ConfigError, match="--attention and --save-pictures would write the same files"):
        call(tiny_run, picture, "--save-pictures", tmp_path / "cards", "--attention", tmp_path / "a/../cards")


def test_pictures_of_one_name_are_told_apart_in_every_output(
    call: Call, tiny_run: Path, tiny_coco: Path, tmp_path: Path
) -> None:
    for folder, picture in zip(("a", "b"), (tiny_coco / "val").iterdir(), strict=False):
        (tmp_path / "in" / folder).mkdir(parents=True)
        (tmp_path / "in" / folder / "x.jpg").write_bytes(picture.read_bytes())
    output, page = tmp_path / "res.json", tmp_path / "page.html"
    said = call(tiny_run, tmp_path / "in", "--recursive", "--output", output, "--gallery", page)
    assert [Path(line.split("\t")[0]).parts[-2:] for line in said.out.splitlines()] == [("a", "x.jpg"), ("b", "x.jpg")]
    assert [entry["file_name"] for entry in load(output)] == ["a/x.jpg", "b/x.jpg"]
    assert '"name":"a/x.jpg"' in page.read_text() and '"name":"b/x.jpg"' in page.read_text()


def test_all_captions_that_were_asked_for_are_in_every_output(
    call: Call, tiny_run: Path, tiny_coco: Path, tmp_path: Path
) -> None:
    picture = next((tiny_coco / "val").iterdir())
    heights = {}
    for count in (1, 2):
        words = ["--output", tmp_path / "res.json", "--save-pictures", tmp_path / "cards"]
        said = call(tiny_run, picture, "--beam", 3, "--num-captions", count, *words)
        (entry,) = load(tmp_path / "res.json")
        assert entry.get("captions", [entry["caption"]]) == said.out.rstrip("\n").split("\t")[1:]
        with Image.open(tmp_path / "cards" / f"{picture.stem}.png") as card:
            heights[count] = card.height
    assert heights[2] > heights[1]


def test_a_decoder_without_attention_is_refused_before_it_captions(
    call: Call, tiny_run: Path, tiny_coco: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match="decoder=lstm attends to nothing; train with decoder=attention"):
        call(tiny_run, tiny_coco / "val", "--attention", tmp_path / "looked")
    assert capsys.readouterr().out == ""


def test_sampling_repeats_with_its_seed(call: Call, tiny_run: Path, tiny_coco: Path) -> None:
    words = (tiny_run, tiny_coco / "val", "--temperature", 2, "--num-captions", 3)
    first = call(*words, "--seed", 4).out
    assert call(*words, "--seed", 4, "--batch-size", 2).out == first
    assert call(*words, "--seed", 5).out != first


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_one_line(call: Call, tiny_run: Path, tiny_coco: Path) -> None:
    with pytest.raises(ConfigError, match="--device cuda: this machine has no usable GPU; use --device cpu or auto"):
        call(tiny_run, tiny_coco / "val", "--device", "cuda")


def test_what_the_terminal_cannot_show_does_not_end_the_rest(
    call: Call, tiny_run: Path, tiny_coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.jpg", "bébé.jpg", "c.jpg"):
        (tmp_path / name).write_bytes(next((tiny_coco / "val").iterdir()).read_bytes())
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="ascii"))
    assert call(tiny_run, tmp_path, "--output", tmp_path / "res.json").status == 0
    sys.stdout.flush()
    names = [Path(line.split("\t")[0]).name for line in shown.getvalue().decode("ascii").splitlines()]
    assert names == ["a.jpg", "b?b?.jpg", "c.jpg"]
    assert [entry["file_name"] for entry in load(tmp_path / "res.json")] == ["a.jpg", "bébé.jpg", "c.jpg"]


@pytest.mark.slow
def test_ctrl_c_is_one_line_that_says_what_is_written(tiny_run: Path, tiny_coco: Path, tmp_path: Path) -> None:
    """With loader processes, which get the signal too."""
    files = [tmp_path / f"{number}.jpg" for number in range(200)]
    for file in files:
        file.write_bytes(next((tiny_coco / "val").iterdir()).read_bytes())
    words = [tiny_run, tmp_path, "--output", tmp_path / "res.json", "--save-pictures", tmp_path / "cards"]
    command = [sys.executable, "predict.py", *map(str, words), "--batch-size", "2"]
    pipe, root = subprocess.PIPE, Path(__file__).resolve().parents[2]
    with subprocess.Popen(command, cwd=root, stdout=pipe, stderr=pipe, text=True, start_new_session=True) as running:
        assert running.stdout is not None
        for _ in range(2):
            assert running.stdout.readline().count("\t") == 1
        os.killpg(running.pid, signal.SIGINT)
        _, said = running.communicate()
    assert running.returncode == 130
    last = f"stopped: not written: {tmp_path}/res.json; pictures finished so far: {tmp_path}/cards"
    assert said.splitlines()[-1] == last and "Traceback" not in said
    with Image.open(tmp_path / "cards/0.png") as card:
        card.load()
