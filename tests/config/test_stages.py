"""What a second stage has of its first one and of its recipe; which row of a table by size is taken."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir

from showtell.config import ConfigError, parse, register_with_hydra
from showtell.config.stages import as_sized, second_stage, sized, unless_given, with_recipe_of_second

CONF = Path(__file__).resolve().parents[2] / "conf"
FIRST: dict[str, Any] = {
    "name": "mine", "then": "scst", "data": {"format": "coco", "root": "photos"}, "decoder": {"hidden_size": 32},
    "training": {"schedule": "cosine", "max_epochs": 8, "val_pictures": 5, "weight_decay": 0.1},
}  # fmt: skip


def expanded(**values: Any) -> Any:
    return with_recipe_of_second(parse(FIRST | values))


def test_a_second_stage_is_its_recipe_on_what_the_first_is_made_of() -> None:
    first = expanded(second={"training": {"max_epochs": 2}, "init_from": "last"})
    second = second_stage(first, Path("run/checkpoints"))
    assert (second.name, second.data.root, second.decoder) == ("mine", "photos", first.decoder)
    assert (second.objective.name, second.features.views, second.data.augment.flip) == ("self_critical", 8, True)
    assert (second.decoding.beam_size, second.decoding.block_ngram) == (5, 3)
    assert second.init_from == "run/checkpoints/last.ckpt"
    assert (second.then, second.second) == (None, {})
    # how it learns is its own, how it is watched is the run's
    training = second.training
    assert (training.schedule, training.weight_decay, training.max_epochs) == ("constant", 0.0, 2)
    assert (training.val_pictures, training.learning_rate) == (5, 1e-3)


def test_a_run_knows_its_second_stage_without_the_recipe() -> None:
    """It is written down whole, with the values that the gate made of it."""
    first = expanded()
    assert first.second["training"]["learning_rate"] == 1e-3
    assert first.second["objective"]["draw_temperature"] == 0.5
    again = parse(yaml.safe_load(yaml.safe_dump(first.as_dict())))
    assert again == first
    assert second_stage(again, Path("x")) == second_stage(first, Path("x"))


def test_a_group_that_a_recipe_chooses_keeps_nothing_of_the_first_stages() -> None:
    decoding = {"method": "sample", "top_k": 5, "max_length": 12}
    second = second_stage(expanded(decoding=decoding), Path("x"))
    assert (second.decoding.method, second.decoding.top_k) == ("beam", 0)


def test_fine_tuning_can_follow() -> None:
    second = second_stage(expanded(then="finetune"), Path("x"))
    assert (second.encoder.finetune_blocks, second.features.mode) == (2, "off")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"then": "scts"}, "then=scts: there is no such option; did you mean then=scst"),
        ({"second": {"training": {"max_epoch": 3}}}, "then=scst: .*max_epoch"),
        ({"second": {"training": {"max_epochs": 0}}}, "then=scst: training.max_epochs=0 is out of range"),
        ({"second": {"init_from": "runs/x"}}, "second.init_from=runs/x is not an option; choose one of best, last"),
        ({"second": {"then": "scst"}}, "second.then has no effect"),
        ({"features": {"mode": "off"}}, "then=scst: features.views=8: with features=off"),
        ({"data": {"format": "shards"}}, "then=scst: objective=self_critical needs all captions in memory"),
        ({"then": None, "second": {"seed": 3}}, "second.seed has no effect without a second stage"),
    ],
)
def test_what_makes_no_sense_is_refused(values: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        expanded(**values)


TABLE = {
    "to_100": {"decoder": {"hidden_size": 10, "dropout": 0.5}, "training": {"max_epochs": 3}},
    "to_200": {"decoder": {"hidden_size": 20}, "then": "scst", "second": {"training": {"max_epochs": 1}}},
    "more": {"decoder": {"hidden_size": 30}},
}


@pytest.mark.parametrize(("captions", "size"), [(1, 10), (100, 10), (101, 20), (200, 20), (201, 30), (None, 30)])
def test_the_number_of_captions_chooses_the_row(captions: int | None, size: int) -> None:
    config, *_ = sized(parse({"by_size": TABLE}), captions)
    assert (config.decoder.hidden_size, config.by_size) == (size, {})
    assert (config.then == "scst") == (size == 20)


def test_the_command_line_wins_over_the_table() -> None:
    words = ["decoder.hidden_size=7", "training.max_epochs=9"]
    config = unless_given(parse({"by_size": TABLE, "decoder": {"hidden_size": 7}}), words)
    row, told, _ = sized(config, 50)
    assert (row.decoder.hidden_size, row.decoder.dropout, row.training.max_epochs) == (7, 0.5, 10)
    assert told == ["decoder.dropout=0.5"]
    assert unless_given(parse({"by_size": TABLE}), ["debug=fast"]).by_size["to_100"]["training"] == {}
    assert unless_given(config, ["decoder=transformer"]).by_size["to_100"] == {"training": {}}
    without, *_ = sized(unless_given(parse({"by_size": TABLE}), ["then=null"]), 150)
    assert without.then is None


def test_a_sweep_finds_the_run_that_its_table_made() -> None:
    asked = parse({"by_size": TABLE, "second": {"seed": 4}})
    made, *_ = sized(asked, 150)
    assert as_sized(asked, made.as_dict()) == made
    assert as_sized(asked, {}) == asked


def test_a_row_has_a_number() -> None:
    with pytest.raises(ConfigError, match=r"by_size.small: a row is called to_NUMBER"):
        sized(parse({"by_size": {"small": {}}}), 5)


def test_every_row_of_every_recipe_is_a_run_with_its_second_stage() -> None:
    register_with_hydra()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = parse(compose("config", ["experiment=photos"]))
    notes = []
    for captions in (300, 1500, 3500, 30_000, 250_000):
        row, told, note = sized(config, captions)
        assert told and row.then and not any("note" in word for word in told)
        notes.append(note[:35])
        assert second_stage(row, Path("x")).objective.name == "self_critical"
    assert notes == ["fewer captions than this recipe was", "", "", *["not measured at this size; settings"] * 2]
    few, enough = sized(config, 300), sized(config, 1500)
    assert few[:2] == enough[:2]
