"""Batches: what is in them, and that every caption comes exactly once wherever an epoch was cut."""

from pathlib import Path

import numpy as np
import pytest
import torch

from showtell.config import DataConfig, ImageTransform, TrainingConfig
from showtell.data.caption_set import load_captions
from showtell.data.loading import TrainLoader
from showtell.data.module import CaptionData, SplitData
from showtell.data.readers import CachedFeatures, PictureFiles
from showtell.distributed import Ranks
from showtell.text import END, Vocabulary


def data(
    root: Path, cache: Path, *, stored: bool = True, workers: int = 0, ranks: Ranks | None = None, **training: object
) -> CaptionData:
    config = DataConfig(name="tiny", format="coco", root=str(root))
    splits = []
    for name in ("train", "val"):
        captions = load_captions(config, name, cache)  # type: ignore[arg-type]
        features = torch.arange(len(captions.paths)).float()[:, None]
        read = CachedFeatures(features) if stored else PictureFiles(captions.paths, ImageTransform(size=8))
        splits.append(SplitData(captions, read, np.zeros(len(captions.paths), bool)))
    vocabulary = Vocabulary.from_counts(splits[0].captions.counts, 1)
    settings = TrainingConfig(batch_size=7, **training)  # type: ignore[arg-type]
    return CaptionData(splits[0], splits[1], vocabulary, settings, seed=3, num_workers=workers, ranks=ranks)


def seen(loader: TrainLoader, module: CaptionData) -> list[tuple[int, ...]]:
    found = []
    for batch in loader:
        found += [tuple(row) for row in torch.cat([batch["picture_ids"][:, None], batch["captions"]], 1).tolist()]
        module.position.advance(module.batches_per_epoch)
    return found


def test_a_batch_has_images_captions_and_ids_that_belong_together(tiny_coco: Path, tmp_path: Path) -> None:
    module = data(tiny_coco, tmp_path)
    batch = next(iter(module.train_dataloader()))
    size, length = batch["captions"].shape
    assert (batch["captions"][:, -1] == END).all() and (batch["captions"][:, :-1] > END).all()
    assert batch["images"].shape == (size, 1) and length in (5, 10)
    assert torch.equal(batch["picture_ids"], batch["images"][:, 0].long() + 1)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("cut", [0, 3, 7, 8])
def test_an_epoch_that_is_cut_goes_on_where_it_was(tiny_coco: Path, tmp_path: Path, cut: int, workers: int) -> None:
    whole = data(tiny_coco, tmp_path)
    expected = seen(whole.train_dataloader(), whole) + seen(whole.train_dataloader(), whole)
    first = data(tiny_coco, tmp_path, workers=workers)
    before = []
    for number, batch in enumerate(first.train_dataloader()):
        if number == cut:
            break  # with workers, more batches are loaded by now than were trained on
        before += batch["picture_ids"].tolist()
        first.position.batch += 1
    second = data(tiny_coco, tmp_path, workers=workers)
    second.load_state_dict(first.state_dict())
    loader = second.train_dataloader()
    after = seen(loader, second)
    while len(before) + len(after) < len(expected):
        after += seen(loader, second)
    assert before + [row[0] for row in after] == [row[0] for row in expected]


def test_every_caption_comes_once_per_epoch_in_another_order(tiny_coco: Path, tmp_path: Path) -> None:
    module = data(tiny_coco, tmp_path)
    first, second = (seen(module.train_dataloader(), module) for _ in range(2))
    assert len(first) == 48 and sorted(first) == sorted(second) and first != second


def test_stored_and_decoded_batches_are_the_same_rows(tiny_coco: Path, tmp_path: Path) -> None:
    stored, decoded = (data(tiny_coco, tmp_path, stored=flag) for flag in (True, False))
    for one, two in zip(stored.train_dataloader(), decoded.train_dataloader(), strict=True):
        assert torch.equal(one["captions"], two["captions"])
        assert two["images"].shape[1:] == (3, 8, 8)


def test_validation_scores_every_caption_and_shows_every_picture(tiny_coco: Path, tmp_path: Path) -> None:
    captions, pictures = data(tiny_coco, tmp_path).val_dataloader()
    assert sum(len(batch["captions"]) for batch in captions) == 12
    assert [i for batch in pictures for i in batch["picture_ids"].tolist()] == list(range(1001, 1007))
    few = data(tiny_coco, tmp_path, val_pictures=3)
    assert few.val_pictures().tolist() == [0, 2, 5]


def test_overfitting_repeats_the_first_batches(tiny_coco: Path, tmp_path: Path) -> None:
    module = data(tiny_coco, tmp_path, overfit_batches=2)
    loader = module.train_dataloader()
    assert len(loader) == 2
    assert seen(loader, module) == seen(loader, module)


@pytest.mark.parametrize("workers", [0, 1])
def test_ranks_load_the_batches_of_one_process(tiny_coco: Path, tmp_path: Path, workers: int) -> None:
    whole = list(data(tiny_coco, tmp_path).train_dataloader())
    ranks = [data(tiny_coco, tmp_path, workers=workers, ranks=Ranks(rank, 4)) for rank in range(4)]
    assert {module.batches_per_epoch for module in ranks} == {len(whole)}
    empty = 0
    for expected, *parts in zip(whole, *(module.train_dataloader() for module in ranks), strict=True):
        found = torch.cat([batch["picture_ids"] for batch in parts if batch["weight"]])
        assert sorted(found.tolist()) == sorted(expected["picture_ids"].tolist())
        assert {batch["captions"].shape[1] for batch in parts} == {expected["captions"].shape[1]}
        assert {batch["captions_on_all_ranks"] for batch in parts} == {len(expected["captions"])}
        empty += sum(batch["weight"] == 0 for batch in parts)
    assert empty  # batches of three captions, whose fourth rank takes part all the same


def test_ranks_validate_every_row_once(tiny_coco: Path, tmp_path: Path) -> None:
    loaders = [data(tiny_coco, tmp_path, ranks=Ranks(rank, 4)).val_dataloader() for rank in range(4)]
    for kind, count in ((0, 12), (1, 6)):
        batches = [batch for loader in loaders for batch in loader[kind]]
        assert sum(len(batch["picture_ids"]) for batch in batches if batch["weight"]) == count
        assert len({len(loader[kind]) for loader in loaders}) == 1
