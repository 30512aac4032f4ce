import random
from pathlib import Path

import pytest
import torch

from showtell.checkpointing import archive
from showtell.checkpointing.archive import CheckpointError, DamagedError
from showtell.checkpointing.io import (
    FORMAT_VERSION,
    load_checkpoint,
    newest_good_checkpoint,
    save_checkpoint,
)
from showtell.checkpointing.last import VerifiedCheckpointIO


def content(step: int = 3) -> dict:
    return {
        "global_step": step,
        "state_dict": {"w": torch.arange(40.0).reshape(8, 5), "h": torch.ones(3).half(), "b": torch.tensor([True])},
        "optimizer_states": [{"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}],
        "showtell": {"vocabulary": ["<start>", "é", "\U0001f600"], "config": {"seed": 1, "x": None, "t": (1, 2)}},
    }


@pytest.fixture
def good(tmp_path) -> Path:
    save_checkpoint(content(), tmp_path / "last.ckpt")
    return tmp_path / "last.ckpt"


def refused(path, kind=CheckpointError) -> str:
    with pytest.raises(kind) as caught:
        load_checkpoint(path)
    text = str(caught.value)
    assert "\n" not in text and Path(path).name in text
    return text


def test_round_trip(good):
    loaded = load_checkpoint(good)
    assert loaded["showtell"] == {**content()["showtell"], "format": FORMAT_VERSION}
    assert torch.equal(loaded["state_dict"]["w"], content()["state_dict"]["w"])


def test_plain_torch_can_load_it(good):
    assert torch.load(good, weights_only=True)["global_step"] == 3


def test_lightning_hook(good, tmp_path):
    hook = VerifiedCheckpointIO()
    hook.save_checkpoint(content(5), tmp_path / "deep" / "a.ckpt")
    assert hook.load_checkpoint(tmp_path / "deep" / "a.ckpt", weights_only=False)["global_step"] == 5
    hook.remove_checkpoint(good)
    hook.remove_checkpoint(good)
    assert not good.exists()
    with pytest.raises(TypeError):
        hook.save_checkpoint({}, good, storage_options={})


def test_what_cannot_be_loaded_safely_is_not_written(good):
    before = good.read_bytes()
    with pytest.raises(CheckpointError, match="pathlib"):
        save_checkpoint({"path": Path("/tmp")}, good)
    assert good.read_bytes() == before
    assert [path.name for path in good.parent.iterdir()] == ["last.ckpt"]


def flips(data: bytes, number: int) -> set[int]:
    generator = random.Random(0)
    edges = [*range(0, 64 * 8, 37), *range((len(data) - 120) * 8, len(data) * 8, 7)]
    return {*edges, *(generator.randrange(len(data) * 8) for _ in range(number))}


@pytest.mark.parametrize("third", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["some", "each third"])
def test_every_flipped_bit_is_noticed(good, third):
    data = good.read_bytes()
    positions = range(0, len(data) * 8, 3) if third else flips(data, 300)
    assert len(positions) > 300
    for bit in positions:
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        good.write_bytes(broken)
        refused(good)


def test_every_truncation_is_noticed(good):
    data = good.read_bytes()
    for length in sorted({0, 1, len(data) - 1, *(random.Random(1).randrange(len(data)) for _ in range(200))}):
        good.write_bytes(data[:length])
        refused(good)


def test_messages_tell_apart(good, tmp_path):
    data = good.read_bytes()
    good.write_bytes(data[: len(data) // 2])
    assert "torn" in refused(good, DamagedError)
    good.write_bytes(data[:2000] + b"\xff" + data[2001:])
    assert "rotten" in refused(good, DamagedError)
    good.write_bytes(b"")
    assert "empty" in refused(good, DamagedError)
    good.write_bytes(b"hello")
    assert "not a checkpoint file of Showtell" in refused(good)
    torch.save(content()["state_dict"], good)
    assert "bare state_dict" in refused(good)
    torch.save({"state_dict": {}, "pytorch-lightning_version": "2.6.6"}, good)
    assert "another program" in refused(good)
    torch.save({**content(), "showtell": {"format": FORMAT_VERSION}}, good)
    assert "lost its checksum" in refused(good, DamagedError)
    assert "No such file or directory; pass a run" in refused(tmp_path / "missing.ckpt")


@pytest.mark.parametrize(
    ("number", "words"), [(99, "upgrade"), (0, "unknown format"), (None, "unknown"), ("1", "unknown")]
)
def test_other_formats(tmp_path, monkeypatch, number, words):
    monkeypatch.setattr("showtell.checkpointing.io.FORMAT_VERSION", number)
    save_checkpoint(content(), tmp_path / "a.ckpt")
    monkeypatch.undo()
    assert words in refused(tmp_path / "a.ckpt")


def test_older_format(good, monkeypatch):
    monkeypatch.setattr("showtell.checkpointing.io.FORMAT_VERSION", 2)
    assert "old format 1" in refused(good)


def test_broken_pickle_inside_an_intact_archive(good, monkeypatch):
    name = str(good)
    with pytest.raises(DamagedError, match="pickle is broken"):
        archive.check_globals(b"\x80\x02}q", name)


def test_the_newest_good_one_is_taken(tmp_path):
    for step in (10, 30, 20):
        save_checkpoint(content(step), tmp_path / f"step{step}.ckpt")
    save_checkpoint(content(40), tmp_path / "last.ckpt")
    assert newest_good_checkpoint(tmp_path) == (tmp_path / "last.ckpt", [])
    for name in ("last", "step30"):
        path = tmp_path / f"{name}.ckpt"
        path.write_bytes(path.read_bytes()[:-100])
    path, lines = newest_good_checkpoint(tmp_path)
    assert path.name == "step20.ckpt"
    assert len(lines) == 2 and all("torn" in line for line in lines)
    for path in tmp_path.glob("*.ckpt"):
        path.write_bytes(b"")
    with pytest.raises(
        CheckpointError, match=r"no usable checkpoint \(4 unusable: [^;]*\); restore one, or start a new run$"
    ):
        newest_good_checkpoint(tmp_path)
