"""Two encoders as one: each from its own store, side by side in training, in prediction, and through a resume."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.conftest import merged, tiny_settings

from showtell.checkpointing.metadata import _is_transform
from showtell.config import Config, ConfigError, ImageTransform, parse
from showtell.data.images import prepare, read_picture
from showtell.errors import UserError
from showtell.models.encoders.base import build_encoder
from showtell.models.encoders.encoding import FastEncoder, FrozenEncoder
from showtell.models.encoders.pair import shape_side_by_side
from showtell.prediction.captioner import Captioner
from showtell.training.data_module import open_source
from showtell.training.train import train

FIRST, SECOND = "resnet18", "mobilenet_v3_small"
ALONE = [{"name": name, "weights": "none", "image_size": 32} for name in (FIRST, SECOND)]
PAIR = {"name": "pair", "first": FIRST, "second": SECOND, "weights": "none", "image_size": 32}
GRID = {"decoder": {"name": "attention", "attention_size": 8}}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pair") / "cache"


@pytest.fixture
def config(tiny_coco: Path, cache: Path) -> Callable[..., Config]:
    def make(encoder: dict[str, object] = PAIR, **sections: object) -> Config:
        settings = tiny_settings(tiny_coco, cache)
        del settings["encoder"]
        return parse(merged(settings, encoder=encoder, **sections))

    return make


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    return torch.load(run_dir / "checkpoints/last.ckpt", weights_only=True)["state_dict"]


@pytest.mark.parametrize("sections", [{}, GRID, {"features": {"dtype": "int8"}}], ids=["vectors", "grid", "int8"])
def test_a_pair_reads_the_stores_of_both(
    config: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sections: dict[str, object]
) -> None:
    pictures = np.arange(24)
    sections = {**sections, "cache": str(tmp_path)}
    alone = [open_source(config(one, **sections)).train.images(pictures) for one in ALONE]
    monkeypatch.setattr(FrozenEncoder, "at_work", None)  # nothing is encoded again
    source = open_source(config(**sections))
    found = source.train.images(pictures)
    assert torch.equal(found, torch.cat(alone, dim=-1))
    assert tuple(found.shape[1:]) == source.feature_shape == source.train.feature_shape
    assert len(list(tmp_path.glob("features/*"))) == 2


def test_both_encoders_see_the_same_change(config: Callable[..., Config]) -> None:
    sections = {"data": {"augment": {"crop_area": 0.5, "flip": True}}, "features": {"views": 3}}
    sources = [open_source(config(one, **sections)) for one in (*ALONE, PAIR)]
    of = sources[0].train.captions.picture_of  # type: ignore[attr-defined]
    first, second, pair = (source.train.images(of, np.arange(len(of)), 2) for source in sources)  # type: ignore[attr-defined]
    assert torch.equal(pair, torch.cat([first, second], dim=-1))
    assert not torch.equal(pair, sources[2].train.images(of))  # type: ignore[attr-defined]


def test_prediction_says_what_is_stored(config: Callable[..., Config], tiny_coco: Path) -> None:
    pair, source = build_encoder(config().encoder), open_source(config())
    paths = sorted((tiny_coco / "train").iterdir())[:4]
    pixels = torch.stack([prepare(read_picture(path), pair.transform) for path in paths])
    assert pixels.shape == (4, 3, 2 * 32**2, 1)
    stored = source.train.images(np.arange(4))  # type: ignore[attr-defined]
    torch.testing.assert_close(FastEncoder(pair, torch.device("cpu"), "float32")(pixels), stored, rtol=1e-5, atol=1e-6)
    assert (pair(pixels) - stored).abs().max() < 2e-3 * stored.abs().max()  # BatchNorms are not folded away here
    assert pair.feature_shape() == tuple(stored.shape[1:])


def test_a_resume_is_exact_and_the_pair_travels(config: Callable[..., Config], tmp_path: Path, tiny_coco: Path) -> None:
    train(config(**GRID), tmp_path / "whole")
    train(config(**GRID, training={"max_steps": 5}), tmp_path / "parts")
    train(config(**GRID, resume=str(tmp_path / "parts")), tmp_path / "parts")
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    captioner = Captioner.from_checkpoint(tmp_path / "whole", "cpu")
    assert f"{FIRST} (none) + {SECOND} (none), pictures of 32 x 32 and 32 x 32 to 1 regions" in str(captioner)
    (found,) = captioner.caption(next((tiny_coco / "val").iterdir()))
    assert found.error is None and captioner.look(found) is not None
    with pytest.raises(UserError, match=r"encoder\.second='resnet34' does not fit the checkpoint"):
        train(config({**PAIR, "second": "resnet34"}, **GRID, resume=str(tmp_path / "parts")), tmp_path / "parts")


def test_a_pair_trains_on_pictures_that_change_in_every_step(config: Callable[..., Config], tmp_path: Path) -> None:
    sections = {"data": {"augment": {"jitter": 0.3}}, "features": {"mode": "off"}, "training": {"max_steps": 2}}
    train(config(**sections), tmp_path / "run")
    assert (tmp_path / "run/checkpoints/last.ckpt").is_file()


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"finetune_blocks": 1}, r"encoder\.finetune_blocks=1: both encoders of a pair stay frozen; set it to 0"),
        ({"second": "pair"}, r"encoder\.second=pair names no network"),
        ({"second_weights": "nowhere.pth"}, r"encoder\.second_weights=nowhere\.pth: no file of that name"),
        ({"first": "resnet19"}, r"encoder\.first=resnet19 is no torchvision classifier; did you mean resnet1.*\?"),
        ({"second": "nonsense"}, r"encoder\.second=nonsense is .+; timm's networks are encoder\.second=timm/NAME$"),
    ],
)
def test_mistakes_are_told_by_the_names_of_a_pair(
    config: Callable[..., Config], tmp_path: Path, changes: dict[str, object], refusal: str
) -> None:
    with pytest.raises(Exception, match=refusal) as refused:
        train(config({**PAIR, **changes}), tmp_path / "run")
    assert "\n" not in str(refused.value)


def test_grids_of_another_size_are_refused_before_a_picture_is_encoded(
    config: Callable[..., Config], tmp_path: Path
) -> None:
    encoder = {"name": "pair", "first": "efficientnet_lite0", "second": "efficientnet_lite1", "weights": "none"}
    with pytest.raises(ConfigError, match=r"49 regions and 64 regions do not lie side by side; .*pooling=grid:7"):
        train(config(encoder, **GRID, cache=str(tmp_path / "cache")), tmp_path / "run")
    assert not list(tmp_path.glob("cache/features/*"))
    assert open_source(config({**encoder, "pooling": "grid:7"}, **GRID)).encoder.network.feature_shape() == (49, 2560)


def test_a_vector_and_regions_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"a vector and 4 regions do not lie"):
        shape_side_by_side([(3,), (4, 5)])


def test_a_transform_of_a_pair_comes_back_from_its_facts() -> None:
    pair = ImageTransform(size=8, beside=ImageTransform(size=9, fit="center", crop=0.9))
    assert _is_transform(pair.facts()) and not _is_transform(pair.facts() | {"beside": {"size": 9}})
    assert ImageTransform.of(pair.facts()) == pair and "beside" not in pair.beside.facts()  # type: ignore[union-attr]


@pytest.mark.slow
def test_two_published_encoders_train_and_caption(
    config: Callable[..., Config], tmp_path: Path, tiny_coco: Path
) -> None:
    encoder = {"name": "pair", "first": "efficientnet_lite0", "second": "efficientnet_lite1", "pooling": "grid:7"}
    train(config(encoder, **GRID, features={"dtype": "int8"}), tmp_path / "run")
    assert not (tmp_path / "run/checkpoints/encoder.pt").exists()  # both are found by name
    (found,) = Captioner.from_checkpoint(tmp_path / "run", "cpu").caption(next((tiny_coco / "val").iterdir()))
    assert found.captions and found.error is None
