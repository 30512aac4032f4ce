"""Networks of timm behind the encoder's contract: their own transform, maps and tokens as regions, their weights."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from tests.conftest import REPOSITORY
from timm.data import create_transform, resolve_model_data_config
from torchvision import models

from showtell.config import Config, ConfigError, ImageTransform, parse
from showtell.config.command_line import config_groups
from showtell.config.untrusted_yaml import load_yaml
from showtell.data.images import prepare
from showtell.models.encoders.base import build_encoder, find_backbone, find_weights
from showtell.models.encoders.encoding import FrozenEncoder, encoder_fingerprint
from showtell.models.encoders.finetuning import finetuned_blocks
from showtell.models.encoders.weights import WeightsError, weights_folder

PRESETS = [path.stem for path in (REPOSITORY / "conf" / "encoder").glob("*.yaml") if "timm/" in path.read_text()]
LITE = ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"]


def config(name: str, decoder: str = "lstm", **values) -> Config:
    """A run with this encoder; names of timm as the group encoder=timm takes them."""
    given = {"weights": "none", **({} if name in LITE else {"vector": "auto"}), **values}
    return parse({"encoder": {"name": name, **given}, "decoder": {"name": decoder}})


def encoder(name: str, decoder: str = "lstm", **values):
    return build_encoder(config(name, decoder, **values).encoder)


def odd_pictures() -> list[Image.Image]:
    rng, noise = random.Random(0), np.random.default_rng(0)
    sizes = [(1, 1), (1, 40), (40, 1), (224, 224), (257, 255), (17, 900), (900, 17), (30, 20)]
    sizes += [(rng.randint(20, 700), rng.randint(20, 700)) for _ in range(11)]
    pictures = []
    for width, height in sizes:
        small = noise.integers(0, 256, (max(1, height // 4), max(1, width // 4), 3), dtype=np.uint8)
        pictures.append(Image.fromarray(small).resize((width, height)))
    return [*pictures, pictures[-1].convert("L").convert("RGB")]


def same_as_timm(transform: ImageTransform, data_config: dict) -> None:
    same_pixels(transform, create_transform(**data_config, is_training=False))


def same_pixels(transform: ImageTransform, theirs) -> None:
    for picture in odd_pictures():
        ours = prepare(torch.from_numpy(np.array(picture)).permute(2, 0, 1), transform)
        torch.testing.assert_close(ours, theirs(picture), rtol=0, atol=1e-5)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_presets_transform_is_timms(preset):
    values = load_yaml(REPOSITORY / "conf" / "encoder" / f"{preset}.yaml")
    size = values.get("image_size", 0)
    backbone = find_backbone(config(values["name"], image_size=size).encoder)
    with torch.device("meta"):  # its settings are asked for, not its weights
        model = timm.create_model(backbone.name)
    data_config = resolve_model_data_config(model, {"img_size": size} if size else None)
    same_as_timm(backbone.default_transform(), data_config)


@pytest.mark.parametrize("name", LITE)
def test_the_offline_encoders_take_timms_transform_by_choice(name):
    with torch.device("meta"):
        model = timm.create_model(f"tf_{name}")
    transform = find_weights(config(name, fit="center").encoder).transform
    same_as_timm(transform, resolve_model_data_config(model))


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "vit_b_16", "swin_t", "convnext_tiny"])
def test_torchvisions_networks_take_its_transform_by_choice(name):
    given = parse({"encoder": {"name": name, "fit": "center"}}).encoder
    transform = replace(find_backbone(given).default_transform(), fit="center")
    same_pixels(transform, models.get_model_weights(name).DEFAULT.transforms())


@pytest.mark.parametrize("mode", ["squash", "border"])
def test_the_other_modes_of_timm(mode):
    data_config = {"input_size": (3, 96, 96), "interpolation": "bicubic", "crop_pct": 0.9, "crop_mode": mode}
    data_config |= {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4)}
    fit = {"squash": "squash", "border": "pad"}[mode]
    mean, std = data_config["mean"], data_config["std"]
    transform = ImageTransform(size=96, interpolation="bicubic", mean=mean, std=std, fit=fit, crop=0.9)
    same_as_timm(transform, data_config)


@pytest.mark.parametrize(
    ("name", "pooling", "shape"),
    [
        ("resnet10t.c3_in1k", "grid", (9, 512)),
        ("test_vit.r160_in1k", "grid", (36, 64)),
        ("test_vit.r160_in1k", "grid:2", (4, 64)),
        ("test_vit.r160_in1k", "tokens:3", (10, 64)),
        ("test_vit.r160_in1k", "average", (64,)),
        ("swin_tiny_patch4_window7_224", "grid", (49, 768)),
        ("test_convnext.r160_in1k", "grid:3", (9, 64)),
    ],
)
def test_maps_and_tokens_become_regions(name, pooling, shape):
    decoder = "lstm" if pooling == "average" else "attention"
    size = 0 if "swin" in name else 96
    assert encoder(name, decoder, pooling=pooling, image_size=size).feature_shape() == shape


def test_a_grid_has_the_places_without_the_class_token_in_reading_order():
    found = encoder("test_vit.r160_in1k", "attention", pooling="grid", image_size=96)
    pixels = torch.rand(2, 3, 96, 96)
    with torch.inference_mode():
        tokens = found.trunk.model.forward_features(pixels)
        assert torch.equal(found(pixels), tokens[:, 1:])
        assert torch.equal(found.to_vector(tokens), found.trunk.model.forward_head(tokens, pre_logits=True))


def test_the_vector_is_the_networks_own_or_the_mean():
    pixels = torch.rand(1, 3, 96, 96)
    own, mean = (encoder("test_vit.r160_in1k", image_size=96, vector=vector) for vector in ("auto", "mean"))
    with torch.inference_mode():
        tokens = own.trunk.model.forward_features(pixels)
        torch.testing.assert_close(own(pixels), tokens[:, 0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(mean(pixels), tokens[:, 1:].mean(1), atol=1e-5, rtol=1e-5)


def test_multi_is_an_earlier_blocks_tokens_beside_the_last_ones():
    found = encoder("test_vit.r160_in1k", "attention", pooling="multi", image_size=96)
    pixels = torch.rand(2, 3, 96, 96)
    with torch.inference_mode():
        tokens, maps = found.trunk.model.forward_intermediates(pixels, norm=True)
        earlier = maps[int(len(maps) * 2 / 3) - 1].flatten(2).transpose(1, 2)
        assert torch.equal(found(pixels), torch.cat([earlier, tokens[:, 1:]], dim=2))


def test_the_choice_of_the_vector_is_part_of_what_is_stored():
    own, mean = (config("test_vit.r160_in1k", vector=vector).encoder for vector in ("auto", "mean"))
    prints = {encoder_fingerprint(one, find_weights(one), "float32") for one in (own, mean)}
    assert len(prints) == 2


def test_a_grid_finer_than_the_map_is_one_line():
    with pytest.raises(ConfigError, match=r"multi:7 is finer than the encoder's map of 6 x 6"):
        encoder("test_vit.r160_in1k", "attention", pooling="multi:7", image_size=96)
    with pytest.raises(ConfigError, match=r"grid:7 is finer than the encoder's map of 6 x 6; use a smaller number"):
        encoder("test_vit.r160_in1k", "attention", pooling="grid:7", image_size=96).feature_shape()


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_weights_of_a_file_with_positions_fitted_to_another_size(tmp_path, suffix):
    source = timm.create_model("test_vit.r160_in1k").eval()
    path = tmp_path / f"weights.{suffix}"
    if suffix == "pth":
        torch.save({"model": source.state_dict(), "epoch": 3}, path)
    else:
        from safetensors.torch import save_file

        save_file(source.state_dict(), path)
    found = encoder("test_vit.r160_in1k", weights=str(path))
    pixels = torch.rand(1, 3, 160, 160)
    with torch.inference_mode():
        expected = source.forward_head(source.forward_features(pixels), pre_logits=True)
        assert torch.equal(found(pixels), expected)
    small = encoder("test_vit.r160_in1k", "attention", weights=str(path), image_size=96)
    assert small.feature_shape() == (36, 64)
    torch.testing.assert_close(small.trunk.model.cls_token, source.cls_token)


def test_weights_of_another_network_are_one_line(tmp_path):
    torch.save(timm.create_model("test_resnet.r160_in1k").state_dict(), tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"other\.pth: these weights are not of encoder timm/test_vit\.r160_in1k"):
        encoder("test_vit.r160_in1k", weights=str(tmp_path / "other.pth"))
    (tmp_path / "broken.safetensors").write_bytes(b"no tensors")
    with pytest.raises(WeightsError, match=r"broken\.safetensors: not a file of weights"):
        encoder("test_vit.r160_in1k", weights=str(tmp_path / "broken.safetensors"))


@pytest.mark.parametrize(
    ("name", "size", "patch", "sizes"),
    [("timm/vit_tiny_patch16_224", 100, 16, "96 or 112"), ("timm/vit_small_patch14_dinov2", 33, 14, "42"),
     ("swin_t", 33, 4, "32 or 36")],
)  # fmt: skip
def test_a_new_run_does_not_cut_off_what_fills_no_patch(name, size, patch, sizes):
    asked = parse({"encoder": {"name": name, "weights": "none", "image_size": size}})
    with pytest.raises(ConfigError) as refused:
        FrozenEncoder(asked).network  # noqa: B018
    told = f"image_size={size}: {name} sees patches of {patch} x {patch}, so {size % patch} rows and columns would"
    assert told in str(refused.value) and str(refused.value).endswith(f"use encoder.image_size={sizes}")
    for fitting in sizes.split(" or "):
        encoder = replace(asked.encoder, image_size=int(fitting))
        assert FrozenEncoder(replace(asked, encoder=encoder)).network.feature_shape()
    older = FrozenEncoder(replace(asked, resume="runs/older")).network
    assert older.feature_shape() == build_encoder(asked.encoder).feature_shape()


def test_a_convolutional_network_takes_any_size():
    for name in ("timm/resnet10t", "timm/test_convnext.r160_in1k", "mobilenet_v3_small"):
        asked = parse({"encoder": {"name": name, "weights": "none", "image_size": 101}})
        assert FrozenEncoder(asked).network.patch == 0


def test_published_weights_that_were_put_there_by_hand(tmp_path, monkeypatch):
    from safetensors.torch import save_file

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    torch.hub._hub_dir = None
    source = timm.create_model("test_vit.r160_in1k").eval()
    weights_folder().mkdir(parents=True)
    save_file(source.state_dict(), weights_folder() / "test_vit.r160_in1k.safetensors")
    weights = find_weights(config("test_vit.r160_in1k", weights="published").encoder)
    assert weights.public and weights.transform.fit == "center"
    found = build_encoder(config("test_vit.r160_in1k", weights="published").encoder, weights)
    assert torch.equal(found.trunk.model.cls_token, source.cls_token)


def test_names_that_timm_does_not_have_are_one_line():
    with pytest.raises(ConfigError, match=r"encoder\.name=timm/resnet5: timm has no such network; did you mean resnet"):
        encoder("resnet5")
    with pytest.raises(ConfigError, match=r"no such weights; choose one of resnet18\.a1_in1k"):
        encoder("resnet18.nonsense")


def test_a_library_tells_its_networks_from_anothers():
    """Both have a resnet18; features are stored apart, and a stored configuration names the right one again."""
    ours, theirs = config("resnet18").encoder, parse({"encoder": {"name": "resnet18", "weights": "none"}}).encoder
    assert (ours.name, theirs.name) == ("timm/resnet18", "resnet18")
    prints = [encoder_fingerprint(one, find_weights(one), "float32") for one in (ours, theirs)]
    assert len(set(prints)) == 2
    assert parse(config("resnet18").as_dict()).encoder == ours


def test_a_vector_of_another_size_than_the_regions_is_one_line():
    with pytest.raises(ConfigError, match=r"tokens: .* vector has 1024 features and a region 288; use .*pooling=grid"):
        encoder("mobilenetv3_small_050", "attention", pooling="tokens", image_size=64)


def test_finetuning_is_refused_in_one_line():
    with pytest.raises(
        ConfigError, match=r"finetune_blocks=1: timm's ResNet is no chain of blocks; use .*=0, or a netw"
    ):
        finetuned_blocks(encoder("resnet10t", image_size=64), 1)


def test_presets_are_options(tmp_path: Path):
    assert {"timm", *PRESETS, *LITE} <= set(config_groups(REPOSITORY / "conf").replace(",", "").split())
