"""`decoder=prefix` from a language model's folder to captions: trained, resumed, used where the folder is not."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tests.tiny_language_model import write_language_model

import showtell
from showtell.config import Config, ConfigError, parse
from showtell.data.settings import ShapesDataConfig
from showtell.data.shapes import ensure_shapes
from showtell.run import Run
from showtell.sharing.export.folder import write_model
from showtell.sharing.pack import pack
from showtell.training.train import train

pytest.importorskip("transformers")
MakeConfig = Callable[..., Config]


@pytest.mark.parametrize(
    "tune", [pytest.param(True, id="tuned", marks=pytest.mark.slow), pytest.param(False, id="frozen")]
)
def test_a_resume_is_exact_and_the_checkpoint_alone_captions(
    tune: bool, tiny_config: MakeConfig, tiny_coco: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = json.loads((tiny_coco / "annotations" / "captions_train.json").read_text())["annotations"]
    folder = write_language_model(tmp_path / "language", [one["caption"] for one in said])
    decoder = {
        "name": "prefix",
        "model": str(folder),
        "tune": tune,
        "prefix_length": 3,
        "embedding_size": 256,
        "hidden_size": 16,
    }

    def config(epochs: int, **further: object) -> Config:
        training = {"max_epochs": epochs, "learning_rate": 0.01}
        return tiny_config(decoder=decoder, training=training, decoding={"method": "beam", "beam_size": 2}, **further)

    whole, parts = Run(tmp_path / "whole"), Run(tmp_path / "parts")
    train(config(2), whole.directory)
    train(config(1), parts.directory)
    before = torch.load(parts.last, weights_only=True)["state_dict"]
    shutil.rmtree(folder)  # neither a resume nor a captioner wants it again
    train(config(2, resume=str(parts.directory)), parts.directory)
    first, second = (torch.load(run.last, weights_only=True)["state_dict"] for run in (whole, parts))
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    moved = {name.split(".")[1] for name, value in first.items() if not torch.equal(value, before[name])}
    assert moved == ({"read", "place", "write", "language"} if tune else {"read", "place", "write"})
    picture = next((tiny_coco / "val").iterdir())
    (found,) = showtell.load(whole.directory).caption([picture])
    assert found.captions[0] and "Ġ" not in found.captions[0]
    pack(whole.directory, tmp_path / "packed.zip")
    (same,) = showtell.load(tmp_path / "packed.zip").caption([picture])
    assert (same.captions, same.hypotheses) == (found.captions, found.hypotheses)
    if tune:
        pytest.importorskip("onnxruntime")
        from tests.sharing.test_onnx import BEAM, GREEDY, assert_same

        captioner = showtell.load(whole.directory)
        captioner.encoder.precision = "float32"
        (onnx := tmp_path / "onnx").mkdir()
        write_model(captioner, GREEDY, onnx, quantized=False)
        assert "note:" not in capsys.readouterr().err  # it joins its tokens to the letter
        assert_same(captioner, onnx, sorted((tiny_coco / "val").iterdir()), GREEDY, BEAM)
    else:
        assert train(config(1, init_from=str(whole.directory)), tmp_path / "second") >= 0


def test_bpe_beside_it_is_refused(tiny_config: MakeConfig) -> None:
    with pytest.raises(ConfigError, match=r"vocab.tokenizer=bpe: decoder=prefix cuts words by its own"):
        tiny_config(decoder={"name": "prefix", "embedding_size": 256}, vocab={"tokenizer": "bpe"})


@pytest.mark.slow
def test_captions_of_the_embedded_scenes_are_true(main: Callable[..., Path], tmp_path: Path) -> None:
    """From random weights, the language model's too; docs/words.md has the figure."""
    config = parse({"data": {"format": "shapes", "root": str(tmp_path / "shapes")}})
    assert isinstance(config.data, ShapesDataConfig)
    ensure_shapes(tmp_path / "shapes", config.data.shapes)
    said = json.loads((tmp_path / "shapes" / "annotations" / "captions_train.json").read_text())["annotations"]
    folder = write_language_model(tmp_path / "language", [one["caption"] for one in said], size=128, heads=4)
    run = main(
        "experiment=demo", "decoder=prefix", f"decoder.model={folder}", "decoder.tune=true", "decoder.regions=true",
        "decoder.prefix_length=1", "training.learning_rate=2e-3", "training.warmup_steps=50", "training.max_epochs=5",
        "training.monitor=val/true", "training.monitor_mean=1",
        f"data.root={tmp_path / 'shapes'}", f"cache={tmp_path / 'cache'}", "device=cpu",
    )  # fmt: skip
    status = Run(run).status()
    assert status is not None and status.best is not None and status.best >= 0.8
