"""The frozen encoder: really frozen, shaped as promised, its weights from four sources."""

import http.server
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tests.loopback import serving
from torch import nn

from showtell.config import ConfigError, EncoderConfig, ImageTransform
from showtell.files import file_sha256, short_hash
from showtell.models.encoders.base import Encoder, build_encoder, find_backbone, find_weights
from showtell.models.encoders.encoding import encoder_fingerprint
from showtell.models.encoders.maps import averaged, colored_regions, regions
from showtell.models.encoders.weights import WeightsError, download


def config(name: str = "resnet18", weights: str = "none", pooling: str = "average") -> EncoderConfig:
    return EncoderConfig(name=name, weights=weights, pooling=pooling)


def test_is_frozen_and_stays_in_evaluation_mode() -> None:
    encoder = build_encoder(config())
    encoder.train()
    assert not any(module.training for module in encoder.modules())
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    encoder(torch.rand(2, 3, 64, 64))
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


@pytest.mark.parametrize(
    ("name", "pooling", "shape"),
    [
        ("resnet18", "average", (512,)),
        ("resnet18", "grid", (49, 512)),
        ("efficientnet_lite0", "average", (1280,)),
        ("efficientnet_lite0", "grid", (49, 1280)),
        ("efficientnet_lite0", "quarters", (4, 320 + 2 * 32)),
        ("resnet18", "quarters", (4, 512 + 2 * 64)),
        ("efficientnet_lite0", "cells", (49, 320 + 2 * 32)),
        ("mobilenet_v3_small", "average", (576,)),
        ("squeezenet1_1", "grid", (169, 512)),
        ("densenet121", "average", (1024,)),
        ("vit_b_32", "multi", (49, 2 * 768)),
        ("swin_t", "multi:3", (9, 384 + 768)),
        ("shufflenet_v2_x0_5", "grid", (49, 1024)),
        ("mnasnet0_5", "multi", (49, 48 + 1280)),
        ("resnet18", "multi", (49, 256 + 512)),
        ("efficientnet_lite0", "multi:3", (9, 112 + 1280)),
        ("alexnet", "multi", (36, 256 + 256)),
    ],
)
def test_feature_shapes(name: str, pooling: str, shape: tuple[int, ...]) -> None:
    assert build_encoder(config(name, pooling=pooling)).feature_shape() == shape


def test_multi_is_the_map_before_the_last_halving_beside_the_last_one() -> None:
    encoder = build_encoder(config("resnet18", pooling="multi"))
    pixels = torch.rand(2, 3, 96, 64)
    earlier = encoder.trunk[:7](pixels)
    last = encoder.trunk[7:](earlier)
    expected = torch.cat([nn.functional.avg_pool2d(earlier, 2), last], dim=1)
    torch.testing.assert_close(encoder(pixels), regions(expected))


def test_multi_wants_two_maps() -> None:
    trunk = nn.Sequential(nn.Conv2d(3, 8, 8, stride=8), nn.ReLU())
    with pytest.raises(ConfigError, match=r"multi: all maps of this encoder have one size; use encoder\.pooling=grid"):
        Encoder(trunk, "multi", ImageTransform(size=64)).feature_shape()


@pytest.mark.parametrize(
    "name", ["shufflenet_v2_x0_5", *(pytest.param(name, marks=pytest.mark.slow) for name in ("vit_b_32", "swin_t"))]
)
def test_a_watched_network_answers_what_torchvisions_does_and_its_map_is_what_its_head_reads(name: str) -> None:
    from torchvision import models

    average, grid = build_encoder(config(name)), build_encoder(config(name, pooling="grid"))
    whole = models.get_model(name)
    weights = {key.removeprefix("trunk."): value for key, value in average.state_dict().items()}
    whole.load_state_dict(weights, strict=False)
    linear = [key for key, module in whole.named_modules() if isinstance(module, nn.Linear)][-1]
    whole.set_submodule(linear, nn.Identity())
    pixels = torch.rand(1, 3, 224, 224)
    with torch.inference_mode():
        assert torch.equal(average(pixels), whole.eval()(pixels))
        places = grid(pixels)
        if name == "vit_b_32":
            whole.encoder.ln.register_forward_hook(lambda *call: torch.testing.assert_close(call[-1][:, 1:], places))
            whole(pixels)
        else:
            torch.testing.assert_close(places.mean(1), average(pixels), rtol=1e-4, atol=1e-5)


