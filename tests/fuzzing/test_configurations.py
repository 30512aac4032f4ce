"""Random command lines: each is trained for a step, or refused by one line, and none takes long.

    pytest -m slow tests/fuzzing/test_configurations.py      # 2,000, of which 60 are trained

What is trained has so little memory that large layers and pictures are refused, as they are elsewhere at other sizes.
"""

import contextlib
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hypothesis import strategies as st
from tests.conftest import REPOSITORY
from tests.fuzzing.damage import Draw, search

from showtell.config import Config, command_line, register_with_hydra
from showtell.config.command_line import checked_arguments, composing, options_of_groups
from showtell.config.reference import all_settings
from showtell.config.setting import Declared, flat, spelled
from showtell.errors import explained
from showtell.run import asked_config
from showtell.training import folder_source, room
from showtell.training.stages import sized_by_data
from showtell.training.train import train

CONF = REPOSITORY / "conf"
DECLARED = {one.key: one for _, one in all_settings()}
KEYS = sorted(DECLARED)
GROUPS = {group: names for group, names in options_of_groups(CONF).items() if group != "sweep"}
NUMBERS = ["0", "1", "-1", "2", "1e9", "1000000000000000000000", "-1e308", "1e308", ".5", "007", "1_0", "0x10", "1e400"]
WORDS = [
    "nan",
    "inf",
    "null",
    "true",
    "auto",
    "",
    "[]",
    "[x]",
    "{a:1}",
    "none",
    "é",
    "a b",
    "${seed}",
    "'",
    '"x',
    "../x",
]


@pytest.fixture
def gate() -> Iterator[None]:
    """Hydra, in this process."""
    GlobalHydra.instance().clear()
    register_with_hydra()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield
    GlobalHydra.instance().clear()


def drawn_word(draw: Draw) -> str:
    """A setting or a group with a value, which is often a possible one."""
    if draw(st.integers(0, 5)) == 0:
        group = draw(st.sampled_from(sorted(GROUPS)))
        return f"{group}={draw(st.sampled_from(GROUPS[group]))}"
    key = draw(st.sampled_from(KEYS))
    plus = draw(st.sampled_from(["", "", "", "", "+", "++", "~"]))
    return f"{plus}{key}={drawn_value(draw, DECLARED[key])}"


def drawn_value(draw: Draw, one: Declared) -> str:
    told = one.setting
    kinds = ["default", "default", "number", "word"]
    if told.choices:
        kinds += ["choice"] * 4
    elif told.high is not None:
        kinds += ["within"] * 3 + ["edge", "beyond"]
    kind = draw(st.sampled_from(kinds))
    low = told.low if told.low is not None else told.above or 0
    high = told.high if told.high is not None else low
    if kind == "choice":
        return spelled(draw(st.sampled_from(told.choices)))
    if kind in ("within", "edge", "beyond"):
        near = {"within": [low, low + 1, min(high, low + 8), min(high, low + 0.25)], "edge": [low, high]}
        value = draw(st.sampled_from(near.get(kind, [high + 1, low - 1, high * 10])))
        return str(int(value)) if "int" in str(one.field.type) else str(value)
    values = {"number": NUMBERS, "word": WORDS, "default": [spelled(one.default)]}
    return str(draw(st.sampled_from(values[kind])))


@pytest.mark.parametrize(
    ("examples", "trained"), [(20, 1), pytest.param(2000, 60, marks=pytest.mark.slow)], ids=["some", "many"]
)
def test_random_command_lines(
    examples: int, trained: int, tiny_overrides: dict[str, object], tmp_path: Path, gate: None,
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for module in (room, folder_source):
        monkeypatch.setattr(module, "free_memory", lambda: 300 << 20)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command_line, "check_folders", lambda *_: None)  # which reads the same files each time
    base = [f"{key}={spelled(value)}" for key, value in flat(tiny_overrides).items()]
    counts = dict.fromkeys(("refused", "accepted", "trained"), 0)

    def attack(draw: Draw) -> None:
        words = [drawn_word(draw) for _ in range(draw(st.integers(1, 3)))]
        with one_line_at_most(words):
            config = through_the_gate([*base, *words])
            counts["accepted"] += 1
            if counts["trained"] < trained and counts["accepted"] * trained >= counts["trained"] * examples / 3:
                counts["trained"] += 1
                with contextlib.redirect_stdout(io.StringIO()):
                    train_a_step(config, tmp_path / "run")
            return
        counts["refused"] += 1

    search(examples, attack)
    assert counts["accepted"] and counts["refused"], counts
    with capfd.disabled():
        print(counts, end=" ")


def through_the_gate(words: list[str]) -> Config:
    """As train.py does it, from words to a checked configuration."""
    asked = checked_arguments(words, CONF)
    with composing():
        composed = compose("config", overrides=asked)
    return asked_config(composed, asked)


def train_a_step(config: Config, run_dir: Path) -> None:
    """One batch, one validation batch, whatever the length that is asked for."""
    short = {"max_epochs": 1, "overfit_batches": 0, "limit_train_batches": 1, "limit_val_batches": 1}
    config = replace(
        config,
        training=replace(config.training, **short),
        device=replace(config.device, devices=1, num_nodes=1),
        data=replace(config.data, num_workers=0),
        features=replace(config.features, views=min(config.features.views, 3)),
    )
    train(sized_by_data(config, run_dir), run_dir)


@contextlib.contextmanager
def one_line_at_most(words: list[str]) -> Iterator[None]:
    """A block whose errors are one line each."""
    try:
        yield
    except Exception as error:
        line = explained(error)
        if line is None:
            raise AssertionError(f"no one line for {words}") from error
        assert "\n" not in line and len(line) < 1500, line
