"""Every file under conf/ composes, every recipe's values survive composition, the gate refuses in one line."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from showtell.config import Config, ConfigError, parse, register_with_hydra
from showtell.config.command_line import with_recipe
from showtell.config.registry import SECTIONS, parts
from showtell.config.stages import settled

CONF = Path(__file__).resolve().parents[2] / "conf"
ALL = sorted(str(path.relative_to(CONF).with_suffix("")) for path in CONF.rglob("*/*.yaml"))
REGISTERED = [f"{section}/{part.name}" for section, (kind, _) in SECTIONS.items() for part in parts(kind)]
RECIPES = [name for name in ALL if name.split("/")[0] in ("experiment", "debug")]


@pytest.fixture(autouse=True)
def hydra_is_ready() -> Iterator[None]:
    register_with_hydra()
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


@pytest.mark.parametrize("name", [*ALL, *(name for name in REGISTERED if name not in ALL)])
def test_every_option_composes_and_passes_the_gate(name: str) -> None:
    group, _, option = name.partition("/")
    beside = ["init_from=runs/first"] if "scst" in name or "self_critical" in name else []
    beside += ["encoder.name=convnext_tiny"] if name in ("encoder/timm", "encoder/torchvision") else []
    assert isinstance(parse(compose("config", [f"{group}={option}", *beside])), Config)


GROUPS = [name for name in ALL if name.split("/")[0] in ("data", "decoder", "encoder", "device")]


@pytest.mark.parametrize("name", GROUPS)
def test_a_default_stands_once(name: str) -> None:
    """An option of a group says what differs, not what the schema says anyway."""
    group = name.partition("/")[0]
    content = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    written = dict(leaves(content))
    composed = compose("config", [f"{group}={content.get('defaults', ['auto'])[0]}"])[group]
    schema = dict(leaves(OmegaConf.to_container(composed)))
    assert len(written) == 1 or not [key for key, value in written.items() if schema.get(key) == value]


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
    config = parse(compose("config", with_recipe([])))
    assert (config.data.format, config.encoder.name, config.name) == ("shapes", "efficientnet_lite0", "demo")
    assert (config.encoder.pooling, config.training.max_epochs) == ("cells", 2)


@pytest.mark.parametrize("words", [["data=shards"], ["data=custom", "data.root=photos"], ["experiment=coco"]])
def test_the_demos_settings_stay_with_the_demo(words: list[str]) -> None:
    config = parse(compose("config", with_recipe(words)))
    assert (config.encoder.image_size, config.encoder.pooling) == (0, "average")
    assert config.training.learning_rate == 1e-3 and config.name != "demo"


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
        ({"decoder": {"name": "lstm", "attention_size": 3}}, "decoder.attention_size: there is no such setting"),
        ({"training": {"label_smoothing": 0.1}}, "training.label_smoothing is called objective.label_smoothing now"),
        ({"objective": {"name": "self_critical"}}, "give a trained run's directory, init_from="),
        (
            {"objective": {"name": "self_critical"}, "init_from": "r", "data": {"format": "shards"}},
            "objective=self_critical needs all captions in memory and data=shards streams them",
        ),
        ({"data": {"format": "shards", "augment": {"flip": True}}}, "not with data=shards; set it back"),
        ({"training": {"schedule": "plateau", "warmup_steps": 3}}, "plateau has no warm-up"),
        (
            {"decoder": {"name": "transformer", "hidden_size": 10, "num_heads": 3}},
            "decoder.num_heads=3 does not divide",
        ),
    ],
)
def test_the_gate_refuses_in_one_line(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(values)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("decoder", ["attention", "hard_attention", "topdown"])
@pytest.mark.parametrize("pooling", ["average", "grid:1", "multi:1"])
def test_a_new_run_does_not_attend_to_one_region(decoder: str, pooling: str) -> None:
    asked = {"decoder": {"name": decoder}, "encoder": {"pooling": pooling}}
    with pytest.raises(ConfigError, match=f"encoder.pooling={pooling} leaves decoder={decoder} a single region"):
        settled(parse(asked), [])
    assert parse(asked).encoder.pooling == pooling  # an older run is read
    more = {**asked, "encoder": {"pooling": "tokens:1"}}
    assert settled(parse(more), []) == parse(more)


def test_a_transformer_may_be_told_one_vector() -> None:
    config = parse({"decoder": {"name": "transformer"}, "encoder": {"pooling": "average"}})
    assert settled(config, []) == config