def test_a_vision_transformer_takes_pictures_of_another_size(tmp_path: Path) -> None:
    from torchvision import models

    state = models.vit_b_32().state_dict()
    torch.save(state, tmp_path / "vit.pt")
    given = EncoderConfig(name="vit_b_32", weights=str(tmp_path / "vit.pt"), pooling="grid", image_size=96)
    encoder = build_encoder(given)
    assert encoder.feature_shape() == (9, 768)
    positions = encoder.trunk.get_submodule("encoder").pos_embedding
    assert torch.equal(positions[:, 0], state["encoder.pos_embedding"][:, 0]) and positions.shape == (1, 10, 768)
    assert torch.equal(encoder.trunk.get_submodule("encoder.ln").weight, state["encoder.ln.weight"])


def test_a_size_that_a_network_does_not_take_is_one_line() -> None:
    line = r"^encoder.image_size=96: maxvit_t does not take pictures of 96 x 96 \(.+\); use encoder.image_size=224, its"
    with pytest.raises(ConfigError, match=line) as refused:
        build_encoder(EncoderConfig(name="maxvit_t", weights="none", pooling="grid", image_size=96))
    assert "\n" not in str(refused.value)


def test_quarters_want_a_first_layer() -> None:
    with pytest.raises(ConfigError, match="needs a first layer, which densenet121 does not show"):
        build_encoder(config("densenet121", pooling="quarters"))


def test_resnet_average_is_torchvisions_own_pooling() -> None:
    from torchvision import models

    trunk = find_backbone(config("resnet50")).build_seeded().trunk
    encoder = Encoder(trunk, "average", ImageTransform())
    with torch.random.fork_rng():
        torch.manual_seed(0)
        whole = models.resnet50(weights=None).eval()
    whole.fc = torch.nn.Identity()
    pixels = torch.rand(1, 3, 224, 224)
    torch.testing.assert_close(encoder(pixels), whole(pixels), rtol=1e-5, atol=1e-6)


def test_random_weights_of_a_deep_network_answer_within_float16() -> None:
    answer = build_encoder(config("resnet101"))(torch.rand(2, 3, 224, 224))
    assert answer.abs().max() < 1000


def test_grid_holds_the_regions_of_the_map_row_by_row() -> None:
    answer = torch.arange(2 * 3 * 2 * 2).float().view(2, 3, 2, 2)
    found = regions(answer)
    assert found.shape == (2, 4, 3)
    assert torch.equal(found[1, 2], answer[1, :, 1, 0])


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [(7, 7), (14, 14), (9, 9), (14, 7)])
def test_maps_of_any_size_are_averaged_to_the_bits_of_adaptive_pooling(
    precision: torch.dtype, layout: torch.memory_format, size: tuple[int, int]
) -> None:
    # stores on disk were written with it
    found = torch.randn(2, 40, *size, generator=torch.Generator().manual_seed(0)).to(precision, memory_format=layout)
    assert torch.equal(averaged(found, 7, 7), nn.functional.adaptive_avg_pool2d(found, 7))


def test_quarters_are_the_pictures_own() -> None:
    first, last = torch.zeros(1, 1, 4, 4), torch.zeros(1, 2, 4, 4)
    first[0, 0, 0, 3], first[0, 0, 3, 0], last[0, 1, 2:, 2:] = 5.0, -7.0, 2.0
    assert colored_regions(first, last, (2, 2))[0].tolist() == [[0, 0, 0, 0], [0, 0, 5, 0], [0, 0, 0, -7], [0, 2, 0, 0]]


def test_cells_are_the_places_of_the_last_map_with_the_colours_there() -> None:
    encoder = build_encoder(config("efficientnet_lite0", pooling="cells"))
    pixels = torch.randn(2, 3, 64, 96)
    first = encoder.trunk[:2](pixels)
    last = encoder.trunk[2:3](first)
    cells = encoder(pixels).unflatten(1, (2, 3))
    assert torch.equal(cells[1, 1, 2, :320], last[1, :, 1, 2])
    corner = first[1, :, 16:, 32:].flatten(1)
    assert torch.equal(cells[1, 1, 2, 320:], torch.cat([corner.amax(1), corner.amin(1)]))


