"""Real trainings with two ranks: what one process would have done, in one run directory."""

import math
import os
import signal
from pathlib import Path

import pytest
from tests.conftest import hopeless_trial, wait_until
from tests.launching.conftest import TRAIN, Start, free_port, numbers, set_section, steps
from tests.reliability.outcome import differences, outcome

from showtell.config import Config, parse
from showtell.data.shards.command import Limits, write_shards
from showtell.run import Run
from showtell.training.train import train


def alone(start: Start) -> tuple[Config, Path]:
    """The same run in this process."""
    config = parse(start.settings)
    train(config, start.folder / "alone")
    return config, start.folder / "alone"


def files(run_dir: Path) -> list[str]:
    names = [path.relative_to(run_dir).as_posix() for path in run_dir.rglob("*") if path.is_file()]
    return sorted(name.partition("tfevents")[0] for name in names if name)


def check_equal(start: Start, training, tolerance: float = 1e-5) -> None:
    _, expected = alone(start)
    assert steps(training.run_dir) >= 50
    names, values = zip(*numbers(training.run_dir), strict=True)
    expected_names, expected_values = zip(*numbers(expected), strict=True)
    assert names == expected_names
    # a perplexity of 15 is the power of a loss
    values, expected_values = (
        [math.log(value) if "perplexity" in name else value for name, value in zip(names, found, strict=True)]
        for found in (values, expected_values)
    )
    assert values == pytest.approx(expected_values, abs=tolerance, rel=0)
    assert files(training.run_dir) == files(expected)
    captions = "predictions/captions_val.json"
    assert (training.run_dir / captions).read_bytes() == (expected / captions).read_bytes()


def test_two_ranks_train_as_one_process(start: Start) -> None:
    set_section(start, "decoder", dropout=0.0)
    training = start.ranks("ranks")
    assert training.wait() == 0, training.said
    check_equal(start, training)
    assert training.said.count("epoch 1/13  loss") == 1  # one of them speaks
    assert not training.left()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "sections"),
    [
        (3, {"training": {"batch_size": 5, "max_epochs": 6}}),
        (2, {"training": {"accumulate_batches": 3, "max_epochs": 40, "schedule": "cosine", "gradient_clip": 0.5}}),
        (2, {"decoder": {"name": "attention", "attention_size": 8}, "encoder": {"pooling": "grid"}}),
        (2, {"features": {"mode": "off"}, "data": {"num_workers": 1}}),
        (2, {"features": {"mode": "off"}, "data": {"augment": {"crop_area": 0.7, "jitter": 0.2}},
             "encoder": {"finetune_blocks": 2, "image_size": 64},
             "training": {"encoder_learning_rate": 1e-4, "weight_average": 0.9, "gradient_clip": 5.0, "max_epochs": 13,
                          "warmup_steps": 5, "schedule": "cosine"}}),
        (2, {"decoder": {"name": "topdown", "attention_size": 8}, "objective": {"label_smoothing": 0.1}}),
        (2, {"decoder": {"name": "transformer", "num_heads": 2, "num_layers": 1},
             "objective": {"label_smoothing": 0.1}, "training": {"weight_average": 0.9}}),
        (2, {"training": {"weight_average": 0.9, "schedule": "plateau", "early_stopping_epochs": 4,
                          "monitor": "val/loss", "learning_rate": 0.003, "max_epochs": 14}}),
    ],
    ids=["three ranks", "accumulation", "attention", "pictures", "tuned encoder", "top-down", "transformer", "plateau"],
)  # fmt: skip
def test_ranks_train_as_one_process(start: Start, count: int, sections: dict) -> None:
    set_section(start, "decoder", dropout=0.0)
    for name, values in sections.items():
        set_section(start, name, **values)
    if "accumulate_batches" in sections.get("training", {}):
        set_section(start, "training", log_every_steps=1)
    training = start.ranks("ranks", count=count)
    assert training.wait() == 0, training.said
    check_equal(start, training, 2e-5)


