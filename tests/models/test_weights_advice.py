"""Every advice in an error about an encoder's weights is followed here, and works."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from torchvision import models

from showtell.config import EncoderConfig, parse
from showtell.errors import USER_ERROR
from showtell.models.encoders import build_encoder
from showtell.models.encoders.base import find_weights
from showtell.models.encoders.encoding import FrozenEncoder
from showtell.models.encoders.weights import WeightsError

Main = Callable[..., Path]
RECIPES = Path(__file__).resolve().parents[2] / "conf" / "experiment"


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unreachable(*_: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", unreachable)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))


@pytest.fixture
def small(tiny_coco: Path, tmp_path: Path) -> list[str]:
    """Words of a run of two steps, besides its recipe and encoder."""
    places = ["data.train_images=train", "data.val_images=val", "vocab.threshold=1", "data.num_workers=0"]
    files = [f"data.{split}_annotations=annotations/captions_{split}.json" for split in ("train", "val")]
    return [*places, *files, f"data.root={tiny_coco}", f"cache={tmp_path}/cache", "device=cpu", "debug=fast"]


def encoder_of(run_dir: Path) -> dict[str, object]:
    assert json.loads((run_dir / "status.json").read_text())["state"] == "finished"
    encoder: dict[str, object] = yaml.safe_load((run_dir / "config.yaml").read_text())["encoder"]
    return encoder


@pytest.mark.parametrize(
    "words",
    [
        ["experiment=article"],
        ["data=custom", "encoder=torchvision", "encoder.name=convnext_tiny", "encoder.weights=IMAGENET1K_V1"],
        ["data=custom", "encoder=dinov2_s"],
    ],
)
def test_the_offline_encoder_is_taken_in_place_of_any(
    words: list[str], small: list[str], main: Main, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(*words, *small)
    said = capfd.readouterr().err.strip()
    assert ended.value.code == USER_ERROR and "\n" not in said
    advice = re.search(r", or take (encoder=\w+) in its place, which needs no download$", said)
    assert advice
    others = [word for word in words if not word.startswith("encoder")]
    used = encoder_of(main(*others, *small, advice[1]))
    assert (used["name"], used["weights"]) == ("efficientnet_lite0", "imagenet")


def test_another_encoder_beside_a_recipe_brings_its_own_weights_and_size(small: list[str], main: Main) -> None:
    used = encoder_of(main("experiment=article", "encoder=efficientnet_lite0", *small))
    assert (used["weights"], used["image_size"]) == ("imagenet", 0)


def test_no_recipe_pins_weights_itself() -> None:
    """They would stay with another encoder; an option of `conf/encoder` goes away with its network."""
    for recipe in RECIPES.glob("*.yaml"):
        assert "weights" not in (yaml.safe_load(recipe.read_text()).get("encoder") or {}), recipe


def test_the_file_is_put_where_the_line_says() -> None:
    config = EncoderConfig(name="resnet18", weights="IMAGENET1K_V1")
    with pytest.raises(WeightsError) as refused:
        find_weights(config)
    told = re.search(r"put (\S+) into (.+)$", str(refused.value))
    assert told
    torch.save(models.resnet18(weights=None).state_dict(), Path(told[2]) / told[1])
    build_encoder(config)


@pytest.mark.parametrize("given", [{"resume": "RUN"}, {"init_from": "RUN"}])
def test_who_has_an_encoder_already_is_offered_no_other(given: dict[str, str]) -> None:
    config = parse({"encoder": {"name": "resnet18"}, **given})
    with pytest.raises(WeightsError, match=r"; put resnet18-\w+.pth into \S+$"):
        _ = FrozenEncoder(config).weights


@pytest.mark.parametrize("name", ["resnet50", "efficientnet_lite0", "vgg11"])
def test_the_names_that_are_offered_are_published(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr("showtell.models.encoders.torchvision.download", lambda *_: tmp_path / "file")
    with pytest.raises(WeightsError, match="or give a file") as refused:
        find_weights(EncoderConfig(name=name, weights="IMAGENET1K_V9"))
    offered = re.findall(r"encoder.weights=(\w+)", str(refused.value))[1:]
    assert offered[0] == "imagenet" and offered[-1] == "none"
    assert [find_weights(EncoderConfig(name=name, weights=one)).public for one in offered[:-1]]
    build_encoder(EncoderConfig(name=name, weights=offered[-1], image_size=64))


def test_a_file_is_written_as_the_line_says(tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    model = models.resnet18(weights=None)
    torch.save(model, file)
    config = EncoderConfig(name="resnet18", weights=str(file))
    with pytest.raises(WeightsError, match=r"; write the file by torch.save\(model.state_dict\(\), FILE\)$"):
        build_encoder(config)
    torch.save(model.state_dict(), file)
    build_encoder(config)


def test_a_file_of_another_network_is_used_with_that_network(tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    torch.save(models.resnet18(weights=None).state_dict(), file)
    with pytest.raises(WeightsError, match=r"not the weights of a ResNet: .+; set encoder.name to the network"):
        build_encoder(EncoderConfig(name="resnet50", weights=str(file)))
    build_encoder(EncoderConfig(name="resnet18", weights=str(file)))
