"""Stored views: the frozen encoder's answers to changed pictures, one per caption and epoch."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.conftest import draw_coco, merged, tiny_settings
from torch import Tensor

from showtell.config import AugmentConfig, Config, ConfigError, ImageTransform, parse
from showtell.data.augmentation import Augmentation, view_augmentation
from showtell.data.caption_set import CaptionSet
from showtell.data.features.request import StoreRequest
from showtell.data.features.store import open_or_build
from showtell.data.images import read_picture
from showtell.data.readers import CachedFeatures
from showtell.training.data_module import open_source
from showtell.training.sources import Source

SMALL = ImageTransform(size=16)
STRONG = AugmentConfig(crop_area=0.5, jitter=0.4, flip=True)
PICTURES, VIEWS, CAPTIONS = 7, 4, 35


class AllPixels:
    """An encoder that tells everything, and counts what it sees."""

    feature_shape = (3 * SMALL.size**2,)

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, pixels: Tensor) -> Tensor:
        self.seen += len(pixels)
        return pixels.flatten(1)


def labelled(seed: int = 1) -> CachedFeatures:
    """Answers that are their own names: view * 100 + picture."""
    names = torch.arange(VIEWS)[:, None] * 100 + torch.arange(PICTURES)
    return CachedFeatures(names[0].float(), names[1:].flatten().float(), captions=CAPTIONS, seed=seed)


def seen(read: CachedFeatures, epoch: int, rows: list[int]) -> list[tuple[int, int]]:
    """The view and the picture that caption rows meet; five captions per picture."""
    pictures = np.array(rows) // 5
    return [divmod(int(name), 100) for name in read(pictures, np.array(rows), epoch)]


def source(root: Path, cache: Path, views: int, **sections: dict[str, object]) -> Source:
    augment = {"crop_area": 0.6, "flip": True} if views > 1 else {}
    settings = merged(tiny_settings(root, cache), features={"views": views, "precision": "auto"}, **sections)
    return open_source(parse(merged(settings, data={"augment": augment}, encoder={"image_size": 32})))


def test_a_caption_meets_its_own_picture() -> None:
    for epoch in range(5):
        assert [picture for _, picture in seen(labelled(), epoch, list(range(CAPTIONS)))] == [
            row // 5 for row in range(CAPTIONS)
        ]


def test_views_follow_from_seed_epoch_and_caption_alone() -> None:
    everything = seen(labelled(), 3, list(range(CAPTIONS)))
    used = labelled()
    seen(used, 0, [1, 2]), seen(used, 9, [3])
    assert seen(used, 3, [30, 4]) == [everything[30], everything[4]]
    assert seen(labelled(), 4, list(range(CAPTIONS))) != everything
    assert seen(labelled(seed=2), 3, list(range(CAPTIONS))) != everything


def test_every_view_comes_equally_often() -> None:
    read = labelled()
    views = [view for epoch in range(200) for view, _ in seen(read, epoch, list(range(CAPTIONS)))]
    shares = np.bincount(views, minlength=VIEWS) / len(views)
    assert len(shares) == VIEWS and abs(shares - 1 / VIEWS).max() < 0.02


def test_rows_of_a_store_are_changed_pictures_view_by_view(tiny_coco: Path, tmp_path: Path) -> None:
    paths = sorted((tiny_coco / "train").iterdir())
    change = Augmentation(STRONG, 0, np.zeros(len(paths), bool))
    request = StoreRequest("t", paths, "all", SMALL, "float32", change, views=2)
    encoder = AllPixels()
    features = open_or_build(tmp_path, request, lambda: encoder, batch_size=5, num_workers=0).features
    expected = [change(read_picture(path), SMALL, view, row) for view in range(2) for row, path in enumerate(paths)]
    assert torch.equal(torch.from_numpy(np.array(features)), torch.stack(expected).flatten(1))
    assert encoder.seen == 2 * len(paths)


def test_a_change_of_what_changes_pictures_is_another_store(tiny_coco: Path) -> None:
    paths = sorted((tiny_coco / "train").iterdir())
    none = np.zeros(len(paths), bool)
    one = StoreRequest("t", paths, "all", SMALL, "float32", Augmentation(STRONG, 0, none), views=2)
    others = [
        replace(one, views=3),
        replace(one, augmentation=None, views=1),
        replace(one, augmentation=Augmentation(replace(STRONG, jitter=0.1), 0, none)),
        replace(one, augmentation=Augmentation(STRONG, 0, ~none)),
    ]
    assert len({request.key() for request in [one, *others]}) == 5


def test_a_picture_is_mirrored_only_if_none_of_its_captions_tells_sides() -> None:
    words = ["a", "dog", "left"]
    numbers, starts = np.array([0, 1, 1, 2, 0], dtype=np.int32), np.array([0, 2, 4, 5])
    captions = CaptionSet(words, numbers, starts, np.array([0, 1, 1], np.int32), np.array([7, 8, 9]), Path("none"))
    assert view_augmentation(STRONG, captions).sided.tolist() == [False, True, False]


def test_runs_of_any_seed_share_one_store_of_views(tmp_path: Path) -> None:
    root = draw_coco(tmp_path / "coco", train=6, val=2)
    first = source(root, tmp_path / "cache", 3)
    train, val = first.train, first.val
    assert train.images.changed is not None and val.images.changed is None
    stores = sorted(path.name.rpartition("-")[0] for path in (tmp_path / "cache" / "features").iterdir())
    assert stores == ["tiny-train-resnet18", "tiny-train-resnet18-views", "tiny-val-resnet18"]
    again = source(root, tmp_path / "cache", 3, seed=5)  # type: ignore[arg-type]
    again.encoder.__dict__["network"] = None  # nothing is left to encode
    other = again.train.images
    rows = np.arange(len(train.captions.lengths))
    pictures = train.captions.picture_of[rows]
    assert not torch.equal(train.images(pictures, rows, 0), other(pictures, rows, 0))


def test_a_view_is_the_encoders_answer(tmp_path: Path) -> None:
    root = draw_coco(tmp_path / "coco", train=6, val=2)
    parts = source(root, tmp_path / "cache", 3)
    train, read = parts.train, parts.train.images
    assert isinstance(read, CachedFeatures)
    change = view_augmentation(parts.config.data.augment, train.captions)
    rows = np.arange(len(train.captions.lengths))
    views, encoder = read.views(0), parts.encoder.at_work()
    assert set(views) == {0, 1, 2}
    for row, feature in zip(rows, read(train.captions.picture_of[rows], rows, 0), strict=True):
        picture = int(train.captions.picture_of[row])
        path, transform = train.captions.paths[picture], parts.encoder.weights.transform
        if views[row] == 0:
            expected = read(np.array([picture]))[0]
        else:
            expected = encoder(change(read_picture(path), transform, views[row] - 1, picture)[None])[0]
        torch.testing.assert_close(feature, expected)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"features": {"views": 8}}, r"features.views=8: nothing changes the pictures; set data.augment"),
        ({"features": {"views": 8, "mode": "off"}, "data": {"augment": {"flip": True}}}, r"use features.views=1"),
        ({"features": {"views": 0}}, r"features.views=0 is out of range"),
        ({"data": {"augment": {"flip": True}}}, r"use features.views=8 to store changed ones too, or features=off"),
    ],
)
def test_views_of_nothing_are_refused_in_one_line(sections: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        parse(sections)
    assert "\n" not in str(refused.value)
    assert Config().features.views == 1
