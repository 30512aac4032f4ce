"""Changed pictures: by (seed, epoch, caption) and nothing else, only in training, and no more than captions bear."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.conftest import draw_coco, merged, tiny_settings

from showtell.config import AugmentConfig, Config, ConfigError, DataConfig, ImageTransform, TrainingConfig, parse
from showtell.data.augmentation import Augmentation, crop, draws, jitter, says_left_or_right
from showtell.data.caption_set import CaptionSet, load_captions
from showtell.data.images import prepare, read_picture
from showtell.data.module import CaptionData, SplitData
from showtell.data.readers import PictureFiles
from showtell.text import Vocabulary
from showtell.training.data_module import open_source

SMALL = ImageTransform(size=16)
EVERYTHING = AugmentConfig(crop_area=0.5, jitter=0.4, flip=True)
NOISE = torch.randint(0, 256, (3, 40, 60), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def augmentation(config: AugmentConfig = EVERYTHING, seed: int = 1, sided: bool = False) -> Augmentation:
    return Augmentation(config, seed, np.full(1000, sided))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_coco(tmp_path_factory.mktemp("augmented") / "coco", train=10, val=2)


def data(root: Path, cache: Path, workers: int = 0, seed: int = 3, **training: int) -> CaptionData:
    config = DataConfig(name="tiny", format="coco", root=str(root))
    captions = [load_captions(config, name, cache) for name in ("train", "val")]  # type: ignore[arg-type]
    read = [PictureFiles(captions[0].paths, SMALL, augmentation(seed=seed)), PictureFiles(captions[1].paths, SMALL)]
    splits = [SplitData(c, r, np.zeros(len(c.paths), bool)) for c, r in zip(captions, read, strict=True)]
    vocabulary = Vocabulary.from_counts(captions[0].counts, 1)
    settings = TrainingConfig(batch_size=4, **training)  # type: ignore[arg-type]
    return CaptionData(splits[0], splits[1], vocabulary, settings, seed, workers)


def seen(module: CaptionData, batches: int) -> list[torch.Tensor]:
    """The pixels of the next batches, as the trainer takes them: epoch after epoch."""
    found: list[torch.Tensor] = []
    while len(found) < batches:
        for batch in itertools.islice(module.train_dataloader(), batches - len(found)):
            found.append(batch["images"])
            module.position.advance(module.batches_per_epoch)
    return found


def test_the_same_key_gives_the_same_picture_whatever_was_drawn_before() -> None:
    change = augmentation()
    first = change(NOISE, SMALL, epoch=2, row=5)
    torch.rand(3), np.random.rand(3), change(NOISE, SMALL, 9, 9)
    assert torch.equal(augmentation()(NOISE, SMALL, 2, 5), first)
    others = [change(NOISE, SMALL, 3, 5), change(NOISE, SMALL, 2, 6), augmentation(seed=2)(NOISE, SMALL, 2, 5)]
    assert not any(torch.equal(other, first) for other in others)


def test_drawing_leaves_the_global_generators_alone() -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index, union-attr]
    augmentation()(NOISE, SMALL, 0, 0)
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])  # type: ignore[index]


def test_numbers_are_even_and_those_of_neighbours_are_strangers() -> None:
    numbers = np.array([draws(1, epoch, row) for epoch in range(20) for row in range(200)])
    assert abs(numbers.mean(axis=0) - 0.5).max() < 0.03
    assert abs(np.corrcoef(numbers[:-1, 0], numbers[1:, 0])[0, 1]) < 0.05
    order = np.random.Generator(np.random.Philox(key=[1, 0])).random(8)
    assert not np.isin(numbers, order).any()  # the order of the epoch has the same key


def test_threads_do_not_change_a_bit() -> None:
    """A worker process has one thread, the trainer has many; sums of floats would tell."""
    picture = torch.randint(0, 256, (3, 224, 224), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    strong = augmentation(AugmentConfig(jitter=0.9, crop_area=0.9))
    one = [strong(picture, ImageTransform(), 0, row) for row in range(40)]
    torch.set_num_threads(4)
    try:
        four = [strong(picture, ImageTransform(), 0, row) for row in range(40)]
        assert all(torch.equal(first, second) for first, second in zip(one, four, strict=True))
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize("cut", [0, 2, 5, 7])
@pytest.mark.parametrize("workers", [0, 2])
def test_workers_and_resume_points_do_not_change_a_bit(large: Path, tmp_path: Path, workers: int, cut: int) -> None:
    expected = seen(data(large, tmp_path), 11)
    resumed = data(large, tmp_path, workers)
    epoch, batch = divmod(cut, resumed.batches_per_epoch)
    resumed.load_state_dict({"epoch": epoch, "batch": batch})
    assert all(torch.equal(a, b) for a, b in zip(seen(resumed, 11 - cut), expected[cut:], strict=True))


def test_every_epoch_and_caption_changes_a_picture_anew(large: Path, tmp_path: Path) -> None:
    module = data(large, tmp_path)
    images = torch.cat(seen(module, 2 * module.batches_per_epoch))
    assert len(images) == 40 and len(torch.unique(images, dim=0)) == 40


def test_overfitting_repeats_the_very_same_pictures(large: Path, tmp_path: Path) -> None:
    first, second = seen(data(large, tmp_path, overfit_batches=1), 2)
    assert torch.equal(first, second)


def test_validation_is_never_changed(large: Path, tmp_path: Path) -> None:
    module = data(large, tmp_path)
    captions, pictures = module.val_dataloader()
    expected = torch.stack([prepare(read_picture(path), SMALL) for path in module.val.captions.paths])
    assert torch.equal(next(iter(pictures))["images"], expected)
    for batch in captions:
        assert torch.equal(batch["images"], expected[batch["picture_ids"] - 1001])


def test_only_the_training_split_of_a_run_is_changed(large: Path, tmp_path: Path) -> None:
    data = {"augment": {"jitter": 0.1}}
    settings = merged(tiny_settings(large, tmp_path), data=data, features={"mode": "off"}, encoder={"image_size": 32})
    config = parse(settings)
    source = open_source(config)
    read = source.train.images
    assert read.augmentation and read.augmentation.seed == config.seed and source.val.images.augmentation is None
    plain = open_source(replace(config, data=replace(config.data, augment=AugmentConfig())))
    assert plain.train.images.augmentation is None


def test_a_crop_keeps_its_share_inside_the_picture() -> None:
    areas, ratios = [], []
    for row in range(300):
        part = crop(NOISE, 0.5, draws(0, 0, row).tolist())
        areas.append(part.shape[1] * part.shape[2] / (40 * 60))
        ratios.append(part.shape[2] / part.shape[1] / (60 / 40))
    assert 0.4 < min(areas) < 0.56 and max(areas) > 0.9 and max(areas) <= 1
    assert 0.7 < min(ratios) < 0.85 and 1.18 < max(ratios) < 1.42
    assert torch.equal(crop(NOISE, 1.0, [0.3, 0.5, 0.9, 0.9]), NOISE)


def test_corners_are_reached() -> None:
    corners = {tuple(crop(NOISE, 0.5, [0, 0.5, y, x]).flatten()[[0]].tolist()) for y in (0, 0.999) for x in (0, 0.999)}
    assert len(corners) > 1
    first = crop(NOISE, 0.5, [0, 0.5, 0, 0])
    last = crop(NOISE, 0.5, [0, 0.5, 0.999, 0.999])
    assert torch.equal(first[:, 0, 0], NOISE[:, 0, 0]) and torch.equal(last[:, -1, -1], NOISE[:, -1, -1])


def test_jitter_is_torchvisions() -> None:
    from torchvision.transforms.v2 import functional

    picture = NOISE.float() / 4 + 60  # so that nothing is clipped
    small = picture.to(torch.uint8)
    brighter = jitter(small, 0.2, [1.0, 0.5, 0.5])
    torch.testing.assert_close(brighter, functional.adjust_brightness(small, 1.2).float(), atol=1.01, rtol=0)
    duller = jitter(small, 0.2, [0.5, 0.5, 0.0])
    torch.testing.assert_close(duller, functional.adjust_saturation(small, 0.8).float(), atol=1.01, rtol=0)
    flat = jitter(small, 0.5, [0.5, 0.0, 0.5])
    assert flat.std().item() == pytest.approx(small.float().std().item() / 2, rel=0.01)
    assert flat.mean().item() == pytest.approx(small.float().mean().item(), rel=0.01)
    assert torch.equal(jitter(small, 0.0, [0.1, 0.2, 0.3]), small.float())


def test_colours_keep_their_names() -> None:
    red = torch.tensor([220, 40, 40], dtype=torch.uint8)[:, None, None].expand(3, 8, 8)
    for row in range(50):
        changed = jitter(red, 0.4, draws(0, 0, row).tolist()[5:])[:, 0, 0]
        assert changed.argmax() == 0 and changed[1] == changed[2]


def test_half_of_the_pictures_are_mirrored_but_never_against_their_caption() -> None:
    flip = AugmentConfig(flip=True)
    plain = prepare(NOISE, SMALL)
    outcomes = [augmentation(flip)(NOISE, SMALL, 0, row) for row in range(200)]
    mirrored = [torch.equal(picture, plain.flip(2)) for picture in outcomes]
    assert all(m or torch.equal(p, plain) for m, p in zip(mirrored, outcomes, strict=True))
    assert 70 < sum(mirrored) < 130
    assert all(torch.equal(augmentation(flip, sided=True)(NOISE, SMALL, 0, row), plain) for row in range(50))


def test_captions_that_know_left_from_right() -> None:
    words = ["a", "dog", "left", "righthand", "the"]
    numbers = np.array([0, 1, 4, 1, 2, 0, 3, 1, 0], dtype=np.int32)
    starts = np.array([0, 2, 5, 5, 8, 9])
    captions = CaptionSet(words, numbers, starts, np.zeros(5, np.int32), np.array([1]), Path("none"))
    assert says_left_or_right(captions).tolist() == [False, True, False, True, False]


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"data": {"augment": {"jitter": 0.2}}}, r"those of unchanged pictures; use features.views=8"),
        ({"data": {"augment": {"flip": True}}}, r"or features=off"),
        ({"data": {"augment": {"crop_area": 0.0}}}, r"data.augment.crop_area=0.0 is out of range"),
        ({"data": {"augment": {"jitter": 1.5}}}, r"data.augment.jitter=1.5 is out of range"),
        ({"data": {"augment": {"hue": 0.5}}}, r"data.augment.hue: there is no such setting"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(sections: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        parse(sections)
    assert "\n" not in str(refused.value)
    assert not Config().data.augment.active
