"""Ranks in one process: nothing happens. What several do is tested in tests/launching."""

import pytest

from showtell.config import Config, ConfigError
from showtell.distributed import (
    Ranks,
    all_gather,
    broadcast,
    get_ranks,
    is_rank_zero,
    rank_zero_first,
    ranks_of_environment,
)
from showtell.launching.start import arguments_of_rank, as_started, start
from showtell.run import Run

NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


def pretend(monkeypatch: pytest.MonkeyPatch, *values: int) -> None:
    for name, value in zip(NAMES, values, strict=True):
        monkeypatch.setenv(name, str(value))


def test_a_process_of_its_own() -> None:
    assert ranks_of_environment() is None and get_ranks() == Ranks() and is_rank_zero()
    assert (broadcast("a"), all_gather("a")) == ("a", ["a"])
    with rank_zero_first():
        pass


def test_the_environment_of_a_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, 3, 4, 1, 2)
    assert ranks_of_environment() == Ranks(3, 4, 1, 2)
    monkeypatch.delenv("LOCAL_RANK")
    assert ranks_of_environment() is None


def test_torchrun_decides_on_the_number_of_processes(tiny_config, capsys) -> None:
    config: Config = tiny_config(device={"devices": 2})
    started = as_started(config, Ranks(0, 8, 0, 4))
    assert (started.device.devices, started.device.num_nodes) == (4, 2)
    assert "torchrun decides: device.devices=4 device.num_nodes=2" in capsys.readouterr().out
    assert as_started(started, Ranks(0, 8, 0, 4)) == started and not capsys.readouterr().out
    with pytest.raises(ConfigError, match="unevenly"):
        as_started(config, Ranks(0, 5, 0, 2))


def test_several_machines_need_torchrun(tiny_config, tmp_path) -> None:
    run = Run(tmp_path)
    run.create(tiny_config(device={"num_nodes": 2}))
    with pytest.raises(ConfigError, match=r"device.num_nodes=2 needs ranks on every machine.* torchrun") as refused:
        start(run)
    assert "\n" not in str(refused.value)


def test_train_by_itself_starts_no_ranks(tiny_config, tmp_path) -> None:
    from showtell.training.train import train

    with pytest.raises(ConfigError, match=r"device.devices=2 needs processes that train.py starts"):
        train(tiny_config(device={"devices": 2}), tmp_path)


def test_a_sweep_under_torchrun_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert arguments_of_rank(["-m", "seed=1,2"]) == ["-m", "seed=1,2"]
    pretend(monkeypatch, 0, 2, 0, 2)
    assert arguments_of_rank(["seed=1"]) == ["seed=1"]
    with pytest.raises(ConfigError, match="without torchrun"):
        arguments_of_rank(["-m", "seed=1,2"])
