"""A network of each architecture family of timm on the whole way: stored features, attention, stop, resume, captions.

The names are those of the table in docs/encoders.md, which is compared with what they give; weights are random.
"""

import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.conftest import REPOSITORY

import showtell
from showtell.config import Config, ConfigError, parse
from showtell.models.decoders.attention import SoftAttentionDecoder
from showtell.models.encoders.base import build_encoder, find_backbone
from showtell.training.train import train

ROWS = {
    cells[0].strip("`"): cells[1:]
    for line in (REPOSITORY / "docs" / "encoders.md").read_text().splitlines()
    if re.match(r"\| `[a-z0-9_]+` \| \d+ \| \d+ x", line)
    for cells in [[cell.strip() for cell in line.strip("|").split("|")]]
}
ODD = ["pit_ti_224", "coat_lite_tiny", "efficientvim_m1", "mambaout_femto", "lambda_resnet26t"]
"""A class token alone, a class token that is not told, several answers, channels last, weights of five axes."""
SMALL = 96


def families(slow: bool) -> list[Any]:
    """In the default suite the odd ones."""
    return [pytest.param(name, marks=[pytest.mark.slow] if slow else []) for name in (ROWS if slow else ODD)]


def test_forty_families_are_in_the_table() -> None:
    from timm.models import _registry

    assert len({_registry._model_to_module[name] for name in ROWS}) >= 40 and set(ODD) <= set(ROWS)


@pytest.mark.parametrize("name", [*families(slow=False), *families(slow=True)])
def test_a_network_through_store_attention_resume_and_predict(
    name: str, tiny_config: Callable[..., Config], tiny_coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size, given = 84 if "patch14" in name else SMALL, ROWS[name][-1]
    if given == "refused":
        size, given = int(ROWS[name][0]), ROWS[name][1]
        with pytest.raises(ConfigError, match=rf"image_size={SMALL}: timm/{name} does not take .*=\d+, its own size$"):
            build_encoder(encoder(name, SMALL))
    rows, columns, features = map(int, given.split(" x "))
    assert build_encoder(encoder(name, size, "multi")).feature_shape() == (rows * columns, int(ROWS[name][2]))
    assert build_encoder(encoder(name, size, "average")).feature_shape() == (int(ROWS[name][3]),)

    sections: dict[str, Any] = {
        "encoder": {"name": f"timm/{name}", "weights": "none", "image_size": size, "pooling": "grid", "vector": "auto"},
        "decoder": {"name": "attention", "attention_size": 8, "region_size": 8},
        "training": {"max_epochs": 1, "sample_pictures": 1},
        "cache": str(tmp_path / "cache"),
    }
    run, told = tmp_path / "run", SoftAttentionDecoder.teacher_forced

    def stopping(self: SoftAttentionDecoder, *inputs: torch.Tensor) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return told(self, *inputs)

    with monkeypatch.context() as patch:
        patch.setattr(SoftAttentionDecoder, "teacher_forced", stopping)
        with pytest.raises(SystemExit):
            train(tiny_config(**sections), run)
    assert json.loads((run / "status.json").read_text())["state"] == "stopped"
    train(tiny_config(**sections, resume=str(run)), run)
    assert json.loads((run / "status.json").read_text())["state"] == "finished"
    captioner = showtell.load(run, "cpu")
    assert captioner.encoder.feature_shape == (rows * columns, features)
    assert captioner.caption(sorted((tiny_coco / "val").iterdir())[:1])[0].captions


def encoder(name: str, size: int, pooling: str = "grid") -> Any:
    decoder = "lstm" if pooling == "average" else "attention"
    values = {"name": f"timm/{name}", "weights": "none", "image_size": size, "pooling": pooling}
    return parse({"encoder": values, "decoder": {"name": decoder}}).encoder


def test_what_a_network_raises_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_head(self: Any, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    model = type(find_backbone(encoder("resnet10t", 64)).build().trunk.model)
    monkeypatch.setattr(model, "forward_head", no_head)
    with pytest.raises(ConfigError, match=r"^encoder.image_size=64: timm/resnet10t does not take"):
        build_encoder(encoder("resnet10t", 64, "average"))
    with pytest.raises(
        ConfigError, match=r"^encoder.name=timm/resnet10t does not run here \(NotImplementedError\); use"
    ):
        build_encoder(encoder("resnet10t", 0, "average"))
    assert build_encoder(encoder("resnet10t", 64)).feature_shape() == (4, 512)
