"""`vocab.tokenizer=bpe` from captions to captions: trained, resumed, continued, scored, used from the checkpoint."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.conftest import merged
from tests.small_settings import DECODERS

import showtell
from showtell.checkpointing.io import load_checkpoint
from showtell.checkpointing.resume import ResumeError
from showtell.config import Config, ConfigError, parse
from showtell.data.shards.command import Limits, write_shards
from showtell.evaluation.sums import load_statistics
from showtell.run import Run
from showtell.sharing.export.folder import write_model
from showtell.sharing.pack import pack
from showtell.text import tokenizer_of
from showtell.training.data_module import CaptionDataModule
from showtell.training.train import train

MakeConfig = Callable[..., Config]
BPE = {"tokenizer": "bpe", "size": 100, "threshold": 20}  # some words stay in pieces
BEAM = {"method": "beam", "beam_size": 3}


@pytest.fixture(scope="module")
def whole(tiny_overrides: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Run:
    training = {"max_epochs": 3, "learning_rate": 0.03}
    run = Run(tmp_path_factory.mktemp("runs") / "bpe")
    train(
        parse(merged(tiny_overrides, vocab=BPE, decoding=BEAM, decoder={"name": "attention"}, training=training)),
        run.directory,
    )
    return run


def test_captions_and_scores_are_of_words(whole: Run) -> None:
    words = load_checkpoint(whole.best)["showtell"]["vocabulary"]
    assert any(word.startswith("##") for word in words)
    captions = (whole.predictions / "captions_val.json").read_text()
    assert "##" not in captions
    kept = load_statistics(whole.statistics("val"))
    assert kept is not None and "tok:ptb" in kept.signature


def test_a_resume_is_exact_and_another_size_is_refused(whole: Run, tiny_config: MakeConfig, tmp_path: Path) -> None:
    told = {"vocab": BPE, "decoding": BEAM, "decoder": {"name": "attention"}}
    training = {"learning_rate": 0.03}
    train(tiny_config(**told, training={**training, "max_epochs": 1}), tmp_path)
    with pytest.raises(ResumeError, match=r"vocab.size"):
        train(tiny_config(**told | {"vocab": {**BPE, "size": 101}}, resume=str(tmp_path)), tmp_path)
    train(tiny_config(**told, training={**training, "max_epochs": 3}, resume=str(tmp_path)), tmp_path)
    first, second = (torch.load(run.last, weights_only=True) for run in (whole, Run(tmp_path)))
    assert all(torch.equal(value, second["state_dict"][name]) for name, value in first["state_dict"].items())
    assert first["showtell"]["tokenizer"] == second["showtell"]["tokenizer"] != ""


def test_the_checkpoint_alone_captions(
    whole: Run, tiny_coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)  # nobody needs the library who only captions
    shutil.copytree(whole.checkpoints, tmp_path / "checkpoints")
    picture = next((tiny_coco / "val").iterdir())
    (found,) = showtell.load(tmp_path / "checkpoints" / "best.ckpt").caption([picture])
    assert found.captions[0] and "##" not in found.captions[0]


def test_a_second_stage_goes_on_with_the_same_pieces(whole: Run, tiny_config: MakeConfig, tmp_path: Path) -> None:
    told = {"vocab": BPE, "objective": {"name": "self_critical"}, "training": {"max_epochs": 1}}
    train(tiny_config(**told, init_from=str(whole.directory), decoder={"name": "attention"}), tmp_path)
    first, second = (load_checkpoint(run.last)["showtell"] for run in (whole, Run(tmp_path)))
    assert first["tokenizer"] == second["tokenizer"] and first["vocabulary"] == second["vocabulary"]


def test_shards_give_the_same_pieces(
    whole: Run, tiny_config: MakeConfig, tiny_overrides: dict[str, Any], tmp_path: Path
) -> None:
    write_shards(tiny_config(vocab=BPE).data, tmp_path / "shards", Limits(9, 1, 0), tmp_path / "cache")
    data = {"name": "shards", "format": "shards", "root": str(tmp_path / "shards"), "num_workers": 0}
    streamed = merged({**tiny_overrides, "data": data, "cache": str(tmp_path / "cache")}, vocab=BPE)
    found = CaptionDataModule(parse(merged(streamed, features={"mode": "off"}))).vocabulary
    assert found.words == load_checkpoint(whole.last)["showtell"]["vocabulary"]


@pytest.mark.slow
@pytest.mark.parametrize("name", DECODERS)
def test_each_decoder(name: str, tiny_config: MakeConfig, tiny_coco: Path, tmp_path: Path) -> None:
    """Trained at once or resumed, to the bit; captions of the checkpoint, of a pack and of its ONNX files."""
    told = {"vocab": BPE, "decoding": BEAM, "decoder": {"name": name}, "features": {"precision": "float32"}}
    whole, parts = Run(tmp_path / "whole"), Run(tmp_path / "parts")
    train(tiny_config(**told, training={"learning_rate": 0.03, "max_epochs": 2}), whole.directory)
    train(tiny_config(**told, training={"learning_rate": 0.03, "max_epochs": 1}), parts.directory)
    resumed = {"learning_rate": 0.03, "max_epochs": 2}
    train(tiny_config(**told, training=resumed, resume=str(parts.directory)), parts.directory)
    first, second = (torch.load(run.last, weights_only=True)["state_dict"] for run in (whole, parts))
    assert all(torch.equal(value, second[key]) for key, value in first.items())
    captioner, picture = showtell.load(whole.directory), next((tiny_coco / "val").iterdir())
    (found,) = captioner.caption(picture)
    pack(whole.directory, tmp_path / "packed.zip")
    assert showtell.load(tmp_path / "packed.zip").caption(picture) == [found]
    pytest.importorskip("onnxruntime")
    from showtell.sharing.export.caption import Captioner as Exported

    (folder := tmp_path / "onnx").mkdir()
    write_model(captioner, captioner.configs[0].decoding, folder, quantized=False)
    assert [one.text for one in Exported(folder).caption(picture)] == list(found.captions)


def test_settings_of_bpe_without_it_are_refused(tiny_config: MakeConfig) -> None:
    with pytest.raises(ConfigError, match=r"vocab.size=500 has no effect with vocab.tokenizer=nltk"):
        tiny_config(vocab={"size": 500})
    assert tokenizer_of(tiny_config(vocab=BPE).vocab).content == ""
