"""Several views of a picture: the mean of the word probabilities, the same whatever else is captioned."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.prediction.conftest import Said, load

import showtell
from showtell.config import AugmentConfig, ConfigError, DecodingConfig, ImageTransform
from showtell.data.images import read_picture
from showtell.prediction.captioner import Captioned, Captioner
from showtell.prediction.ensemble import Ensemble
from showtell.prediction.pictures import USUAL_CHANGE
from showtell.text import START

STRONG = AugmentConfig(crop_area=0.3, jitter=0.8, flip=True)
BEAM = DecodingConfig(method="beam", beam_size=3)


def changing(captioner: Captioner, augment: AugmentConfig = STRONG) -> Captioner:
    """The same, as if its training had changed pictures."""
    found, (config,) = copy.copy(captioner), captioner.configs
    features = replace(config.features, views=8 if augment.active else 1)
    found.configs = [replace(config, data=replace(config.data, augment=augment), features=features)]
    return found


@pytest.fixture(scope="module")
def two(tiny_run: Path, other_run: Path) -> list[Captioner]:
    found = [changing(showtell.load(run, "cpu")) for run in (tiny_run, other_run)]
    found[1].transform = ImageTransform(size=96)  # as an encoder of its own would bring
    return found


@pytest.fixture(scope="module")
def pictures(tiny_coco: Path) -> list[Path]:
    return sorted((tiny_coco / "val").iterdir())


def first_word(models: list[Captioner], picture: Path, word: int, views: int) -> list[float]:
    """Its probability for each model and view, each looked at alone."""
    pixels, found = read_picture(picture), []
    with torch.inference_mode():
        for model in models:
            for look in model.looks(views):
                step, state = model.start(model.encode([look(pixels)[None]]))
                found.append(float(step(torch.tensor([START]), state)[0].softmax(1)[0, word]))
    return found


@pytest.mark.parametrize("decoding", [DecodingConfig(), BEAM], ids=["greedy", "beam"])
@pytest.mark.parametrize("members", [1, 2])
def test_word_probabilities_are_the_mean_over_models_and_views(
    two: list[Captioner], pictures: list[Path], members: int, decoding: DecodingConfig
) -> None:
    models = two[:members]
    system = Ensemble([(str(place), one) for place, one in enumerate(models)]) if members > 1 else models[0]
    for found in system.caption(pictures, decoding, batch_size=4, views=3):
        best = found.hypotheses[0]
        each = first_word(models, found.path, best.tokens[0], 3)
        assert len(set(each)) == 3 * members
        mean = torch.tensor(sum(each) / len(each)).log().item()
        assert best.word_log_probs[0] == pytest.approx(mean, abs=1e-4)


def said(found: Captioned) -> tuple[tuple[str, ...], float]:
    return found.captions, pytest.approx(found.hypotheses[0].log_prob, abs=1e-5)


def test_views_follow_from_the_picture_and_the_seed_alone(two: list[Captioner], pictures: list[Path]) -> None:
    model = two[0]
    together = model.caption(pictures, views=3, batch_size=6)
    for picture, found in zip(reversed(pictures), reversed(together), strict=True):
        (alone,) = model.caption(picture.read_bytes(), views=3)
        assert said(alone) == said(found)
    other = model.caption(pictures, views=3, seed=1)
    assert all(a.hypotheses[0].log_prob != b.hypotheses[0].log_prob for a, b in zip(together, other, strict=True))


def test_one_view_is_the_picture_as_it_is(two: list[Captioner], pictures: list[Path]) -> None:
    assert two[0].caption(pictures, views=1, seed=5) == two[0].caption(pictures)


def test_pictures_change_as_in_training_and_are_mirrored_only_then(two: list[Captioner], pictures: list[Path]) -> None:
    model, picture = two[0], read_picture(pictures[0])
    mirror = changing(model, AugmentConfig(flip=True)).looks(20)
    plain = mirror[0](picture)
    flips = [torch.equal(look(picture), plain.flip(2)) for look in mirror]
    assert all(flip or torch.equal(look(picture), plain) for flip, look in zip(flips, mirror, strict=True))
    assert 0 < sum(flips) < 20
    assert {look.change for look in model.looks(4)} == {None, STRONG}
    assert {look.change for look in changing(model, AugmentConfig()).looks(4)} == {None, USUAL_CHANGE}
    assert not USUAL_CHANGE.flip


def test_members_that_share_a_look_share_its_pixels(two: list[Captioner]) -> None:
    ensemble = Ensemble([("a", two[0]), ("b", two[0])])
    looks = ensemble.looks(3)
    assert len(looks) == 6 and len(set(looks)) == 3


def test_the_command_averages_views_and_says_so(
    call: Callable[..., Said], tiny_run: Path, other_run: Path, val: list[object], no_java: None, tmp_path: Path
) -> None:
    scores = tmp_path / "s.json"
    done = call(tiny_run, *val, "--views", 2, "--seed", 3, "--scores", scores, "--gallery", tmp_path / "page.html")
    assert done.status == 0 and load(scores)["views"] == 2
    assert "training changed no pictures; views are crops of 70% or more" in done.err
    assert "2 views" in (tmp_path / "page.html").read_text()
    expected = showtell.load(tiny_run, "cpu").caption([Path(str(val[3])) / "val_000000001001.jpg"], views=2, seed=3)
    assert load(scores)["pictures"][0]["log_prob"] == pytest.approx(expected[0].hypotheses[0].log_prob, abs=1e-5)
    assert call(tiny_run, other_run, *val, "--views", 2, "--beam", 2).status == 0
    call(tiny_run, *val, "--scores", scores)
    assert "views" not in load(scores)


def test_no_view_is_refused(call: Callable[..., Said], tiny_run: Path, val: list[object]) -> None:
    with pytest.raises(ConfigError, match=r"--views 0 is out of range; it must be at least 1"):
        call(tiny_run, *val, "--views", 0)
    with pytest.raises(ConfigError, match=r"views=0 is out of range; it must be at least 1"):
        showtell.load(tiny_run, "cpu").caption(b"", views=0)
