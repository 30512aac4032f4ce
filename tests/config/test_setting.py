"""What each setting says of itself, and what is made of that."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from showtell.config import (
    Config,
    ConfigError,
    DecoderConfig,
    Section,
    Setting,
    parse,
    register,
    registry,
    restore,
    section,
    setting,
    walk,
)
from showtell.config.reference import all_settings, explained_setting, settings_page, traits

ROOT = Path(__file__).resolve().parents[2]
ALL = dict.fromkeys(found.key for _, found in all_settings())


def keys(**wanted: object) -> set[str]:
    found = ((one.key, [getattr(one.setting, name) for name in wanted]) for _, one in all_settings())
    return {key for key, traits in found if traits == list(wanted.values())}


def test_every_setting_of_ours_tells_what_it_means() -> None:
    assert not [found.key for _, found in all_settings() if not found.setting.meaning]


def test_what_a_resume_refuses() -> None:
    """Without these the weights or the words of a checkpoint mean something else."""
    encoder = {key for key in ALL if key.startswith("encoder.")}
    decoder = ["name", "embedding_size", "hidden_size", "num_layers", "attention_size", "region_size", "num_heads"]
    decoder += ["tie_embeddings", "image_every_step", "model", "tune", "regions", "prefix_length"]
    vocabulary = {f"vocab.{name}" for name in ("threshold", "tokenizer", "size", "pretokenizer")}
    assert keys(on_resume="refuse") == encoder | {f"decoder.{name}" for name in decoder} | vocabulary


def test_what_a_resume_says() -> None:
    said = keys(on_resume="say")
    assert {"seed", "training.batch_size", "training.learning_rate", "device.precision", "device.devices"} <= said
    assert {"decoder.dropout", "objective.label_smoothing", "features.dtype", "data.augment.flip"} <= said


def test_what_makes_no_other_run() -> None:
    same = keys(identifies=False)
    assert {"cache", "data.num_workers", "device.accelerator", "sweep.jobs", "training.max_epochs", "resume"} <= same
    assert not same & {"seed", "name", "decoder.dropout", "training.batch_size", "features.dtype", "data.root"}


def test_what_runs_are_not_compared_by() -> None:
    assert {"seed", "cache", "sweep.trials", "data.num_workers", "features.place"} <= keys(compared=False)
    assert {"training.learning_rate", "decoder.name", "data.name"} <= keys(compared=True)


def test_a_setting_has_the_nature_of_its_section_unless_it_says_otherwise() -> None:
    @dataclass(kw_only=True)
    class Inner(Section):
        plain: int = setting(1, "takes the section's")
        own: int = setting(1, "says otherwise", on_resume="say")

    @dataclass(kw_only=True)
    class Outer(Section):
        inner: Inner = section(Inner, "a section", on_resume="refuse", compared=False)

    found = {one.key: one.setting for one in walk(Outer)}
    assert (found["inner.plain"].on_resume, found["inner.own"].on_resume) == ("refuse", "say")
    assert found["inner.own"].compared is False and found["inner.own"].identifies is True


@pytest.mark.parametrize(
    ("value", "told", "message"),
    [
        (0, Setting(low=1), "a.b=0 is out of range; it must be at least 1"),
        (0.0, Setting(above=0, high=1), "a.b=0.0 is out of range; it must be greater than 0 and at most 1"),
        (1.5, Setting(high=1), "a.b=1.5 is out of range; it must be at most 1"),
        (float("nan"), Setting(low=0), "a.b=nan is out of range"),
        ("x", Setting(choices=("y", "z")), "a.b='x' is not an option; choose one of y, z"),
    ],
)
def test_limits(value: object, told: Setting, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        told.check("a.b", value)
    assert str(refused.value).startswith(message)
    told.check("a.b", None)


def test_a_section_checks_itself_when_it_is_made() -> None:
    @dataclass(kw_only=True)
    class Part(Section):
        key: ClassVar[str] = "part"
        size: int = setting(4, "a size", low=1)

        def check(self) -> None:
            if self.size % 2:
                raise ConfigError(f"part.size={self.size} is odd; make it even")

    with pytest.raises(ConfigError, match=r"part\.size=0 is out of range"):
        Part(size=0)
    with pytest.raises(ConfigError, match="odd"):
        Part(size=3)


def test_every_run_records_the_same_value_for_the_same_thing() -> None:
    assert Config().encoder.pooling == "average"
    assert parse({"decoder": {"name": "topdown"}}).encoder.pooling == "grid"
    assert parse(parse({"decoder": {"name": "topdown"}}).as_dict()).encoder.pooling == "grid"


def test_help_explains_a_setting() -> None:
    text = explained_setting("decoder.hidden_size")
    assert "at least 1 and at most 65536; default 100" in text and "default 256" in text
    assert "another value is refused" in text
    assert explained_setting("data.augment").splitlines()[1:3] == ["  data.augment.crop_area", "  data.augment.jitter"]
    assert not explained_setting("decoder.hiden_size")


def test_a_key_that_nobody_declared_is_compared() -> None:
    assert traits(["strange.key"])["strange.key"].compared is True


def test_the_page_is_up_to_date() -> None:
    assert (ROOT / "docs" / "settings.md").read_text().rstrip() == settings_page(), "python -m showtell.config"


def test_the_schema_needs_no_torch() -> None:
    code = "import sys, showtell.config, showtell.run; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_a_setting_has_the_traits_that_the_named_part_gives_it() -> None:
    """Two decoders may have one key and mean another thing by it."""

    @dataclass(kw_only=True)
    class StubbornConfig(DecoderConfig):
        name: str = "stubborn"
        dropout: float = setting(0.0, "shapes its weights", on_resume="refuse")

    register("decoder", StubbornConfig)(object)
    try:
        assert traits(["decoder.dropout"], {"decoder.name": "stubborn"})["decoder.dropout"].on_resume == "refuse"
        assert traits(["decoder.dropout"], {"decoder.name": "lstm"})["decoder.dropout"].on_resume == "say"
    finally:
        del registry._parts[("decoder", "stubborn")]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"decoding": {"temperature": 0.5}},
            "decoding.temperature=0.5 has no effect with decoding.method=greedy; choose",
        ),
        ({"decoding": {"diversity": 0.9}}, "decoding.diversity=0.9 has no effect with decoding.groups=1; choose"),
        ({"decoding": {"length_penalty": 0.7}}, "choose decoding.method=beam or sample, or set"),
        ({"features": {"mode": "off", "dtype": "float32"}}, "features.dtype=float32 has no effect"),
        ({"training": {"encoder_learning_rate": 0.1}}, "choose encoder.finetune_blocks, or init_from, or set"),
        ({"training": {"limit_train_batches": 2, "overfit_batches": 1}}, "training.overfit_batches=1; choose"),
        ({"sweep": {"partition": "gpu"}}, "has no effect with sweep.backend=local; choose sweep.backend=slurm"),
        ({"data": {"format": "shards", "train_images": "x"}}, "choose another data.format"),
        (
            {"objective": {"name": "self_critical", "label_smoothing": 0.1}, "init_from": "runs/a"},
            "objective.label_smoothing=0.1 has no effect with objective.cross_entropy_weight=0.0; choose",
        ),
    ],
)
def test_a_setting_without_effect_is_refused_and_in_an_old_run_dropped(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(values)
    assert message in str(refused.value)
    restored = restore(values)
    section, inner = next((section, inner) for section, inner in values.items() if isinstance(inner, dict))
    last = list(inner)[-1] if section != "training" else next(iter(inner))
    assert getattr(getattr(restored, section), last) != inner[last]


def test_with_what_it_needs_a_setting_counts() -> None:
    parse({"decoding": {"method": "beam", "beam_size": 4, "groups": 2, "diversity": 0.9, "length_penalty": 0.7}})
    parse({"training": {"encoder_learning_rate": 0.0}, "init_from": "runs/a"})


def test_what_a_first_stage_overrules_is_told() -> None:
    asked = parse({"decoder": {"name": "lstm", "hidden_size": 512}, "vocab": {"threshold": 2}, "init_from": "runs/a"})
    told = asked.overruled_by(parse({"decoder": {"name": "attention"}, "vocab": {"threshold": 2}}))
    assert told == ["decoder.hidden_size=512 is not used; init_from brings 256"]
