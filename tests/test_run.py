"""The directory of a run: one configuration, one candidate beside it, one writer of its status."""

import json
import os
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from showtell.config import Config, parse
from showtell.config.command_line import ready_directory, resume_arguments
from showtell.errors import ConfigError, UserError
from showtell.launching.start import start
from showtell.prediction.inputs import refuse_no_checkpoint
from showtell.run import Run, at_current_stage, with_parts_of_run

COMMAND = {"seed": 7, "resume": None, "training": {"max_epochs": 3}}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(tmp_path / "runs" / "stamp")
    run.begin(COMMAND, ["seed=7"])
    return run


def with_checkpoint(run: Run) -> Run:
    run.checkpoints.mkdir()
    run.last.touch()
    return run


def test_a_new_run_is_its_configuration(run: Run) -> None:
    assert [path.name for path in run.directory.iterdir()] == ["config.yaml"]
    assert (run.config().seed, run.config().training.max_epochs) == (7, 3)
    assert run.values() == run.config().as_dict()


def test_a_resume_proposes_and_rank_0_accepts(run: Run) -> None:
    command = COMMAND | {"resume": str(run), "training": {"max_epochs": 9}}
    with_checkpoint(run).begin(command, [f"resume={run}", "training.max_epochs=9"])
    assert run.started_config().training.max_epochs == 3
    proposed = run.config()
    assert (proposed.training.max_epochs, proposed.resume) == (9, str(run))
    run.accept(proposed)
    assert run.config() == replace(proposed, resume=None)
    assert not run.candidate_file.exists()


def test_a_refused_resume_leaves_the_run_as_it_was(run: Run) -> None:
    before = run.config_file.read_bytes()
    with_checkpoint(run).begin(COMMAND | {"resume": str(run)}, [f"resume={run}", "seed=7"])
    run.withdraw()
    assert run.config_file.read_bytes() == before
    assert not run.candidate_file.exists()


def test_captioning_before_the_first_checkpoint_names_the_command_that_trains_on(run: Run) -> None:
    run.record(state="stopped")
    with pytest.raises(ConfigError, match=r"has no checkpoint yet; train it: .*train\.py --run ") as no:
        refuse_no_checkpoint(run.directory)
    assert str(no.value).endswith(run.command)


def test_a_resume_before_the_first_checkpoint_names_the_command_that_begins_anew(run: Run) -> None:
    before = run.config_file.read_bytes()
    with pytest.raises(ConfigError, match=r"has no checkpoint to go on from; begin it anew: .*train\.py --run ") as no:
        run.begin(COMMAND | {"resume": str(run)}, [f"resume={run}"])
    (folder,) = shlex.split(str(no.value).partition("--run ")[2])
    assert ready_directory(["--run", folder]) == folder
    assert Run(folder).current.config() == run.config()
    assert run.config_file.read_bytes() == before and not run.candidate_file.exists()


def test_a_run_in_which_nothing_happened_goes_with_its_error(run: Run) -> None:
    run.withdraw()
    assert not run.directory.parent.exists()


def test_a_run_that_left_something_stays(run: Run) -> None:
    run.record(state="failed", reason="the disk was full")
    run.withdraw()
    assert run.config_file.is_file()


def test_runs_of_an_older_version_are_read(tmp_path: Path) -> None:
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "config.yaml").write_text(yaml.safe_dump(Config(seed=5).as_dict()))
    assert Run(tmp_path).config().seed == 5


@pytest.mark.parametrize("text", ["[1, 2", "a: !!python/object:os.system x", "seed: ${oc.env:HOME}", "- 1"])
def test_a_configuration_that_is_more_than_values_is_refused(run: Run, text: str) -> None:
    run.config_file.write_text(text)
    with pytest.raises(ConfigError, match=r"config\.yaml"):
        run.config()


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no run was started there"):
        Run(tmp_path / "none").config()


def test_a_checkpoint_names_its_run(run: Run) -> None:
    assert Run.of(run.last).directory == run.directory == Run.of(run.directory).directory


def test_the_status_keeps_what_is_not_changed(run: Run) -> None:
    assert run.status() is None
    run.record(state="running", pid=12, best=0.5)
    run.record_failure("was hung")
    status = run.status()
    assert status is not None
    assert (status.state, status.pid, status.best, status.reason) == ("failed", 12, 0.5, "was hung")
    run.record(state="finished", reason=None)
    run.record_failure("too late")
    assert run.status().state == "finished"  # type: ignore[union-attr]


def test_a_resume_is_told_what_the_run_is_made_of(tmp_path: Path) -> None:
    """So that a setting of its decoder can be changed, whatever the defaults of the command line are."""
    run = Run(tmp_path / "run")
    run.create(
        parse({"decoder": {"name": "transformer"}, "init_from": "first", "objective": {"name": "self_critical"}})
    )
    words = with_parts_of_run([f"resume={with_checkpoint(run)}", "decoder.dropout=0.4"])
    assert {"decoder=transformer", "objective=self_critical", "data=shapes"} <= set(words)
    composed = {"resume": str(run), "decoder": {"name": "transformer", "dropout": 0.4}}
    run.begin(composed, [f"resume={run}", "decoder.dropout=0.4"])
    started, asked = run.started_config(), run.config()
    assert asked == replace(started, resume=str(run), decoder=replace(started.decoder, dropout=0.4))


