"""The check counts what is there and finds each thing that was put in to be found."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from showtell.config import DataConfig
from showtell.data.__main__ import main
from showtell.data.check import check, render


def draw(path: Path, size: tuple[int, int] = (100, 90), mode: str = "RGB", **options) -> None:
    Image.new(mode, size, "red" if mode == "RGB" else 0).save(path, **options)


def write(file: Path, names: list[str], caption: str) -> None:
    images = [{"id": number, "file_name": name} for number, name in enumerate(names)]
    annotations = [{"id": number, "image_id": number, "caption": caption} for number in range(len(names))]
    file.write_text(json.dumps({"images": images, "annotations": annotations}))


@pytest.fixture
def faulty(tmp_path) -> DataConfig:
    """Two good pictures, and one of each kind of trouble."""
    images = tmp_path / "images"
    images.mkdir()
    names = ["good.jpg", "gray.jpg", "long.jpg", "small.jpg", "cmyk.jpg", "turned.jpg"]
    draw(images / "good.jpg")
    draw(images / "gray.jpg", mode="L")
    draw(images / "long.jpg", (400, 90))
    draw(images / "small.jpg", (50, 50))
    draw(images / "cmyk.jpg", mode="CMYK")
    exif = Image.Exif()
    exif[0x0112] = 6
    draw(images / "turned.jpg", exif=exif)
    draw(images / "val.jpg")
    (images / "html.jpg").write_text("<html>")
    write(tmp_path / "captions_train.json", [*names, "html.jpg", "missing.jpg"], "a red cat .")
    write(tmp_path / "captions_val.json", ["val.jpg", "good.jpg"], "a blue cat")
    return DataConfig(
        name="custom", format="coco", root=str(tmp_path), train_images="images", val_images="images",
        train_annotations="captions_train.json", val_annotations="captions_val.json", bad_pictures="fail",
    )  # fmt: skip


def arguments(config: DataConfig) -> list[str]:
    return ["check", "data=custom", f"data.root={config.root}", "vocab.threshold=1"]


def test_each_trouble_is_found(faulty):
    report = check(faulty)
    found = report.train.decoded
    assert (report.train.pictures, report.train.captions, len(report.train.skipped)) == (7, 7, 1)
    assert len(found.unreadable) == 1 and "html.jpg" in found.unreadable[0]
    told = render(report).partition("val: ")[0]
    odd = [line.strip() for line in told.partition("  odd: 3\n")[2].splitlines()]
    assert [Path(line.split(": ")[0]).name for line in odd[:3]] == ["long.jpg", "small.jpg", "cmyk.jpg"]
    # black CMYK has no colour either
    assert "decoded: 4 JPEG RGB, 1 JPEG L, 1 JPEG CMYK; 2 gray, 1 rotated by EXIF" in told
    assert "sizes: 50 x 50 to 400 x 90 pixels" in told
    assert report.shared_pictures == 1 and not report.is_clean


def test_words_are_counted_on_training_captions(faulty):
    report = check(faulty, decode=False)
    rows = {row.threshold: row for row in report.vocabulary}
    assert report.train.lengths == {4: 7} and report.train.words["cat"] == 7
    assert (rows[1].words, rows[1].train_unknown, rows[10].words) == (3 + 4, 0, 3)
    assert rows[1].val_unknown == pytest.approx(1 / 3) and rows[8].train_unknown == 1


def test_command_reports_and_tells_by_its_status(faulty, capsys):
    assert main(arguments(faulty)) == 1
    output = capsys.readouterr().out
    for expected in (
        "train: 7 pictures, 7 captions",
        "html.jpg",
        "missing.jpg is not there",
        "both splits use 1 picture",
    ):
        assert expected in output
    write(Path(faulty.root) / "captions_train.json", ["gray.jpg"], "a cat")
    assert main(arguments(faulty)) == 0
    assert capsys.readouterr().out.endswith("Everything can be used.\n")
    assert main([*arguments(faulty), "vocab.threshold=7"]) == 1
    assert "warning: vocab.threshold=7 keeps 0 of 2 words" in capsys.readouterr().out


def test_fast_does_not_decode(faulty, capsys):
    write(Path(faulty.root) / "captions_train.json", ["html.jpg"], "a cat")
    assert main([*arguments(faulty), "--fast"]) == 0
    assert "decoded" not in capsys.readouterr().out


@pytest.mark.parametrize("wrong", [["check", "data=nowhere"], ["check", "data.root=nowhere"], ["chek"], []])
def test_what_cannot_be_checked_is_one_line_and_status_two(wrong, capsys):
    assert main(wrong) == 2
    output = capsys.readouterr()
    assert output.out == "" and output.err.count("\n") == 1


def test_histogram_counts_every_caption(faulty):
    content = json.loads((Path(faulty.root) / "captions_val.json").read_text())
    for number in range(300):
        content["annotations"].append({"image_id": 0, "caption": "cat " * (1 + number % 37)})
    (Path(faulty.root) / "captions_val.json").write_text(json.dumps(content))
    text = render(check(faulty, decode=False))
    block = text[text.index("val: ") : text.index("warning")].splitlines()
    counts = [int(line.split()[1]) for line in block if line.startswith("     ") and line.split()[0][0].isdigit()]
    assert sum(counts) == 302 and len(counts) <= 17


@pytest.mark.slow
def test_command_imports_no_hydra():
    code = "import sys, showtell.data.__main__; sys.exit('hydra' in sys.modules)"
    environment = {"PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    assert subprocess.run([sys.executable, "-c", code], env=environment, timeout=120).returncode == 0


def test_a_picture_in_both_splits_is_trouble_enough(faulty, capsys):
    for split in ("train", "val"):
        write(Path(faulty.root) / f"captions_{split}.json", ["good.jpg"], "a cat")
    assert main(arguments(faulty)) == 1
    assert "both splits use 1 picture" in capsys.readouterr().out


def test_histogram_keeps_the_longest_captions_apart(faulty):
    annotations = [{"image_id": 0, "caption": "cat " * (4 if number else 90)} for number in range(200)]
    content = {"images": [{"id": 0, "file_name": "val.jpg"}], "annotations": annotations}
    (Path(faulty.root) / "captions_val.json").write_text(json.dumps(content))
    lines = [line.split() for line in render(check(faulty, decode=False)).splitlines()]
    assert ["5+", "1"] in lines and ["4", "199", "#" * 40] in lines