@pytest.mark.parametrize(
    ("name", "weights"),
    [("efficientnet_lite0", "none"), *((f"efficientnet_lite{number}", "imagenet") for number in range(3))],
)
def test_the_offline_encoders_are_timms_networks_to_the_bit(name: str, weights: str) -> None:
    """Under its names, from the same random start: features and weights that are stored stay what they are."""
    import timm

    backbone = find_backbone(config(name, weights))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        expected = timm.create_model(f"tf_{name}").eval()
    ours = backbone.build_seeded().model
    assert ours is not None
    if weights == "imagenet":
        found = backbone.published()
        assert found is not None
        for model in (ours, expected):
            found.load_into(model, backbone.renamed)
    own, theirs = ours.eval().state_dict(), expected.state_dict()
    assert list(own) == list(theirs)
    assert all(torch.equal(value, theirs[name]) for name, value in own.items() if not name.startswith("classifier"))
    trunk = nn.Sequential(ours.conv_stem, ours.bn1, ours.blocks, ours.conv_head, ours.bn2)
    for size in (64, 75):
        pixels = torch.randn(2, 3, size, size + 30)
        assert torch.equal(trunk(pixels), expected.forward_features(pixels))


def test_imagenet_weights_of_the_offline_encoder_know_colours_from_gray() -> None:
    encoder = build_encoder(config("efficientnet_lite0", "imagenet"))
    untrained = build_encoder(config("efficientnet_lite0"))
    assert not torch.equal(encoder.trunk[0].weight, untrained.trunk[0].weight)
    assert find_weights(config("efficientnet_lite0", "imagenet")).sha256.startswith("579344248a93e2")


def test_unknown_encoders_are_refused_before_anything_is_fetched() -> None:
    with pytest.raises(ConfigError, match=r"resnet51 is no torchvision classifier; did you mean resnet50"):
        find_weights(config("resnet51"))


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0"])  # the latter drops layers at random in training
def test_random_weights_are_the_same_on_every_start(name: str) -> None:
    first, second = (build_encoder(config(name)).state_dict() for _ in range(2))
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_weights_from_a_file(tmp_path: Path) -> None:
    from torchvision import models

    state = models.resnet50(weights=None).state_dict()
    path = tmp_path / "my_resnet50.pt"
    torch.save(state, path)
    encoder = build_encoder(config("resnet50", str(path)))
    assert torch.equal(encoder.trunk[0].weight, state["conv1.weight"])
    found = find_weights(config("resnet50", str(path)))
    assert not found.public and found.sha256 == file_sha256(path)


def test_weights_of_another_network_are_refused_in_one_line(tmp_path: Path) -> None:
    from torchvision import models

    path = tmp_path / "resnet18.pt"
    torch.save(models.resnet18(weights=None).state_dict(), path)
    with pytest.raises(WeightsError, match=r"resnet18.pt: not the weights of a ResNet") as refused:
        build_encoder(config("resnet50", str(path)))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>"])
def test_files_that_hold_no_weights_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"not a file of weights"):
        build_encoder(config("resnet18", str(path)))


def test_fingerprint_follows_what_decides_a_feature() -> None:
    found = find_weights(config())
    prints = {
        encoder_fingerprint(config(), found, "float32"),
        encoder_fingerprint(config(), found, "bfloat16"),
        encoder_fingerprint(config(pooling="grid"), found, "float32"),
        encoder_fingerprint(config("resnet34"), find_weights(config("resnet34")), "float32"),
    }
    assert len(prints) == 4


@pytest.mark.parametrize("name", ["resnet50", "vit_b_32", "efficientnet_lite0"])
def test_stored_features_of_older_versions_keep_their_fingerprint(name: str) -> None:
    found = find_weights(config(name))
    transform = {key: getattr(found.transform, key) for key in ("size", "interpolation", "mean", "std")}
    facts = {"name": name, "pooling": "average", "weights": found.sha256, "transform": transform}
    expected = short_hash([json.dumps({**facts, "precision": "float32"}, sort_keys=True)])
    assert encoder_fingerprint(config(name), found, "float32") == expected


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A file server on the loopback address."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *args: object) -> None:
            pass

    with serving(Quiet) as address:
        yield address, folder


@pytest.fixture(autouse=True)
def own_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))


def test_weights_are_downloaded_once_and_checked(server: tuple[str, Path]) -> None:
    address, folder = server
    (folder / "raw").write_bytes(b"weights" * 1000)
    name = f"net-{file_sha256(folder / 'raw')[:8]}.pth"
    (folder / "raw").rename(folder / name)
    path = download(f"{address}/{name}", "encoder=net")
    assert path.read_bytes() == b"weights" * 1000
    (folder / name).unlink()
    assert download(f"{address}/{name}", "encoder=net") == path


def test_a_download_that_is_not_what_its_name_says_is_refused(server: tuple[str, Path]) -> None:
    address, folder = server
    (folder / "net-12345678.pth").write_bytes(b"something else")
    with pytest.raises(WeightsError, match=r"put net-12345678.pth into"):
        download(f"{address}/net-12345678.pth", "encoder=net")
    assert not list(Path(torch.hub.get_dir()).rglob("net-*"))
