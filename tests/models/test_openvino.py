"""`features.backend=openvino`: what it says, under which key, and where it is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from showtell.config import Config, ConfigError
from showtell.models.encoders import openvino
from showtell.models.encoders.encoding import FastEncoder, FrozenEncoder
from showtell.training.train import train

LITE = {"name": "efficientnet_lite0", "weights": "imagenet", "image_size": 64}


def frozen(tiny_config: Callable[..., Config], pooling: str, backend: str, precision: str = "float32") -> FrozenEncoder:
    features = {"backend": backend, "precision": precision}
    return FrozenEncoder(tiny_config(encoder={**LITE, "pooling": pooling}, features=features))


@pytest.mark.parametrize(("pooling", "precision", "share"), [("cells", "float32", 1e-4), ("average", "bfloat16", 0.1)])
def test_it_says_what_torch_says_under_a_key_of_its_own(
    tiny_config: Callable[..., Config], pooling: str, precision: str, share: float
) -> None:
    pytest.importorskip("openvino")
    ours, theirs = (frozen(tiny_config, pooling, backend, precision) for backend in ("torch", "openvino"))
    pixels = torch.randn(11, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    expected = FastEncoder(ours.network, torch.device("cpu"), "float32")(pixels)
    encoder = theirs.at_work()
    assert not isinstance(encoder, FastEncoder)
    found = encoder(pixels)
    assert found.dtype == torch.float32 and tuple(found.shape[1:]) == encoder.feature_shape
    assert (found - expected).abs().max() < share * expected.abs().max()
    assert ours.fingerprint != theirs.fingerprint


def test_a_run_is_refused_in_one_line_where_it_is_not_installed(
    tiny_config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(openvino, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"^features.backend=openvino: OpenVINO is not installed; run `pip install"):
        train(tiny_config(features={"backend": "openvino"}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_gpu_computes_with_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino, "find_spec", lambda name: object())
    with pytest.raises(ConfigError, match=r"this run on cuda; use features\.backend=torch"):
        openvino.check_openvino(torch.device("cuda"))


def test_features_that_are_not_stored_have_no_backend(tiny_config: Callable[..., Config]) -> None:
    with pytest.raises(ConfigError, match=r"features\.backend"):
        tiny_config(features={"mode": "off", "backend": "openvino"})
