"""The encoder at full speed says what the plain one says."""

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from showtell.config import EncoderConfig
from showtell.models.encoders.base import Encoder, build_encoder
from showtell.models.encoders.encoding import FastEncoder, fold_batch_norms

CPU = torch.device("cpu")


@pytest.fixture(params=["resnet18", "efficientnet_lite0", "densenet121"])
def encoder(request: pytest.FixtureRequest) -> Iterator[Encoder]:
    built = build_encoder(EncoderConfig(name=request.param, weights="none"))
    generator = torch.Generator().manual_seed(0)
    for norm in (module for module in built.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.running_mean.normal_(0, 0.1, generator=generator)
        norm.running_var.uniform_(0.5, 2, generator=generator)
    yield built


def test_folding_changes_no_answer(encoder: Encoder) -> None:
    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = encoder(pixels)
    found = FastEncoder(encoder, CPU, "float32")(pixels)
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_the_callers_encoder_keeps_its_names_and_values(encoder: Encoder) -> None:
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    FastEncoder(encoder, CPU, "float32")
    after = encoder.state_dict()
    assert list(after) == list(before) and all(torch.equal(after[name], value) for name, value in before.items())


def test_norms_after_convolutions_are_gone() -> None:
    built = build_encoder(EncoderConfig(name="resnet18", weights="none"))
    fold_batch_norms(built)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in built.modules())


def test_an_order_of_use_that_is_not_the_order_of_registration_is_noticed() -> None:
    class Crossed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = nn.Conv2d(3, 3, 3)
            self.norm = nn.BatchNorm2d(3)

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            answer: torch.Tensor = self.convolution(self.norm(pixels))
            return answer

    trunk = Crossed()
    trunk.norm.running_mean.fill_(1.0)
    built = build_encoder(EncoderConfig(name="resnet18", weights="none"))
    crossed = Encoder(trunk, "average", built.transform)
    pixels = torch.randn(1, 3, 16, 16)
    with torch.inference_mode():
        assert torch.equal(FastEncoder(crossed, CPU, "float32")(pixels), crossed(pixels))


def test_large_batches_are_cut_for_a_cpus_cache() -> None:
    built = build_encoder(EncoderConfig(name="resnet18", weights="none"))
    fast = FastEncoder(built, CPU, "float32")
    pixels = torch.randn(19, 3, 32, 32)
    alone = torch.cat([fast(pixels[i : i + 1]) for i in range(19)])
    assert torch.allclose(fast(pixels), alone, rtol=1e-4, atol=1e-5)
