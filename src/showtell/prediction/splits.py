"""`predict.py RUN --split test`: the pictures of a split of a run's own data, as its configuration knows them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from showtell.config import Config, DataConfig
from showtell.config.presets import data_config
from showtell.config.sections import AugmentConfig
from showtell.data.annotations import Split, SplitName
from showtell.data.formats import read_split
from showtell.data.settings import ShapesDataConfig, ShardsConfig
from showtell.data.shapes import scenes_file
from showtell.data.shards.unpack import unpacked_split
from showtell.errors import ConfigError
from showtell.prediction.inputs import NamedModel, PictureList


def split_pictures(split: SplitName, models: Sequence[NamedModel], words: Sequence[str]) -> PictureList:
    """The pictures of a split, described or not; whether each is there shows when it is read.

    Args:
        split: of the data that the first model was trained on.
        models: who captions.
        words: `data.KEY=VALUE` where the data lie elsewhere now, or `data=NAME` for other data.

    Raises:
        UserError: there is no such split, or it cannot be read; one line.
    """
    for word in words:
        if word.startswith(("data.extra_captions=", "data.augment.")):
            key = word.partition("=")[0]
            raise ConfigError(f"{key}: pictures are captioned as they are, nothing is trained; leave it out")
    trained = [config for model in models for config in model.captioner.configs]
    own = trained[0].data
    untouched = replace(own, augment=AugmentConfig())  # read as they are, whatever training changed
    config = data_config(words, start=untouched)
    found = read_pictures(config, split, Path(trained[0].cache))
    is_own = not any(word.startswith("data=") for word in words)
    notes = [*found.skipped, *(_trained_elsewhere(config, trained) if is_own else [])]
    name = f"{split} split of {config.name}"
    moved = (own, config) if is_own else None
    scenes = scenes_file(Path(config.root), split) if isinstance(config, ShapesDataConfig) else None
    return PictureList(
        found.pictures, notes=notes, name=name, split=split, form=config.format, moved=moved, scenes=scenes
    )


def read_pictures(config: DataConfig, split: SplitName, cache: Path) -> Split:
    """A split with the pictures that nobody described; shards are unpacked into the cache."""
    if not isinstance(config, ShardsConfig):
        return read_split(config, split, check_files=False, undescribed=True)
    return read_split(unpacked_split(config, split, cache / "shards"), "val", check_files=False, undescribed=True)


def training_data(listed: PictureList, configs: Sequence[Config]) -> list[DataConfig]:
    """What each run was trained on, where it lies now."""
    before, now = listed.moved or (None, None)
    return [now if now and config.data == before else config.data for config in configs]


def _trained_elsewhere(config: DataConfig, trained: Sequence[Config]) -> list[str]:
    """Another run may have been trained on these very pictures."""
    others = dict.fromkeys(one.data.name for one in trained if one.data != trained[0].data)
    return [f"the pictures are those of {config.name}; one model was trained on {name}" for name in others]
