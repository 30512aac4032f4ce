"""Checkpoints that are older, newer, foreign or inconsistent: one line, code 2, from predict.py and train.py."""

import copy
import pickle
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.reliability.conftest import mostly_slow
from tests.reliability.test_resume import finished as finished  # the fixture
from tests.reliability.test_resume import one_line

from showtell.checkpointing import io


def metadata(**changes: Any) -> Callable[[dict[str, Any]], None]:
    def change(checkpoint: dict[str, Any]) -> None:
        for key, value in changes.items():
            if value is None:
                checkpoint["showtell"].pop(key)
            else:
                checkpoint["showtell"][key] = value

    return change


def setting(section: str, **changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda checkpoint: checkpoint["showtell"]["config"][section].update(changes)


def words(change: Callable[[list[str]], Any]) -> Callable[[dict[str, Any]], None]:
    return lambda checkpoint: metadata(vocabulary=change(checkpoint["showtell"]["vocabulary"]))(checkpoint)


def weight(act: Callable[[dict[str, torch.Tensor], str], Any]) -> Callable[[dict[str, Any]], None]:
    return lambda checkpoint: act(checkpoint["state_dict"], next(iter(checkpoint["state_dict"])))


# inconsistent inside, but whole, with a correct checksum
CONTENTS: dict[str, Callable[[dict[str, Any]], None]] = {
    "a word more": words(lambda words: [*words, "extra"]),
    "a word fewer": words(lambda words: words[:-1]),
    "a word twice": words(lambda words: [*words[:-1], words[0]]),
    "words that are numbers": words(lambda words: list(range(len(words)))),
    "no words": words(lambda _: []),
    "no special words": words(lambda words: ["x" + word for word in words]),
    "no vocabulary": metadata(vocabulary=None),
    "no configuration": metadata(config=None),
    "configuration is a list": metadata(config=[1]),
    "an unknown setting": setting("decoder", no_such_setting=1),
    "a setting of another type": setting("decoder", hidden_size="many"),
    "a setting out of range": setting("decoder", hidden_size=-5),
    "a setting that reads the environment": setting("training", monitor="${oc.env:HOME}"),
    "another hidden size": setting("decoder", hidden_size=17),
    "another decoder": setting("decoder", name="no_such_decoder"),
    "another encoder": setting("encoder", name="no_such_encoder"),
    "no encoder": metadata(encoder=None),
    "the encoder's hash is a number": metadata(encoder={"sha256": 1, "public": False}),
    "another feature shape": metadata(feature_shape=[3]),
    "a huge feature shape": metadata(feature_shape=[1 << 40]),
    "no feature shape": metadata(feature_shape=None),
    "a huge transform": metadata(
        transform={"size": 1 << 30, "interpolation": "bilinear", "mean": [0, 0, 0], "std": [1, 1, 1]}
    ),
    "no transform": metadata(transform=None),
    "a tensor is missing": weight(lambda state, name: state.pop(name)),
    "a tensor of another shape": weight(lambda state, name: state.update({name: torch.zeros(2)})),
    "a tensor too many": weight(lambda state, _: state.update({"decoder.extra": torch.zeros(2)})),
    "no weights": lambda checkpoint: checkpoint.pop("state_dict"),
}  # fmt: skip


def raw(path: Path, content: object) -> None:
    path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content))


def flipped(content: bytes) -> bytes:
    return content[:-200] + bytes([content[-200] ^ 1]) + content[-199:]


def turn_into_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def saved(path: Path, content: object) -> None:
    torch.save(content, path)


FILES: dict[str, Callable[[Path, dict[str, Any]], None]] = {
    "empty": lambda path, _: raw(path, b""),
    "text": lambda path, _: raw(path, b"not a checkpoint"),
    "half": lambda path, _: raw(path, path.read_bytes()[: path.stat().st_size // 2]),
    "a bit flipped": lambda path, _: raw(path, flipped(path.read_bytes())),
    "a raw pickle": lambda path, _: raw(path, {"a": 1}),
    "a bare state_dict": lambda path, checkpoint: saved(path, checkpoint["state_dict"]),
    "of another Lightning program": lambda path, _: saved(path, {"pytorch-lightning_version": "2.6.6"}),
    "a tensor": lambda path, _: saved(path, torch.zeros(3)),
    "saved again by torch": lambda path, checkpoint: saved(path, checkpoint),
    "a directory": lambda path, _: turn_into_directory(path),
}  # fmt: skip


def refused(forge, run_dir: Path, path: Path, picture: Path) -> None:
    """Both programs refuse the file."""
    shutil.rmtree(run_dir / "predictions")
    (run_dir / "checkpoints" / ("best.ckpt" if path.name == "last.ckpt" else "last.ckpt")).unlink()
    for job in (
        {"script": "predict.py", "argv": [str(path), str(picture)]},
        {"argv": [f"resume={run_dir}", "training.max_epochs=3", "hydra/job_logging=none"]},
    ):
        start = time.monotonic()
        assert forge.job(directory=str(run_dir.parent), **job) == 2, forge.said
        assert time.monotonic() - start < 60  # it is no hang; the time itself is measured elsewhere
        assert "ckpt" in one_line(forge) or "encoder" in one_line(forge) or "decoder" in one_line(forge)


@pytest.fixture
def run_dir(finished, tmp_path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.fixture
def picture(pictures) -> Path:
    return next((pictures / "val").glob("*.jpg"))


@pytest.mark.parametrize("name", mostly_slow(CONTENTS, 6))
def test_inconsistent(forge, run_dir, picture, name):
    path = run_dir / "checkpoints" / "last.ckpt"
    checkpoint = io.load_checkpoint(path)
    CONTENTS[name](checkpoint)
    io.save_checkpoint(checkpoint, path)
    refused(forge, run_dir, path, picture)


@pytest.mark.parametrize("name", mostly_slow(FILES, 4))
def test_foreign_or_damaged(forge, run_dir, picture, name):
    path = run_dir / "checkpoints" / "last.ckpt"
    FILES[name](path, io.load_checkpoint(path))
    refused(forge, run_dir, path, picture)


@pytest.mark.parametrize("number", mostly_slow([2, 0, 99, -1], 4))
def test_another_format(forge, run_dir, picture, number, monkeypatch):
    path = run_dir / "checkpoints" / "last.ckpt"
    checkpoint = copy.copy(io.load_checkpoint(path))
    monkeypatch.setattr(io, "FORMAT_VERSION", number)
    io.save_checkpoint(checkpoint, path)
    refused(forge, run_dir, path, picture)
    assert "format" in forge.said


@pytest.mark.slow
def test_encoder_of_another_model_beside_it(forge, run_dir, picture):
    torch.save({"a": torch.zeros(1)}, run_dir / "checkpoints" / "encoder.pt")
    argv = [str(run_dir / "checkpoints" / "best.ckpt"), str(picture)]
    assert forge.job(script="predict.py", argv=argv, directory=str(run_dir)) == 2, forge.said
    assert "encoder.pt" in one_line(forge)


def test_a_good_one_is_good(forge, run_dir, picture):
    argv = [str(run_dir / "checkpoints" / "best.ckpt"), str(picture)]
    assert forge.job(script="predict.py", argv=argv, directory=str(run_dir)) == 0, forge.said
