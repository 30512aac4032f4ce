"""`experiment=photos` through the real train.py: one command, one run, two stages."""

from collections.abc import Callable
from pathlib import Path

import pytest

from showtell.config import Config
from showtell.leaderboard.runs import find_runs
from showtell.prediction.captioner import Captioner
from showtell.prediction.inputs import unfinished_stage
from showtell.run import Run

Main = Callable[..., Path]
SMALL = ["encoder=resnet18", "encoder.weights=none", "vocab.threshold=1", "device=cpu", "features.batch_size=8"]


@pytest.fixture
def words(tiny_coco: Path, tmp_path: Path) -> list[str]:
    return ["experiment=photos", f"data.root={tiny_coco}", f"cache={tmp_path / 'cache'}", "data.num_workers=0", *SMALL]


def test_one_command_trains_both_stages(main: Main, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    run_dir = main(*words, "decoder.hidden_size=8", "training.max_epochs=2", "second.training.max_epochs=1")
    run, said = Run(run_dir), capsys.readouterr().out
    assert "48 training captions: decoder.embedding_size=256" in said and "decoder.hidden_size" not in said
    assert "note: fewer captions than this recipe was measured with (300 photographs, 1,500 captions)" in said
    config = run.config()
    assert (config.by_size, config.decoder.hidden_size, config.training.batch_size) == ({}, 8, 32)
    status, first = run.status(), run.stage_status()
    assert status is not None and first is not None
    assert (status.state, status.epoch, status.max_epochs) == ("finished", 3, 3)
    (row,) = find_runs([run_dir.parent])
    assert row.metric("val/cider_mean") == run.second.status().best  # type: ignore[union-attr]
    file = Captioner.from_checkpoint(run_dir, "cpu").file
    assert file == run.second.best
    assert not unfinished_stage(file)
    run.second.record(state="stopped")
    assert unfinished_stage(file).startswith("its second stage is not finished yet; go on with: ")
    run.second.last.unlink()
    run.second.best.unlink()
    run.second.status_file.unlink()
    file = Captioner.from_checkpoint(run_dir, "cpu").file
    assert file == run.best
    assert unfinished_stage(file).startswith("only its first stage is there; go on with: ")


def test_a_metric_that_the_second_stage_lacks_is_told_before_the_first_begins(
    main: Main, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(*words, "second.training.monitor=val/cidr")
    assert "training.monitor='val/cidr' is not logged" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_resume_before_the_first_checkpoint_leaves_the_run_as_it_was(
    main: Main, tiny_config: Callable[..., Config], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`by_size` is answered again by the next start, `--run RUN`, which the line advises."""
    run = Run(tmp_path / "run")
    run.create(tiny_config(by_size={"more": {"training": {"batch_size": 4}}}))
    before = run.config_file.read_text()
    with pytest.raises(SystemExit, match="2"):
        main(f"resume={run.directory}")
    told = capsys.readouterr().err
    assert "has no checkpoint to go on from; begin it anew: " in told and told.endswith(f"train.py --run {run}\n")
    assert run.config_file.read_text() == before and not run.candidate_file.exists()