@pytest.mark.slow
def test_ranks_build_the_store_of_one_process_together(start: Start) -> None:
    stores = []
    for count in (1, 2):
        cache = start.folder / f"cache{count}"
        start.settings["cache"] = str(cache)
        set_section(start, "training", max_steps=1)
        set_section(start, "features", batch_size=5)
        training = start.ranks(f"run{count}", count=count)
        assert training.wait() == 0, training.said
        stores.append(sorted(cache.glob("features/*/*.bin")))
    assert len(stores[0]) == 4  # features and state, train and val
    for one, other in zip(*stores, strict=True):
        assert one.parent.name == other.parent.name and one.read_bytes() == other.read_bytes()


@pytest.mark.slow
def test_all_ranks_die_and_the_run_goes_on_exactly(start: Start) -> None:
    set_section(start, "training", checkpoint_every_steps=1)
    untouched = start.ranks("untouched")
    assert untouched.wait() == 0, untouched.said
    training = start.ranks("killed")
    for step in (11, 30):
        training.reach(step)
        training.kill()
        training = start.resumed(training)
    assert training.wait() == 0, training.said
    assert not differences(outcome(untouched.run_dir), outcome(training.run_dir))


@pytest.mark.slow
@pytest.mark.parametrize("rank", [None, 1], ids=["the launcher", "rank 1"])
def test_a_signal_stops_all_ranks_after_the_same_step(start: Start, rank: int | None) -> None:
    untouched = start.ranks("untouched")
    assert untouched.wait() == 0, untouched.said
    training = start.ranks("stopped")
    training.reach(6)
    os.kill(training.process.pid if rank is None else training.pid_of(rank), signal.SIGTERM)
    assert training.wait(60) == 143, training.said
    assert "is saved in" in training.said and "Traceback" not in training.said
    assert Run(training.run_dir).status().state == "stopped" and not training.left()
    again = start.resumed(training)
    assert again.wait() == 0, again.said
    assert not differences(outcome(untouched.run_dir), outcome(again.run_dir))


def test_ctrl_c_in_a_terminal_saves(start: Start) -> None:
    """The terminal sends SIGINT to all of the group, and the launcher passes it on besides."""
    set_section(start, "training", max_epochs=2000)
    keyboard, terminal = os.openpty()
    training = start.ranks("run", terminal=terminal)
    training.reach(6)
    os.write(keyboard, b"\x03")
    assert training.wait(60) == 130, training.said
    assert "is saved in" in training.said and "Traceback" not in training.said
    assert Run(training.run_dir).status().state == "stopped" and not training.left()
    os.close(keyboard)
    os.close(terminal)


@pytest.mark.slow
def test_a_resume_with_another_number_of_ranks_says_that_it_is_not_exact(start: Start) -> None:
    training = start.ranks("run", "training.max_epochs=1")
    assert training.wait() == 0, training.said
    again = start.resumed(training, "device.devices=1", "training.max_epochs=2")
    assert again.wait() == 0, again.said
    assert "note: device.devices was 2 and is 1: the resumed run is not exactly the interrupted one" in again.said


@pytest.mark.slow
@pytest.mark.parametrize("machines", [1, 2])
def test_torchrun(start: Start, machines: int) -> None:
    expected = start.ranks("expected")
    assert expected.wait() == 0, expected.said
    started = start.torchrun("torchrun", machines=machines)
    assert [training.wait() for training in started] == [0] * machines, "\n".join(t.said for t in started)
    (run_dir,) = (training.run_dir for training in started if training.run_dir.exists())
    assert numbers(run_dir) == numbers(expected.run_dir)
    assert sum(training.said.count("epoch 1/13  loss") for training in started) == 1
    if machines == 2:
        assert "torchrun decides: device.devices=1 device.num_nodes=2" in "".join(t.said for t in started)
    assert not (start.folder / "config.yaml").exists() and not list(start.folder.glob("*.log"))
    wait_until(lambda: not started[0].left(), 10)


