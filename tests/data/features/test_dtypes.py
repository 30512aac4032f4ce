"""How features are written: what comes back, what it takes on the disk, and what no type can hold."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.conftest import merged, tiny_settings
from torch import Tensor

from showtell.config import ImageTransform, parse
from showtell.data.features.dtypes import DTYPES, StoreError, dtype_of_array
from showtell.data.features.request import StoreRequest
from showtell.data.features.store import open_or_build, place_features
from showtell.training.data_module import open_source

NAMES = list(DTYPES)
SMALL = ImageTransform(size=16)


class Regions:
    """Two regions of twelve numbers per picture, one of them a hundred times louder."""

    feature_shape = (2, 12)

    def __init__(self, fail_after: int = 1000) -> None:
        self.seen, self.fail_after = 0, fail_after

    def __call__(self, pixels: Tensor) -> Tensor:
        if self.seen >= self.fail_after:
            raise KeyboardInterrupt
        self.seen += len(pixels)
        quiet = pixels.unfold(2, 8, 8).unfold(3, 8, 8).mean(dim=(4, 5)).flatten(1)
        return torch.stack([quiet, 100 * quiet.flip(1)], dim=1)


def answers() -> Tensor:
    made = torch.randn(5, 3, 40, generator=torch.Generator().manual_seed(0))
    made[:, 1] *= 1000
    made[2, 2] = 0
    return made


def there_and_back(name: str, features: Tensor) -> Tensor:
    return DTYPES[name].decode(torch.from_numpy(DTYPES[name].encode(features))).float()


@pytest.mark.parametrize("name", ["float32", "float16", "bfloat16"])
def test_floating_point_is_torchs_own_rounding(name: str) -> None:
    assert torch.equal(there_and_back(name, answers()), answers().to(getattr(torch, name)).float())


def test_int8_is_off_by_half_a_step_of_each_regions_own_scale() -> None:
    features = answers()
    step = features.abs().amax(dim=-1, keepdim=True) / 127
    off = (there_and_back("int8", features) - features).abs()
    assert (off <= step * 0.5001).all() and off[:, 0].max() > 0.4 * step[:, 0].min()
    assert (there_and_back("int8", features)[2, 2] == 0).all()


@pytest.mark.parametrize("shape", [(1280,), (49, 1280)])
def test_int8_takes_half_of_float16_and_four_bytes_a_vector(shape: tuple[int, ...]) -> None:
    sizes = {name: DTYPES[name].num_bytes(shape) for name in NAMES}
    vectors = int(np.prod(shape[:-1]))
    assert sizes["int8"] == sizes["float16"] // 2 + 4 * vectors
    assert sizes["bfloat16"] == sizes["float16"] == sizes["float32"] // 2
    for name in NAMES:
        written = DTYPES[name].encode(torch.ones(1, *shape))
        assert written.nbytes == sizes[name] and written.dtype == DTYPES[name].file
        assert DTYPES[name].feature_shape(written.shape[1:]) == shape


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_finite_is_refused(name: str) -> None:
    features = answers()
    features[1, 1, 1] = torch.nan
    with pytest.raises(StoreError, match=r"is not finite; use features\.dtype=float32"):
        DTYPES[name].encode(features)


@pytest.mark.parametrize("name", ["bfloat16", "int8"])
def test_integers_of_others_are_no_features(name: str) -> None:
    assert dtype_of_array(DTYPES[name].file, None) is None
    assert dtype_of_array(DTYPES[name].file, name) is DTYPES[name]


@pytest.mark.parametrize("name", NAMES)
def test_a_store_that_was_killed_has_the_bytes_of_one_that_was_not(tiny_coco: Path, tmp_path: Path, name: str) -> None:
    wanted = StoreRequest("t", sorted((tiny_coco / "train").iterdir()), "regions", SMALL, name)
    with pytest.raises(KeyboardInterrupt):
        open_or_build(tmp_path / "cut", wanted, lambda: Regions(fail_after=10), 5, 0)
    cut, whole = (open_or_build(tmp_path / root, wanted, Regions, 5, 0) for root in ("cut", "whole"))
    files = [(store.directory / "features.bin").read_bytes() for store in (cut, whole)]
    assert files[0] == files[1] and len(files[0]) == wanted.num_bytes(Regions.feature_shape)
    disk, memory = (place_features(whole.features, place) for place in ("disk", "ram"))
    assert torch.equal(whole.dtype.decode(disk), whole.dtype.decode(memory))


@pytest.mark.parametrize("name", NAMES)
def test_a_caption_meets_the_features_of_its_view(tiny_coco: Path, tmp_path: Path, name: str) -> None:
    augment = {"crop_area": 0.5}
    settings = merged(tiny_settings(tiny_coco, tmp_path), encoder={"image_size": 32}, data={"augment": augment})
    read = {}
    for one in (name, "float32"):
        source = open_source(parse(merged(settings, features={"views": 3, "dtype": one})))
        pictures = source.train.captions.picture_of
        read[one] = source.train.images(pictures, np.arange(len(pictures)), 1).float()
        assert source.train.feature_shape == source.feature_shape == read[one].shape[1:]
    tolerance = {"float32": 0.0, "float16": 1e-3, "bfloat16": 1e-2, "int8": 1e-2}[name]
    off = (read[name] - read["float32"]).abs().amax(dim=-1) / read["float32"].abs().amax(dim=-1)
    assert off.max() <= tolerance and (name == "float32" or off.max() > 0)
