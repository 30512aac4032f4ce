"""A family of encoders in a file of its own: trained, named in the checkpoint, and used for prediction."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

import showtell
from showtell.config import Config, ConfigError, EncoderConfig, registry
from showtell.models.encoders.base import Backbone, Network, build_encoder, find_weights
from showtell.models.encoders.encoding import encoder_fingerprint
from showtell.models.encoders.weights import EncoderWeights, WeightsError
from showtell.training.train import train

MakeConfig = Callable[..., Config]


@pytest.fixture(autouse=True)
def published(tmp_path: Path) -> Iterator[Path]:
    """Registers a family that publishes a file, `blue`; gives the file."""
    path = tmp_path / "blue.pt"

    @showtell.register("encoder", EncoderConfig, name="my_cnn")
    class MyCNN(Backbone):
        """Two convolutions."""

        def build(self) -> Network:
            first, second = nn.Conv2d(3, 4, 5, stride=4), nn.Conv2d(4, 8, 3, stride=4)
            return Network(nn.Sequential(first, nn.BatchNorm2d(4), nn.ReLU(), second))

        def published(self) -> EncoderWeights | None:
            weights = EncoderWeights.of_file(path, self.default_transform(), public=True)
            return weights if self.config.weights == "blue" else None

    torch.manual_seed(7)
    torch.save(MyCNN(config()).build().trunk.state_dict(), path)
    yield path
    del registry._parts["encoder", "my_cnn"]


def config(weights: str = "none", pooling: str = "average") -> EncoderConfig:
    return EncoderConfig(name="my_cnn", weights=weights, pooling=pooling)


@pytest.mark.parametrize("source", ["none", "file", "blue"])
def test_a_run_trains_on_it_and_captions_with_what_it_was_trained_on(
    source: str, published: Path, tiny_config: MakeConfig, tiny_coco: Path, tmp_path: Path
) -> None:
    weights = str(published) if source == "file" else source
    settings = tiny_config(encoder={"name": "my_cnn", "weights": weights}, training={"max_epochs": 1})
    train(settings, tmp_path / "run")
    assert (tmp_path / "run/checkpoints/encoder.pt").is_file() == (source != "blue")
    trained_on = build_encoder(settings.encoder)
    if source == "file":
        published.unlink()  # it travels with the run
    captioner = showtell.load(tmp_path / "run", "cpu")
    pixels = torch.randn(2, 3, 224, 224)
    torch.testing.assert_close(captioner.encoder(pixels), trained_on(pixels), rtol=1e-4, atol=1e-5)
    assert captioner.caption(sorted((tiny_coco / "val").iterdir())[:1])[0].captions


def test_random_weights_are_the_same_on_every_start_and_calibrated() -> None:
    first, second = (build_encoder(config()) for _ in range(2))
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())
    assert first.trunk[1].running_mean.abs().sum() > 0  # type: ignore[index, union-attr, operator]
    assert build_encoder(config(pooling="grid")).feature_shape() == (14 * 14, 8)


def test_a_name_that_is_not_published_is_one_line() -> None:
    line = r"weights=red: no file of that name, and no published weights of my_cnn are called so; use one of (\S+), or"
    with pytest.raises(WeightsError, match=line) as refused:
        find_weights(config("red"))
    assert "use one of encoder.weights=none, or give a file" in str(refused.value)  # which is what `config()` does


def test_a_pooling_that_it_cannot_give_is_one_line() -> None:
    with pytest.raises(ConfigError, match="needs a first layer, which my_cnn does not show"):
        build_encoder(config(pooling="quarters"))


def test_stored_features_follow_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name and weights do not tell what it does; a shipped family's do."""
    cls = registry.find("encoder", "my_cnn").load()
    random, blue = find_weights(config()), find_weights(config("blue"))
    before = encoder_fingerprint(config("blue"), blue, "float32")
    monkeypatch.setattr(cls, "code", lambda self: "edited")
    assert encoder_fingerprint(config("blue"), blue, "float32") != before
    assert find_weights(config()).sha256 == random.sha256
    monkeypatch.setattr(cls, "build", lambda self: Network(nn.Conv2d(3, 8, 3)))
    assert find_weights(config()).sha256 != random.sha256
