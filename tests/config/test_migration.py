"""Configurations of older versions, and old words on a command line."""

from typing import Any

import pytest

from showtell.config import Config, ConfigError, parse, restore
from showtell.config.migration import MOVED, migrated
from showtell.config.reference import known_keys

OLD = {
    "decoder": {"name": "lstm", "hidden_size": 8, "num_heads": 4, "attention_size": 256, "region_size": 0},
    "encoder": {"name": "resnet18", "pooling": "auto"},
    "data": {"format": "coco", "train_split": None, "shapes": {"seed": 0}, "shuffle_buffer": 10000},
    "training": {"objective": "cross_entropy", "label_smoothing": 0.1, "drawn_captions": 5, "batch_size": 9},
}


def test_an_old_configuration_is_restored() -> None:
    config = restore(OLD)
    assert (config.objective.name, config.objective.label_smoothing) == ("cross_entropy", 0.1)  # type: ignore[attr-defined]
    assert (config.decoder.hidden_size, config.training.batch_size) == (8, 9)
    assert config.encoder.pooling == "average"


def test_old_and_new_compare_as_equal() -> None:
    """An answer that follows from other settings is the same in every run, so a leaderboard shows no difference."""
    assert migrated(OLD)["encoder"]["pooling"] == "average"
    assert migrated({"decoder": {"name": "attention"}, "encoder": {"pooling": "auto"}})["encoder"]["pooling"] == "grid"


def test_what_is_up_to_date_stays() -> None:
    values = Config().as_dict()
    assert migrated(values) == values and restore(values) == Config()


def test_the_given_values_are_not_touched() -> None:
    before = repr(OLD)
    migrated(OLD)
    assert repr(OLD) == before


@pytest.mark.parametrize("values", [{"decoder": {"name": "lstm", "hiden_size": 3}}, {"training": {"batchsize": 3}}])
def test_a_typo_is_not_migrated_away(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="there is no such setting"):
        restore(values)


@pytest.mark.parametrize("old", MOVED)
def test_an_old_word_names_the_new_one(old: str) -> None:
    section, _, key = old.partition(".")
    with pytest.raises(ConfigError, match=f"{old} is called {MOVED[old]} now"):
        parse({section: {key: 1}})
    assert MOVED[old] in known_keys() and old not in known_keys()


CUSTOM = {
    "name": "custom", "format": "coco", "train_annotations": "captions_train.json",
    "val_annotations": "captions_val.json", "train_images": "images", "val_images": "images",
}  # fmt: skip


def test_an_old_run_over_own_pictures_keeps_its_files() -> None:
    """They are not looked for again: another file may lie beside them by now."""
    assert migrated({"data": CUSTOM})["data"].items() >= {**CUSTOM, "format": "folder"}.items()
    assert restore({"data": CUSTOM}).data.train_images == "images"
