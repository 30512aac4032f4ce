"""The Python surface: `showtell.load(RUN).caption(...)`."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import showtell
from showtell.prediction.captioner import Captioner


@pytest.fixture(scope="module")
def captioner(tiny_run: Path) -> Captioner:
    return showtell.load(tiny_run, "cpu")


@pytest.fixture
def picture(tiny_coco: Path, tmp_path: Path) -> Path:
    """Without loss, so that what a program holds is to the bit what the file holds."""
    path = tmp_path / "dog.png"
    Image.open(next((tiny_coco / "val").iterdir())).save(path)
    return path


def test_one_picture_of_any_kind_works_like_a_list_of_paths(captioner: Captioner, picture: Path) -> None:
    expected = captioner.caption([picture])
    assert expected[0].path == picture and expected[0].captions
    held = Image.open(picture)
    for one in (str(picture), picture, held, picture.read_bytes(), np.array(held)):
        (found,) = captioner.caption(one)
        assert found.captions == expected[0].captions
        assert found.path == (picture if isinstance(one, str | Path) else Path("picture 1"))


def test_several_of_different_kinds_keep_their_order(captioner: Captioner, picture: Path) -> None:
    found = captioner.caption([picture, np.zeros((3, 9, 9), np.uint8), picture.read_bytes()], batch_size=2)
    assert [str(one.path) for one in found] == [str(picture), "picture 2", "picture 3"]
    assert found[1].error is not None and found[1].error.startswith("picture 2: an array of uint8 and shape (3, 9, 9)")
    assert found[0].captions == found[2].captions and not found[1].captions


def test_an_array_of_four_dimensions_is_several_pictures(captioner: Captioner) -> None:
    assert len(captioner.caption(np.zeros((3, 20, 30, 3), np.uint8))) == 3


def test_what_is_no_picture_has_an_error(captioner: Captioner) -> None:
    (found,) = captioner.caption(7)  # type: ignore[arg-type]
    assert found.error == "picture 1: a int is no picture; give a path, bytes, a PIL picture or a uint8 array"


def test_a_captioner_says_what_it_is(captioner: Captioner, tiny_run: Path) -> None:
    assert str(Captioner.from_checkpoint(tiny_run, "cpu")) == str(captioner)
    first, *lines = str(captioner).splitlines()
    assert first == f"Captioner of {tiny_run / 'checkpoints/best.ckpt'}"
    assert [line.split()[0] for line in lines] == ["encoder", "decoder", "words", "data", "decoding", "best", "device"]
    assert lines[2].split()[1] == str(len(captioner.vocabulary))


def test_prediction_imports_only_what_it_needs() -> None:
    """These take longer to import than a picture to caption."""
    unwanted = "torchvision", "pytorch_lightning", "lightning_fabric", "torchmetrics", "hydra", "timm", "torch._dynamo"
    code = f"""
import sys, showtell.prediction.command
from showtell.config import EncoderConfig
from showtell.models.encoders.base import build_encoder
build_encoder(EncoderConfig(name="efficientnet_lite0", weights="imagenet"))
print([name for name in {unwanted} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
