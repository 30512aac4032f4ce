"""`predict.py CKPT --annotations ...`: result file, scores, table."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from pycocotools.coco import COCO
from tests.prediction.conftest import Said, load

from showtell.config import ConfigError
from showtell.evaluation.metrics import score_captions

pytestmark = pytest.mark.usefixtures("no_java")
Call = Callable[..., Said]
Words = list[object]


def test_result_file_is_valid_for_the_evaluation_server(call: Call, tiny_run: Path, val: Words, tmp_path: Path) -> None:
    said = call(tiny_run, *val, "--output", tmp_path / "res.json")
    assert said.status == 0
    truth = COCO(str(val[1]))
    for file in (tmp_path / "res.json", tiny_run / "predictions/captions_val.json"):
        results = truth.loadRes(str(file))
        assert sorted(results.getImgIds()) == sorted(truth.getImgIds())
        assert all(set(entry) == {"image_id", "caption"} for entry in load(file))


def test_scores_are_those_of_the_captions(call: Call, tiny_run: Path, val: Words, tmp_path: Path) -> None:
    said = call(tiny_run, *val, "--beam", 3, "--output", tmp_path / "res.json")
    written = load(tmp_path / "res.scores.json")
    truth = COCO(str(val[1]))
    references = {i: [a["caption"] for a in truth.imgToAnns[i]] for i in truth.getImgIds()}
    expected = score_captions({e["image_id"]: e["caption"] for e in load(tmp_path / "res.json")}, references)
    assert written["scores"] == {k: v for k, v in expected.corpus.items() if k != "cider_d"}
    assert {p["image_id"]: p["cider"] for p in written["pictures"]} == {
        i: p["cider"] for i, p in expected.pictures.items()
    }
    assert written["decoding"]["beam_size"] == 3
    assert f"CIDEr {expected.corpus['cider']:.4f}" in " ".join(said.out.split())


def test_what_is_missing_is_a_note(call: Call, tiny_run: Path, val: Words, tmp_path: Path) -> None:
    said = call(tiny_run, *val, "--scores", tmp_path / "s.json")
    assert "note: METEOR left out: there is no `java` on the PATH" in said.err
    assert load(tmp_path / "s.json")["variety"]["novel"] is not None


def test_training_captions_that_moved_are_a_note(call: Call, tiny_config, val: Words, tmp_path: Path) -> None:
    from tests.conftest import draw_coco

    from showtell.training.train import train

    root = draw_coco(tmp_path / "moving", train=8, val=2)
    train(tiny_config(data={"root": str(root)}, training={"max_epochs": 1}), tmp_path / "run")
    shutil.rmtree(root)
    said = call(tmp_path / "run", *val, "--scores", tmp_path / "s.json")
    assert said.status == 0
    assert "note: share of new captions left out: the training captions are not at hand" in said.err
    assert load(tmp_path / "s.json")["variety"]["novel"] is None


def test_pictures_that_cannot_be_read_are_skipped_and_named(
    call: Call, tiny_run: Path, without_one: Words, tmp_path: Path
) -> None:
    said = call(tiny_run, *without_one, "--output", tmp_path / "res.json", "--gallery", tmp_path / "page.html")
    assert said.status == 1
    assert said.err.count("skipped: ") == 2
    assert len(load(tmp_path / "res.json")) == len(load(tmp_path / "res.scores.json")["pictures"]) == 4


def test_the_wrong_folder_is_one_line(call: Call, tiny_run: Path, val: Words, tiny_coco: Path) -> None:
    with pytest.raises(ConfigError, match=r"--images .*: no picture of .* can be read there; .*val_000000001001.jpg"):
        call(tiny_run, *val[:3], tiny_coco / "train")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--annotations", "a.json"], "--annotations: say with --images DIR where its pictures lie"),
        (["--annotations", "a.json", "--images", "."], "--annotations a.json: is not there"),
        (
            ["x.jpg", "--annotations", "a.json", "--images", "."],
            "x.jpg: with --annotations, pictures come from --images",
        ),
        (["x.jpg", "--scores", "s.json"], "--scores: nothing to score against; give --annotations FILE"),
        (["x.jpg", "--ensemble"], "--ensemble needs several checkpoints, and only one is named"),
        ([], "no picture is named; name pictures or folders after the checkpoint"),
    ],
)
def test_words_that_cannot_be_meant_are_one_line(call: Call, tiny_run: Path, words: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        call(tiny_run, *words)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)
