"""Weights of timm's networks: from the hub (here a server on the loopback address), from files of both kinds, none."""

import http.server
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from tests.loopback import serving
from torch import nn

from showtell.config import EncoderConfig, parse
from showtell.models.encoders.base import build_encoder
from showtell.models.encoders.weights import WeightsError

FAMILIES = ["test_resnet.r160_in1k", "test_vit.r160_in1k", "test_convnext.r160_in1k"]
PREDICTING = """
from showtell.config import parse
from showtell.errors import UserError
from showtell.models.encoders.base import build_encoder, find_weights
for name in ("test_vit.r160_in1k", "test_vit.r160_in1k", "test_resnet.r160_in1k"):
    config = parse({"encoder": {"name": f"timm/{name}", "weights": "published", "image_size": 96}}).encoder
    try:
        weights = find_weights(config)
        print(weights.public, build_encoder(config, weights).trunk.model.cls_token.sum().item())
    except UserError as error:
        print(error)
"""


def config(name: str, weights: object, size: int = 0, pooling: str = "average") -> EncoderConfig:
    values = {"name": f"timm/{name}", "weights": str(weights), "image_size": size, "pooling": pooling, "vector": "auto"}
    return parse({"encoder": values, "decoder": {"name": "lstm" if pooling == "average" else "attention"}}).encoder


def source(name: str) -> nn.Module:
    torch.manual_seed(5)
    return timm.create_model(name).eval()


def written(model: nn.Module, path: Path) -> Path:
    save_file(model.state_dict(), path) if path.suffix == ".safetensors" else torch.save(model.state_dict(), path)
    return path


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_file_at_its_own_and_at_another_size(name: str, suffix: str, tmp_path: Path) -> None:
    model = source(name)
    path = written(model, tmp_path / f"weights.{suffix}")
    pixels = torch.rand(1, 3, 160, 160)
    with torch.inference_mode():
        expected = model.forward_head(model.forward_features(pixels), pre_logits=True)  # type: ignore[operator]
        assert torch.equal(build_encoder(config(name, path))(pixels), expected)
        small = build_encoder(config(name, path, 96, "grid"))
        model = timm.create_model(name, **({"img_size": 96} if "vit" in name else {}), pretrained=True,
                                  pretrained_cfg_overlay={"file": str(path)}).eval()  # fmt: skip
        expected = model.forward_features(pixels[..., :96, :96])
        found = small(pixels[..., :96, :96])
    expected = expected[:, 1:] if "vit" in name else expected.flatten(2).transpose(1, 2)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_file_of_a_network_that_was_trained_further_on_other_classes(name: str, tmp_path: Path) -> None:
    model = timm.create_model(name, num_classes=5).eval()
    pixels = torch.rand(1, 3, 160, 160)
    with torch.inference_mode():
        expected = model.forward_head(model.forward_features(pixels), pre_logits=True)
        assert torch.equal(build_encoder(config(name, written(model, tmp_path / "weights.pth")))(pixels), expected)


@pytest.mark.parametrize("name", FAMILIES)
def test_files_that_are_not_its_weights_are_one_line(name: str, tmp_path: Path) -> None:
    other = written(source(FAMILIES[FAMILIES.index(name) - 1]), tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match=rf"other\.safetensors: these weights are not of encoder timm/{name}: .+"):
        build_encoder(config(name, other))
    for cut in (0, 4, 1000, other.stat().st_size - 8):
        broken = tmp_path / "broken.safetensors"
        broken.write_bytes(other.read_bytes()[:cut])
        with pytest.raises(WeightsError, match=r"broken\.safetensors: not a file of weights \(.+\)") as refused:
            build_encoder(config(name, broken))
        assert "\n" not in str(refused.value)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """A hub that has one file, the vision transformer's; its address, and what it was asked for."""
    asked = []
    content = written(source(FAMILIES[1]), tmp_path / "model.safetensors").read_bytes()

    class Hub(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            asked.append(f"{self.command} {self.path.split('/')[2]}")
            found = self.path == "/timm/test_vit.r160_in1k/resolve/main/model.safetensors"
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(len(content) if found else 0))
            if found:
                self.send_header("ETag", '"0123456789abcdef"')
                self.send_header("X-Repo-Commit", "f" * 40)
            else:
                self.send_header("X-Error-Code", "RepoNotFound")
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            if "test_vit" in self.path:
                self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            pass

    with serving(Hub) as address:
        yield address, asked


def test_published_weights_come_from_the_hub_once(hub: tuple[str, list[str]], tmp_path: Path) -> None:
    address, asked = hub
    home = {"HF_HOME": str(tmp_path / "hub"), "TORCH_HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "1"}
    environment = os.environ | home | {"HF_ENDPOINT": address, "no_proxy": "127.0.0.1"}
    done = subprocess.run([sys.executable, "-c", PREDICTING], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *found, refused = done.stdout.splitlines()
    assert found == [f"True {source(FAMILIES[1]).cls_token.sum().item()}"] * 2  # type: ignore[operator, union-attr]
    assert refused.startswith("encoder.name=timm/test_resnet.r160_in1k: cannot fetch model.safetensors of timm/test_re")
    assert refused.endswith(f"save that file as {tmp_path}/hub/checkpoints/test_resnet.r160_in1k.safetensors")
    assert [path for path in asked if path.startswith("GET test_")] == ["GET test_vit.r160_in1k"]
    assert asked[-1] == "HEAD test_resnet.r160_in1k" and asked.count(asked[-1]) == 1
