"""Every file under conf/ composes, every recipe's values survive composition, the gate refuses in one line."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from showtell.config import Config, ConfigError, parse

CONF = Path(__file__).resolve().parents[1] / "conf"
ALL = sorted(str(path.relative_to(CONF).with_suffix("")) for path in CONF.rglob("*/*.yaml"))
RECIPES = [name for name in ALL if name.split("/")[0] in ("experiment", "debug")]


@pytest.fixture(autouse=True)
def hydra_is_ready() -> Iterator[None]:
    ConfigStore.instance().store("schema", Config)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield


def leaves(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if key in ("defaults", "hydra"):
            continue
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


@pytest.mark.parametrize("name", ALL)
def test_every_option_composes_and_passes_the_gate(name: str) -> None:
    group, _, option = name.partition("/")
    assert isinstance(parse(compose("config", [f"{group}={option}"])), Config)


@pytest.mark.parametrize("name", RECIPES)
def test_every_value_of_a_recipe_survives_composition(name: str) -> None:
    group, _, option = name.partition("/")
    composed = compose("config", [f"{group}={option}"])
    written = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    for key, value in leaves(written):
        expected = OmegaConf.create({"x": value}).x
        found = OmegaConf.select(composed, key)
        assert found == expected or found == pytest.approx(float(expected)), key


def test_the_defaults_are_the_embedded_demo_with_the_offline_encoder() -> None:
    config = parse(compose("config"))
    assert (config.data.format, config.encoder.name, config.name) == ("shapes", "efficientnet_lite0", "demo")


def test_recipes_for_real_data_default_to_resnet50() -> None:
    for name in ("article", "coco", "flickr8k"):
        assert parse(compose("config", [f"experiment={name}"])).encoder.name == "resnet50"


def test_yaml_holds_values_only() -> None:
    for path in CONF.rglob("*.yaml"):
        text = path.read_text()
        assert "_target_" not in text and "_partial_" not in text
        outside = [line for line in text.split("hydra:")[0].splitlines() if "${" in line.split("#")[0]]
        assert not outside, path


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"decoder": {"hiden_size": 3}}, "there is no such setting"),
        ({"decoder": {"hidden_size": "many"}}, "decoder.hidden_size"),
        ({"decoding": {"method": "beam", "beam_size": 4, "groups": 3}}, "decoding.groups=3"),
        ({"training": {"batch_size": 0}}, "training.batch_size=0 is out of range"),
        ({"data": {"format": "voc"}}, "data.format='voc' is not an option"),
    ],
)
def test_the_gate_refuses_in_one_line(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(values)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
