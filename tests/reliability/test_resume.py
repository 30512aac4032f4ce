"""`resume=` on the real product: what is refused, what is accepted and said, what replaces a torn file."""

import json
import os
import shutil
from pathlib import Path

import pytest
from tests.reliability.conftest import mostly_slow
from tests.reliability.outcome import differences, outcome

from showtell import temporaries
from showtell.checkpointing.io import load_checkpoint
from showtell.ownership import owning
from showtell.run import Run

CODE = 2


@pytest.fixture(scope="session")
def finished(forge, tmp_path_factory):
    """A finished run of train.py; nobody may write into it."""
    run_dir = tmp_path_factory.mktemp("finished") / "run"
    words = [f"hydra.run.dir={run_dir}", "hydra/job_logging=none", "training.schedule=constant"]
    for section, value in forge.overrides.items():
        pairs = value.items() if isinstance(value, dict) else [(None, value)]
        words += [f"{section}.{key}={item}" if key else f"{section}={item}" for key, item in pairs]
    assert forge.job(argv=words, directory=str(run_dir.parent)) == 0, forge.said
    return run_dir


@pytest.fixture
def copy(finished, tmp_path):
    """A copy of it, to go on with."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def resume(forge, run_dir: Path, *words: str, **job) -> int:
    argv = [f"resume={run_dir}", "hydra/job_logging=none", *words]
    return forge.job(argv=argv, directory=str(run_dir.parent), **job)


def one_line(forge) -> str:
    """The error that was printed; there must be nothing else that looks like one."""
    assert "Traceback" not in forge.said, forge.said
    errors = [line for line in forge.said.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, forge.said
    return errors[0]


@pytest.mark.parametrize(
    ("words", "message"),
    mostly_slow(
        [
            (["decoder.hidden_size=17"], "decoder.hidden_size=17 does not fit the checkpoint, which has 16"),
            (["encoder.name=resnet18"], "encoder.name='resnet18' does not fit the checkpoint"),
            (["encoder.pooling=grid"], "encoder.pooling='grid' does not fit the checkpoint"),
            (["vocab.threshold=3"], "vocab.threshold=3 does not fit the checkpoint"),
            (["experiment=article"], "a resumed run keeps its recipe"),
        ],
        5,
    ),
)
def test_refused(forge, finished, words, message):
    before = outcome(finished)
    assert resume(forge, finished, *words) == CODE, forge.said
    assert message in one_line(forge)
    assert not differences(before, outcome(finished))


@pytest.mark.parametrize(
    ("words", "message"),
    mostly_slow(
        [
            (["training.batch_size=6"], "training.batch_size was 5 and is 6: the resumed run is not exactly"),
            (["seed=2"], "seed was 1 and is 2"),
            (["device.precision=bf16-mixed"], "device.precision was '32-true' and is 'bf16-mixed'"),
            (["training.learning_rate=0.5"], "training.learning_rate was 0.01 and is 0.5"),
        ],
        4,
    ),
)
def test_accepted_with_one_line(forge, copy, words, message):
    assert resume(forge, copy, "training.max_epochs=3", *words) == 0, forge.said
    notes = [line for line in forge.said.splitlines() if line.startswith("note: ")]
    assert len(notes) == 1 and message in notes[0] and "not exactly the interrupted one" in notes[0]


def test_another_number_of_processes_is_said(forge, finished, tmp_path):
    from showtell.checkpointing.resume import check_resume

    config = forge.config()
    other = {**config, "device": {**config["device"], "devices": 2}}
    assert "device.devices" in check_resume(config, other)[0]


@pytest.mark.slow
def test_other_captions_are_refused(forge, copy, pictures, tmp_path):
    data = Path(shutil.copytree(pictures, tmp_path / "data"))
    file = data / "annotations" / "captions_train.json"
    file.write_text(file.read_text().replace("gray ground", "gray floor"))
    assert resume(forge, copy, f"data.root={data}", "training.max_epochs=3") == CODE, forge.said
    assert "is not the one of the checkpoint" in one_line(forge)


def test_other_pictures_of_the_same_names_and_sizes_are_refused(forge, copy, pictures, tmp_path):
    data = Path(shutil.copytree(pictures, tmp_path / "data"))
    files = sorted((data / "train").iterdir(), key=lambda file: file.stat().st_size)
    kept = files[-1].stat()
    files[-1].write_bytes(files[0].read_bytes().ljust(kept.st_size, b"\0"))
    os.utime(files[-1], ns=(kept.st_atime_ns, kept.st_mtime_ns))
    assert resume(forge, copy, f"data.root={data}", "training.max_epochs=3") == CODE, forge.said
    assert "have the names and sizes that they had, but not the content; restore them" in one_line(forge)


@pytest.mark.slow
def test_the_same_data_elsewhere_is_the_same(forge, copy, pictures, tmp_path):
    data = Path(shutil.copytree(pictures, tmp_path / "data"))
    assert resume(forge, copy, f"data.root={data}", "training.max_epochs=3") == 0, forge.said
    assert "note: " not in forge.said


def test_contents_are_compared_where_both_tell_them():
    from showtell.checkpointing.resume import ResumeError, _check_data

    for old, new in (("names", "names-one"), ("names-one", "names"), ("names-one", "names-one")):
        _check_data(old, new)
    for old, new in (("names", "others-one"), ("names-one", "names-two")):
        with pytest.raises(ResumeError):
            _check_data(old, new)


def test_words_in_another_order_are_refused():
    from showtell.checkpointing.resume import ResumeError, ResumePoint

    metadata = {
        "config": {},
        "vocabulary": ["a", "b"],
        "encoder": {"sha256": "0" * 64},
        "data": "x",
        "feature_shape": [3],
    }
    with pytest.raises(ResumeError, match="the vocabulary is not the one of the checkpoint"):
        ResumePoint(Path("last.ckpt"), 0, 1, False, metadata).accept({**metadata, "vocabulary": ["b", "a"]})


def test_a_finished_run_says_that_it_is_finished(forge, copy):
    assert resume(forge, copy) == 0, forge.said
    assert "nothing is left to do" in forge.said
    assert "training.max_epochs=4" in forge.said


@pytest.mark.parametrize("damage", mostly_slow(["torn", "rotten", "gone"], 3))
def test_the_newest_good_checkpoint_is_taken(forge, finished, copy, damage):
    last = copy / "checkpoints" / "last.ckpt"
    content = bytearray(last.read_bytes())
    if damage == "rotten":
        content[len(content) // 2] ^= 4
    last.write_bytes(content[: len(content) // 3] if damage == "torn" else content)
    if damage == "gone":
        last.unlink()
    assert resume(forge, copy) == 0, forge.said
    if damage != "gone":
        assert f"last.ckpt is {damage}" in forge.said and "instead" in forge.said
    assert not differences(outcome(finished), outcome(copy))


@pytest.mark.slow
def test_no_good_checkpoint_is_one_line(forge, copy):
    for path in (copy / "checkpoints").glob("*.ckpt"):
        path.write_bytes(path.read_bytes()[:1000])
    assert resume(forge, copy) == CODE
    assert "holds no usable checkpoint" in one_line(forge)


@pytest.mark.slow
def test_early_stopping_goes_on_counting(forge, tmp_path):
    training = {"max_epochs": 8, "early_stopping_epochs": 2, "learning_rate": 3.0, "monitor": "val/loss"}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert forge.train(whole, sections={"training": training}) == 0, forge.said
    epochs = json.loads((whole / "status.json").read_text())["epoch"]
    assert epochs < 8
    trace = tmp_path / "trace.json"
    assert forge.train(tmp_path / "other", sections={"training": training}, trace=str(trace)) == 0
    moments = json.loads(trace.read_text())
    late = [i for i, name in enumerate(moments) if name == "CaptionModule.training_step"][-2]
    assert forge.train(parts, sections={"training": training}, strike=late) == -9
    assert forge.train(parts, sections={"training": training, "resume": str(parts)}) == 0, forge.said
    assert not differences(outcome(whole), outcome(parts))


def test_two_resumes_at_once(forge, copy):
    """The second is refused, and touches nothing of the first."""
    with owning(Run(copy).lock_file):
        Run(copy).go_on()
        before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
        assert resume(forge, copy, "training.max_epochs=3") == CODE
        assert f"process {os.getpid()} on this machine trains there" in one_line(forge)
        assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before
    assert resume(forge, copy, "training.max_epochs=3") == 0, forge.said


def test_temporaries_of_killed_runs_go(forge, copy):
    folders = {"status.json": copy, "grid.png": copy / "predictions", "last.ckpt": copy / "checkpoints"}
    writer = f"999999999-{temporaries._host()}-00000000"
    names = [folder / f".{name}.{writer}.tmp" for name, folder in folders.items()]
    for path in names:
        path.write_bytes(b"half")
    assert resume(forge, copy, "training.max_epochs=3") == 0, forge.said
    assert not any(path.exists() for path in names)


def test_a_folder_that_cannot_be_written_is_one_line(forge, words, tmp_path):
    (tmp_path / "file").write_text("")
    argv = words(run_dir=tmp_path / "file" / "run")
    assert forge.job(argv=argv, directory=str(tmp_path)) not in (0, 1), forge.said
    assert str(tmp_path / "file") in one_line(forge)


@pytest.mark.parametrize("fault", ["run removed", "run moved", "a file instead of the run"])
def test_a_run_directory_that_goes_while_it_is_trained_is_one_line(forge, words, tmp_path, fault):
    assert forge.job(argv=words(), directory=str(tmp_path), mutant=fault) == CODE, forge.said
    assert str(tmp_path / "run") in str(Path(tmp_path, one_line(forge).split()[1]).resolve())
    if fault == "run moved":  # what is saved goes on from there
        assert not (tmp_path / "run").exists()
        assert resume(forge, tmp_path / "moved") == 0, forge.said


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_is_one_line_and_keeps_the_checkpoint(forge, words, tmp_path):
    import subprocess

    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        run_dir = disk / "run"
        assert forge.job(argv=words(run_dir=run_dir), directory=str(tmp_path)) == 0, forge.said
        before = {path: load_checkpoint(path)["global_step"] for path in (run_dir / "checkpoints").glob("*.ckpt")}
        free = shutil.disk_usage(disk).free
        (disk / "filler").write_bytes(bytes(free - 20_000))
        assert resume(forge, run_dir, "training.max_epochs=9") == CODE, forge.said
        assert "the disk is full" in one_line(forge)
        assert {path: load_checkpoint(path)["global_step"] for path in before} == before
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_what_a_resume_was_told_is_remembered(forge, copy):
    assert resume(forge, copy, "training.max_epochs=5", "training.learning_rate=1e-5") == 0, forge.said
    assert resume(forge, copy) == 0, forge.said
    assert "nothing is left to do" in forge.said
    assert "note: " not in forge.said
    status = json.loads((copy / "status.json").read_text())
    assert (status["state"], status["epoch"], status["max_epochs"]) == ("finished", 5, 5)


def test_another_monitor_starts_its_best_anew(forge, copy):
    assert resume(forge, copy, "training.monitor=val/loss", "training.max_epochs=3") == 0, forge.said
    status = json.loads((copy / "status.json").read_text())
    rows = (copy / "metrics.csv").read_text().splitlines()
    column = rows[0].split(",").index("val/loss")
    losses = [row.split(",")[column] for row in rows[1:]]
    assert status["monitor"] == "val/loss" and status["best_epoch"] == 3
    assert f"{status['best']:.5f}" == f"{float([loss for loss in losses if loss][-1]):.5f}"
    assert f"val/loss {status['best']:.4f} at its best" in forge.said
    best = load_checkpoint(copy / "checkpoints" / "last.ckpt")["callbacks"]["BestCheckpoint"]
    assert best["value"] == status["best"] and best["metrics"] == status["metrics"]


def test_less_than_what_is_done_is_refused(forge, copy):
    before = outcome(copy)
    assert resume(forge, copy, "training.max_epochs=1") == CODE
    assert "training.max_epochs=1: " in one_line(forge)
    assert differences(before, outcome(copy)) == []