def test_only_what_was_begun_here_is_taken_back(tmp_path: Path, run: Run) -> None:
    """`--run DIRECTORY` on a directory that is refused removes nothing."""
    Run(run.directory).withdraw()
    assert run.config_file.is_file()
    Run(tmp_path / "none").withdraw()


def test_a_run_that_is_started_again_by_its_directory_goes_on(run: Run) -> None:
    """A batch system that puts a job back in the queue gives the same words again."""
    run.go_on()
    assert run.config().resume is None
    with_checkpoint(run).go_on()
    assert run.config().resume == str(run)


@pytest.mark.parametrize("words", [["--run"], ["--run", "a", "training.max_epochs=3"]])
def test_a_directory_stands_alone(words: list[str]) -> None:
    with pytest.raises(ConfigError, match="resume=DIRECTORY key=value"):
        ready_directory(words)


def test_a_directory_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    for name, what in (("none", "there is no such run directory"), ("file", "is a file, not a run directory")):
        (tmp_path / "file").touch()
        with pytest.raises(ConfigError, match=f"--run .*{name}: {what}; `ls -d runs"):
            ready_directory(["--run", str(tmp_path / name)])


@pytest.mark.parametrize("word", ["resume={}", "++resume={}", "resume='{}'", "resume={}/checkpoints/last.ckpt"])
def test_a_resume_is_sent_to_its_directory(run: Run, word: str) -> None:
    assert f"hydra.run.dir='{run}'" in resume_arguments([word.format(run)])


def test_of_two_stages_the_last_one_counts(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.create(parse({"then": "scst"}))
    run.record(state="running", epoch=3, max_epochs=8, best=0.1, then="scst")
    assert run.status() == run.stage_status()
    run.record(state="finished", epoch=8, seconds=60.0)
    between = run.status()
    assert between is not None and (between.state, between.best) == ("running", 0.1)
    run.second.create(parse({}))
    run.second.record(state="stopped", epoch=1, max_epochs=5, best=0.3, seconds=30.0)
    whole = run.status()
    assert whole is not None
    assert (whole.state, whole.best, whole.epoch, whole.max_epochs) == ("stopped", 0.3, 9, 13)
    assert (whole.seconds, whole.then) == (90.0, "scst")
    assert not run.current.is_second and run.second.is_second


def test_a_resume_means_the_stage_that_was_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = Run("run")
    run.create(parse({"then": "scst"}))
    assert at_current_stage(["resume=run", "seed=2"]) == ["resume=run", "seed=2"]
    run.second.create(parse({}))
    with_checkpoint(run.second)
    assert at_current_stage(["resume=run", "seed=2"]) == ["resume=run/second", "seed=2"]
    with pytest.raises(ConfigError, match=r"its second stage has begun; resume=run goes on with that"):
        run.begin(COMMAND | {"resume": "run/checkpoints/last.ckpt"}, ["resume=run/checkpoints/last.ckpt"])
    run.second.record(state="running")
    run.record_failure("rank 1 was hung")
    failed = run.second.stage_status()
    assert failed is not None and failed.reason == "rank 1 was hung"


@pytest.mark.parametrize(
    "values",
    [
        {"state": 5}, {"epoch": "3"}, {"epoch": True}, {"pid": 10**400}, {"metrics": [1]}, {"best": {"a": 1}}, [1], "x",
    ],
)  # fmt: skip
def test_a_status_of_wrong_types_counts_as_missing(values: object, tmp_path: Path) -> None:
    Run(tmp_path).status_file.write_text(json.dumps(values))
    assert Run(tmp_path).status() is None


def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for file in (run.status_file, run.metrics_file, run.test_scores):
        os.mkfifo(file)
    assert (run.status(), run.rows(), run.test_metrics()) == (None, [], {})


def test_rows_end_where_a_file_is_not_ours(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.metrics_file.write_text("step,epoch\n1,0\n2,0\n3\n4,0\n")
    assert [row["step"] for row in run.rows()] == ["1", "2"]


@pytest.mark.parametrize(
    "name",
    ["config.yaml", "config.next.yaml", "status.json", "metrics.csv", "checkpoints/last.ckpt", "second/status.json"],
)
def test_a_link_to_a_file_elsewhere_is_not_written_through(run: Run, tmp_path: Path, name: str) -> None:
    victim, link = tmp_path / "victim", run.directory / name
    victim.write_text(run.config_file.read_text())
    run.record(state="stopped")
    link.parent.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(victim)
    before = victim.read_text()
    for composed, words in ((None, ()), (COMMAND | {"resume": str(run)}, [f"resume={run}"])):
        with pytest.raises(UserError, match=f"{name}: is a link, which no run writes through; put a copy there, or"):
            start(run, composed, words)
    run.record(state="failed")  # as a sweep does
    assert victim.read_text() == before
    assert link.is_symlink() == (name != "status.json")


def test_the_checkpoints_may_lie_on_another_disk(run: Run, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    run.checkpoints.symlink_to(tmp_path / "disk")
    run.check_files()
