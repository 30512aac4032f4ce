"""`data=NAME data.key=value` outside Hydra, and the data sets under `conf/data`."""

from pathlib import Path

import pytest

from showtell.config import ConfigError, DataConfig, names
from showtell.config.presets import data_config

CONF = Path(__file__).parents[2] / "conf"
NAMES = sorted({file.stem for file in (CONF / "data").glob("*.yaml")} | set(names("format")))


def test_the_promised_data_sets_are_there():
    promised = {"shapes", "coco2014", "coco2017", "karpathy", "flickr8k", "flickr30k", "custom"}
    assert promised <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_data_set_passes_the_gate_under_its_name(name):
    config = data_config([f"data={name}"], CONF)
    assert isinstance(config, DataConfig) and config.name == name


def test_values_are_set_by_key():
    arguments = ["data.root=/a=b", "data=flickr8k", "data.train_split=null", "data.max_caption_words=7"]
    config = data_config([*arguments, "data.num_workers=0"], CONF)
    assert (config.root, config.train_split, config.max_caption_words, config.num_workers) == ("/a=b", None, 7, 0)


def test_a_preset_starts_from_another_preset(tmp_path):
    (tmp_path / "data").mkdir()
    mine = "defaults: [first, _self_]\nname: mine\nshapes: {val_pictures: 3}\n"
    (tmp_path / "data/first.yaml").write_text("defaults: [shapes]\nroot: photos\nshapes: {train_pictures: 5}\n")
    (tmp_path / "data/mine.yaml").write_text(mine)
    config = data_config(["data=mine"], tmp_path)
    assert (config.name, config.format, config.root) == ("mine", "shapes", "photos")
    assert (config.shapes.train_pictures, config.shapes.val_pictures) == (5, 3)
    (tmp_path / "data/first.yaml").write_text("defaults: [mine]\n")
    with pytest.raises(ConfigError, match="data=mine: there is no such option"):
        data_config(["data=mine"], tmp_path)


@pytest.mark.parametrize(
    "argument",
    [
        "data=nowhere", "data=../config", "data=", "root=x", "data.root", "data.rot=3", "data.num_workers=-1",
        "data.num_workers=many", "data.format=voc", "data.shapes=3", "data.root.a=3", "data.shapes.sed=1",
        "data.=1", "data.shapes.seed.x=1",
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_in_one_line(argument):
    with pytest.raises(ConfigError) as caught:
        data_config([argument], CONF)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


@pytest.mark.parametrize("content", ["- a\n", "", "a: [", "!!python/object/apply:os.getcwd []", "\0"])
def test_a_broken_group_file_is_told_in_one_line(tmp_path, content):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/mine.yaml").write_text(content)
    with pytest.raises(ConfigError, match=r"mine\.yaml") as caught:
        data_config(["data=mine"], tmp_path)
    assert "\n" not in str(caught.value)


def test_without_presets_the_line_says_where_they_were_looked_for(tmp_path):
    """An installed package has no conf/ beside it."""
    with pytest.raises(ConfigError, match=r"karpathy, shapes, shards \(there are no presets"):
        data_config(["data=custom"], tmp_path)
    assert data_config(["data=coco", "data.root=photos"], tmp_path).root == "photos"
