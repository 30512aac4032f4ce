"""`predict.py RUN --pack FILE.zip`: what travels, that it captions as its run does, and what it says of itself."""

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tests.conftest import merged
from tests.prediction.conftest import Said

import showtell
from showtell.checkpointing.io import load_checkpoint
from showtell.config import parse
from showtell.errors import UserError
from showtell.sharing.pack import pack, without_folders
from showtell.training.train import train

Call = Callable[..., Said]


def members(file: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def about(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(members(file)["model.json"])
    return found


@pytest.mark.parametrize("name", ["shapes", "tiny"])
def test_a_pack_alone_captions_as_its_run_does(name, request, tmp_path, tiny_coco, shapes_run):
    run, alone = request.getfixturevalue(f"{name}_run"), tmp_path / "captioner.zip"
    shutil.copy(request.getfixturevalue(f"{name}_pack"), alone)
    pictures = [*sorted((tiny_coco / "val").iterdir())[:3], Image.new("RGB", (90, 50), "red")]
    expected, found = (showtell.load(file, "cpu").caption(pictures) for file in (run, alone))
    assert [one.hypotheses for one in found] == [one.hypotheses for one in expected]
    assert all(one.hypotheses[0].word_log_probs for one in found)  # not only words are compared


def test_the_weights_are_those_of_the_checkpoint(tiny_run, tiny_pack):
    from showtell.checkpointing.stored import load_model

    state = load_checkpoint(tiny_run / "checkpoints/best.ckpt")["state_dict"]
    packed = load_model(tiny_pack)
    travelled = torch.load(tiny_run / "checkpoints/encoder.pt", weights_only=True)
    for name, value in packed.decoder.items():
        assert torch.equal(value, state[f"decoder.{name}"])
    assert packed.encoder is not None and packed.encoder.keys() == travelled.keys()
    assert all(torch.equal(value, packed.encoder[name]) for name, value in travelled.items())


def test_only_what_does_not_install_is_packed(shapes_pack, tiny_pack):
    assert "encoder.safetensors" in members(tiny_pack) and "encoder.safetensors" not in members(shapes_pack)
    assert shapes_pack.stat().st_size < 400_000


def test_the_same_run_gives_the_same_bytes(shapes_run, shapes_pack, tmp_path):
    pack(shapes_run, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == shapes_pack.read_bytes()


def test_several_packs_are_an_ensemble(call: Call, tiny_run, tiny_pack, tiny_coco, tmp_path):
    shutil.copy(tiny_pack, other := tmp_path / "other.zip")
    picture = next((tiny_coco / "val").iterdir())
    alone, together = call(tiny_run, picture), call(tiny_pack, other, picture)
    assert (together.status, together.out) == (0, alone.out)  # the mean of two equal ones


def test_it_says_what_it_is(shapes_run, shapes_pack):
    captioner = str(showtell.load(shapes_pack, "cpu"))
    own = str(showtell.load(shapes_run, "cpu"))
    assert captioner.splitlines()[1:] == own.splitlines()[1:] and "after epoch 1" in captioner


def test_model_json_has_settings_scores_with_intervals_and_licences(shapes_pack, shapes_run):
    found = about(shapes_pack)
    assert found["pack"] == 1 and found["config"]["decoder"]["name"] == "attention"
    (validation,) = found["scores"]
    cider = validation["scores"]["cider"]
    assert cider["low"] <= cider["value"] <= cider["high"] and "8 pictures" in validation["on"]
    status = json.loads((shapes_run / "status.json").read_text())
    assert cider["value"] == pytest.approx(status["metrics"]["val/cider"], abs=1e-6)
    assert found["licences"] == {
        "encoder": "efficientnet_lite0 (imagenet): Apache 2.0",
        "data": "drawn by Showtell: MIT",
    }


def test_nothing_tells_of_the_machine(tiny_pack, tiny_coco):
    for name in ("model.json", "README.md"):
        text = members(tiny_pack)[name].decode()
        assert str(tiny_coco.parent) not in text and str(Path.home()) not in text
    assert about(tiny_pack)["config"]["data"]["root"] == "tiny_coco"


def test_folders_are_left_out_of_settings():
    assert without_folders({"a": ["/home/x/y.pt", "b/c", 1, None], "d": {"e": "~/z"}}) == {
        "a": ["y.pt", "b/c", 1, None], "d": {"e": "z"}
    }  # fmt: skip


def test_the_card_tells_and_shows(shapes_pack, tiny_pack):
    found = members(shapes_pack)
    card = found["README.md"].decode()
    assert card.startswith("---\nlibrary_name: showtell\n")
    for told in ("decoder.name=attention", "| CIDEr | ", "Apache 2.0", "![", "examples/4.jpg", "training.max_epochs=1"):
        assert told in card
    assert found["examples/1.jpg"].startswith(b"\xff\xd8")
    other = members(tiny_pack)
    assert not [name for name in other if name.startswith("examples")]
    assert "not ours to pass on" in other["README.md"].decode() and "random numbers" in other["README.md"].decode()


@pytest.mark.slow
def test_finetuned_blocks_travel(tiny_overrides, tiny_run, tmp_path, tiny_coco):
    sections = {"encoder": {"finetune_blocks": 1}, "features": {"mode": "off"}, "training": {"max_epochs": 1}}
    run = tmp_path / "run"
    train(parse(merged(tiny_overrides, **sections, init_from=str(tiny_run))), run)
    pack(run, tmp_path / "tuned.zip")
    picture = next((tiny_coco / "val").iterdir())
    expected, found = (showtell.load(file, "cpu").caption(picture) for file in (run, tmp_path / "tuned.zip"))
    assert found[0].hypotheses == expected[0].hypotheses


def test_training_starts_from_a_pack(tiny_overrides, tiny_pack, tmp_path):
    train(parse(merged(tiny_overrides, training={"max_epochs": 1}, init_from=str(tiny_pack))), tmp_path / "run")
    assert (tmp_path / "run/checkpoints/best.ckpt").is_file()


def test_it_is_written_and_told(call: Call, tiny_run, tmp_path):
    said = call(tiny_run, "--pack", tmp_path / "x.zip")
    assert (said.status, said.err) == (0, "")
    assert said.out.startswith(f"written: {tmp_path / 'x.zip'} (") and "the encoder's weights are in it" in said.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["RUN", "--pack", "x"], "--pack x: a pack is a zip file; name it x.zip"),
        (["RUN", "dog.jpg", "--pack", "x.zip"], "dog.jpg: --pack captions nothing; leave pictures out"),
        (["RUN", "--pack", "x.zip", "--beam", "5"], "--beam has no effect with --pack; leave it out"),
        (["RUN", "--pack", "x.zip", "--gallery", "p.html"], "--gallery has no effect with --pack; leave it out"),
        (["RUN", "PACK", "--pack", "x.zip"], "--pack x.zip: a pack holds one model"),
        (["PACK", "--pack", "x.zip"], "is a pack already"),
        (["no.zip", "--pack", "x.zip"], "cannot read the pack no.zip: No such file"),
    ],
)
def test_what_makes_no_sense_is_one_line(call: Call, words, message, tiny_run, tiny_pack, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {"RUN": tiny_run, "PACK": tiny_pack}
    with pytest.raises(UserError) as caught:
        call(*(given.get(word, word) for word in words))
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "x.zip").exists()
