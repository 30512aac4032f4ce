"""Limits of settings: every number has both ends, and what no number is, is refused."""

import math
import re

import pytest
from tests.conftest import REPOSITORY

from showtell.config import ConfigError, parse
from showtell.config.command_line import checked_arguments
from showtell.config.reference import all_settings


def test_every_number_of_ours_has_a_largest_and_a_smallest_value() -> None:
    """Without, hidden_size=1e9 is a traceback of torch, and beam_size=1e9 hangs."""
    numbers = [one for _, one in all_settings() if re.search(r"\b(int|float)\b", str(one.field.type))]
    told = {one.key: one.setting for one in numbers if not one.setting.choices}
    assert len(told) > 60
    open_ended = [key for key, one in told.items() if one.high is None or one.low is one.above is None]
    assert open_ended == []


@pytest.mark.parametrize(
    ("values", "line"),
    [
        (
            {"decoder": {"hidden_size": 10**9}},
            "decoder.hidden_size=1000000000 is out of range; it must be at least 1 and",
        ),
        ({"encoder": {"image_size": 10**6}}, "encoder.image_size=1000000 is out of range"),
        ({"decoding": {"method": "beam", "beam_size": 10**9}}, "decoding.beam_size=1000000000 is out of range"),
        ({"decoding": {"method": "beam", "length_penalty": 1e308}}, "decoding.length_penalty=1e+308 is out of range"),
        ({"decoding": {"method": "sample", "temperature": 1e300}}, "decoding.temperature=1e+300 is out of range"),
        ({"decoding": {"max_length": 10**5}}, "decoding.max_length=100000 is out of range"),
        ({"device": {"devices": 1000}}, "device.devices=1000 is out of range"),
        ({"training": {"max_epochs": 10**30}}, "training.max_epochs"),
        ({"training": {"learning_rate": math.nan}}, "training.learning_rate=nan is out of range"),
        ({"training": {"learning_rate": math.inf}}, "training.learning_rate=inf is out of range"),
    ],
)
def test_values_beyond_the_limits_are_one_line(values: dict[str, dict[str, object]], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(values)
    assert str(caught.value).startswith(line) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("word", "read"),
    [
        ("++hydra.run.dri=x", "hydra.run.dri=x"),  # which Hydra refuses by name
        ("+hydra.foo=1", "hydra.foo=1"),
        ("+hydra.sweeper.params.seed=1,2", "+hydra.sweeper.params.seed=1,2"),
    ],
)
def test_a_plus_brings_no_unknown_word_to_hydra(word: str, read: str) -> None:
    assert read in checked_arguments([word], REPOSITORY / "conf")
