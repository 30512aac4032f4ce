"""`predict.py --analysis`: what went wrong, with the nearest training pictures and the truth of drawn scenes."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.analysis.test_command import data_of, panel
from tests.conftest import draw_coco
from tests.prediction.conftest import Said

from showtell.config import parse
from showtell.data.features.store import FeatureStore
from showtell.errors import UserError
from showtell.training.train import train

pytestmark = pytest.mark.usefixtures("no_java")
Call = Callable[..., Said]
Words = list[object]


def stored(cache: Path, split: str) -> np.ndarray:
    """The average-pooled features of a split in the order of the annotations, in double precision."""
    (folder,) = (cache / "features").glob(f"tiny-{split}-resnet18-*")
    features = FeatureStore(folder).features.astype(np.float64)
    means = features.mean(1) if features.ndim == 3 else features
    return means / np.linalg.norm(means, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def own_run(tiny_overrides: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a cache and data of its own."""
    folder = tmp_path_factory.mktemp("own")
    draw_coco(folder / "data")
    data = {**tiny_overrides["data"], "root": str(folder / "data")}
    train(parse({**tiny_overrides, "data": data, "cache": str(folder / "cache")}), folder / "run")
    return folder / "run"


def test_the_nearest_training_picture_is_that_of_the_stored_features(call: Call, own_run: Path, tmp_path: Path) -> None:
    said = call(own_run, "--split", "val", "--analysis", tmp_path / "p.html")
    assert said.status == 0 and "memory: " in said.out and said.out.endswith(f"written: {tmp_path / 'p.html'}\n")
    cosines = stored(own_run.parent / "cache", "val") @ stored(own_run.parent / "cache", "train").T
    pictures = data_of(tmp_path / "p.html")["pictures"]
    names = [f"train_{place + 1:012d}.jpg" for place in cosines.argmax(1)]
    assert [picture["near"]["name"] for picture in pictures] == names
    assert [picture["near"]["cosine"] for picture in pictures] == pytest.approx(cosines.max(1), abs=2e-3)
    assert all(len(picture["near"]["captions"]) == 2 and picture["near"]["src"] for picture in pictures)
    assert [row[0] for row in panel(tmp_path / "p.html", "Is it memory?")] == [
        "equals one of the nearest picture", "differs from all of them",
    ]  # fmt: skip


def test_a_training_picture_is_not_its_own_neighbour(call: Call, own_run: Path, tmp_path: Path) -> None:
    call(own_run, "--split", "train", "--analysis", tmp_path / "p.html")
    pictures = data_of(tmp_path / "p.html")["pictures"]
    assert len(pictures) == 24 and all(picture["near"]["name"] != picture["name"] for picture in pictures)


def test_without_stored_features_all_else_is_there(call: Call, own_run: Path, tmp_path: Path) -> None:
    copied = tmp_path / "data"
    shutil.copytree(own_run.parent / "data", copied)  # other files, of other times
    said = call(own_run, "--split", "val", f"data.root={copied}", "--analysis", tmp_path / "p.html")
    assert said.status == 0 and "note: nearest training pictures left out: " in said.err
    assert "is not there or not complete" in said.err
    assert "near" not in data_of(tmp_path / "p.html")["pictures"][0]
    assert panel(tmp_path / "p.html", "Said too often")


def test_pictures_that_cannot_be_read_shift_nothing(
    call: Call, own_run: Path, without_one: Words, tmp_path: Path
) -> None:
    said = call(own_run, *without_one, "--analysis", tmp_path / "p.html")
    assert said.status == 1
    cosines = stored(own_run.parent / "cache", "val")[2:] @ stored(own_run.parent / "cache", "train").T
    pictures = data_of(tmp_path / "p.html")["pictures"]
    names = [f"train_{place + 1:012d}.jpg" for place in cosines.argmax(1)]
    assert [picture["near"]["name"] for picture in pictures] == names


def test_a_page_for_each_model_and_their_average(
    call: Call, tiny_run: Path, other_run: Path, val: Words, tmp_path: Path
) -> None:
    page = tmp_path / "g.html"
    said = call(tiny_run, other_run, *val, "--gallery", page, "--ensemble", "--analysis", tmp_path / "p.html")
    assert [path.name.split("_")[-1] for path in sorted(tmp_path.glob("p-*.html"))] == [
        "p-ensemble.html", "tiny.html", "other.html",
    ]  # fmt: skip
    assert "\n\nensemble:\n" in said.out


@pytest.mark.slow
def test_drawn_scenes_tell_what_there_is(call: Call, tiny_overrides: dict[str, Any], tmp_path: Path) -> None:
    data = {"name": "shapes", "root": str(tmp_path / "shapes"), "num_workers": 0}
    data["shapes"] = {"train_pictures": 20, "val_pictures": 8}  # type: ignore[assignment]
    train(parse({**tiny_overrides, "data": data}), tmp_path / "run")
    said = call(tmp_path / "run", "--split", "val", "--analysis", tmp_path / "p.html")
    assert "invented things: CHAIR-i " in said.out
    (one,) = [one for one in data_of(tmp_path / "p.html")["panels"] if one["title"] == "Invented things"]
    assert "the generator's scenes" in one["hint"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.jpg", "--analysis", "p.html"], "--analysis: nothing to compare; give --annotations FILE or --split val"),
        (["--split", "val", "--things", "t.txt"], "--instances and --things belong to --analysis FILE.html"),
        (["--split", "val", "--analysis", "p.pdf"], "--analysis p.pdf: name a file that ends in .html"),
        (["--split", "val", "--analysis", "p.html", "--things", "none"], "--things none: is not there"),
    ],
)
def test_what_cannot_be_meant_is_one_line(call: Call, tiny_run: Path, words: Words, message: str) -> None:
    with pytest.raises(UserError) as error:
        call(tiny_run, *words)
    assert message in str(error.value) and "\n" not in str(error.value)