@pytest.mark.slow
def test_torchrun_resumes_a_run_in_its_directory(start: Start) -> None:
    training = start.ranks("run", "training.max_epochs=1")
    assert training.wait() == 0, training.said
    torchrun = ("-m", "torch.distributed.run", f"--master_port={free_port()}", "--nproc_per_node=2")
    words = (f"resume={training.run_dir}", "training.max_epochs=2", "hydra/job_logging=none")
    again = start.raw([*torchrun, str(TRAIN), *words], training.run_dir)
    assert again.wait() == 0, again.said
    assert Run(training.run_dir).status().epoch == 2 and not Run(training.run_dir).candidate_file.exists()
    assert not (start.folder / "config.yaml").exists() and not Run(start.folder).candidate_file.exists()


@pytest.mark.slow
def test_a_sweep_whose_jobs_have_two_ranks(start: Start) -> None:
    words = [word for word in start.words(start.folder / "unused") if not word.startswith("hydra.run.dir")]
    words = [word for word in words if not word.startswith("decoder.hidden_size")]
    sweep = ["-m", *words, "name=grid", "device=ddp", "device.accelerator=cpu", "training.max_epochs=1"]
    training = start.raw([str(TRAIN), *sweep, "decoder.hidden_size=8,16"], start.folder / "runs")
    assert training.wait() == 0, training.said
    runs = sorted((start.folder / "runs" / "grid").glob("*/status.json"))
    assert [Run(path.parent).status().state for path in runs] == ["finished"] * 2
    assert all("epoch 1/1" in (path.parent / "out.log").read_text() for path in runs)
    again = start.raw([str(TRAIN), *sweep, "decoder.hidden_size=8,16"], start.folder / "runs")
    assert again.wait() == 0 and "2 skipped" in again.said


@pytest.mark.slow
def test_a_loss_that_is_not_finite_ends_all_ranks_at_the_same_step(start: Start) -> None:
    set_section(start, "training", learning_rate=1e38)
    training = start.ranks("run")
    assert training.wait() == 2, training.said
    assert training.said.count("error: the loss is not finite at step") == 1, training.said
    assert "Traceback" not in training.said and not training.left()


def test_a_users_mistake_is_one_line(start: Start) -> None:
    set_section(start, "data", root=str(start.folder / "nowhere"))
    training = start.ranks("run")
    assert training.wait() == 2, training.said
    assert len([line for line in training.said.splitlines() if "error" in line]) == 1, training.said
    assert "Traceback" not in training.said


@pytest.mark.slow
def test_a_hopeless_run_is_pruned_on_all_ranks(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    search, hopeless = hopeless_trial(start.folder)
    for name, value in search.environment(hopeless).items():
        monkeypatch.setenv(name, value)
    training = start.ranks("run", "training.monitor=val/loss")
    assert training.wait() == 0, training.said
    status = Run(training.run_dir).status()
    assert (status.state, status.epoch) == ("pruned", 2)


@pytest.mark.slow
@pytest.mark.parametrize("features", ["store", "off"])
def test_two_ranks_train_from_shards(start: Start, tiny_coco: Path, features: str) -> None:
    data = parse({"data": {"name": "tiny", "format": "coco", "root": str(tiny_coco)}}).data
    write_shards(data, start.folder / "shards", Limits(samples=5, megabytes=1, seed=0), start.folder / "cache")
    set_section(start, "data", format="shards", root=str(start.folder / "shards"), num_workers=1, shuffle_buffer=12)
    set_section(start, "data", train_shards="train-*.tar", val_shards="val-*.tar")
    set_section(start, "features", mode=features)
    set_section(start, "training", batch_size=7, max_epochs=2)
    start.settings["cache"] = str(start.folder / "cache")
    training = start.ranks("run")
    assert training.wait() == 0, training.said
    assert steps(training.run_dir) == 16  # 48 captions of two lengths by 7, twice
