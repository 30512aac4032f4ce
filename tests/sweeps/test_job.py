import json
import os

import pytest

from showtell.config import ConfigError, parse
from showtell.config.stages import sized
from showtell.errors import UserError
from showtell.files import write_json
from showtell.ownership import locked
from showtell.run import Run
from showtell.sweeps.job import (
    Job,
    ToDo,
    check_folders,
    classify_exit,
    describe,
    fix_status,
    folder_name,
    job_folder,
    last_line,
)


def job(directory, **values):
    return Job("a job", directory, parse({"seed": 1, "training": {"max_epochs": 5}, **values}))


def begin(job, state="running", epochs=5, checkpoint=True):
    Run(job.directory).create(job.config)
    (job.directory / "checkpoints").mkdir()
    if checkpoint:
        (job.directory / "checkpoints" / "last.ckpt").touch()
    (job.directory / "status.json").write_text(json.dumps({"state": state, "max_epochs": epochs, "best": 1.0}))


@pytest.mark.parametrize(
    ("state", "checkpoint", "to_do"),
    [
        ("finished", True, ToDo.NOTHING),
        ("pruned", True, ToDo.NOTHING),
        ("failed", True, ToDo.RESUME),
        ("stopped", True, ToDo.RESUME),
        ("running", True, ToDo.RESUME),
        ("running", False, ToDo.NEW),
    ],
)
def test_what_is_left_to_do(tmp_path, state, checkpoint, to_do):
    it = job(tmp_path / "run")
    assert it.to_do() is ToDo.NEW
    begin(it, state, checkpoint=checkpoint)
    assert it.to_do() is to_do


def test_a_finished_run_goes_on_when_more_epochs_are_asked_for(tmp_path):
    begin(job(tmp_path / "run"), "finished")
    longer = job(tmp_path / "run", training={"max_epochs": 9}, data={"num_workers": 0})
    assert longer.to_do() is ToDo.RESUME
    assert longer.prepare() is ToDo.RESUME
    asked, started = Run(tmp_path / "run").config(), Run(tmp_path / "run").started_config()
    assert (asked.resume, asked.training.max_epochs, asked.data.num_workers) == (f"{tmp_path}/run", 9, 0)
    assert (started.resume, started.training.max_epochs) == (None, 5)  # until it is accepted
    assert job(tmp_path / "run", training={"max_epochs": 3}).to_do() is ToDo.NOTHING


def test_a_job_of_two_stages_is_done_with_the_last(tmp_path):
    it = job(tmp_path / "run", then="scst", second={"training": {"max_epochs": 2}})
    begin(it, "running")
    run = Run(it.directory)
    run.record(state="finished", then="scst")
    assert it.to_do() is ToDo.RESUME
    begin(Job("second", run.second.directory, parse({})), "stopped", epochs=2)
    assert it.prepare() is ToDo.RESUME
    assert (run.second.candidate_file.is_file(), run.candidate_file.is_file()) == (True, False)
    fix_status(classify_exit(it, 137))
    run.second.record(state="running")
    fix_status(classify_exit(it, 137))
    assert (run.status().state, run.stage_status().state) == ("failed", "finished")
    run.second.record(state="finished")
    assert it.to_do() is ToDo.NOTHING
    with pytest.raises(ConfigError, match=r"max_epochs=9 asks for a longer first stage, and the second has begun"):
        job(tmp_path / "run", then="scst", second=it.config.second, training={"max_epochs": 9}).to_do()


def test_a_job_whose_size_the_data_decided_is_the_same_run(tmp_path):
    table = {"more": {"training": {"max_epochs": 4}, "decoder": {"hidden_size": 32}}}
    it = Job("a job", tmp_path / "run", parse({"by_size": table}))
    begin(Job("sized", tmp_path / "run", sized(it.config, 99)[0]), "finished", epochs=4)
    assert it.to_do() is ToDo.NOTHING


def test_another_run_in_the_folder_is_refused(tmp_path):
    begin(job(tmp_path / "run"), "finished")
    with pytest.raises(
        ConfigError, match=r"holds a run with decoder.hidden_size=100 instead of 256; remove it, or .*name="
    ):
        job(tmp_path / "run", decoder={"hidden_size": 256}).to_do()


def test_a_pipe_in_the_folder_is_refused_and_not_waited_for(tmp_path):
    begin(job(tmp_path / "run"), "stopped")
    os.mkfifo(Run(tmp_path / "run").log_file)
    with pytest.raises(UserError, match=r"out\.log: is a pipe or a device"):
        job(tmp_path / "run").prepare()


def test_a_folder_in_which_nothing_was_trained_takes_the_corrected_command(tmp_path):
    assert job(tmp_path / "run", data={"root": "nope"}).prepare() is ToDo.NEW
    corrected = job(tmp_path / "run", data={"root": "data"})
    assert corrected.prepare() is ToDo.NEW and Run(tmp_path / "run").config() == corrected.config


def test_the_decoder_of_a_second_stage_is_no_other_run(tmp_path):
    """A run's own configuration names the first stage's decoder, the command line perhaps none."""
    begin(job(tmp_path / "run", init_from="first", decoder={"hidden_size": 256}), "finished")
    assert job(tmp_path / "run", init_from="first").to_do() is ToDo.NOTHING
    assert job(tmp_path / "run", init_from="first", training={"max_epochs": 9}).prepare() is ToDo.RESUME
    asked = Run(tmp_path / "run").config()
    assert (asked.decoder.hidden_size, asked.training.max_epochs) == (256, 9)
    with pytest.raises(ConfigError, match="holds a run with init_from=first instead of second"):
        job(tmp_path / "run", init_from="second").to_do()
    more = {"encoder": {"finetune_blocks": 1}, "features": {"mode": "off"}}
    with pytest.raises(ConfigError, match=r"holds a run with encoder.finetune_blocks=0 instead of 1"):
        job(tmp_path / "run", init_from="first", **more).to_do()


def test_two_jobs_in_one_folder_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="two jobs"):
        check_folders([job(tmp_path / "run"), job(tmp_path / "run")])


@pytest.mark.parametrize(
    ("words", "varied", "name"),
    [
        (["vocab.threshold=8", "decoder.hidden_size=256"], [], "decoder.hidden_size-256__vocab.threshold-8"),
        (["seed=1", "name=x", "sweep=s", "sweep.jobs=2", "data.root=/d", "device=cpu", "cache=c"], [], "seed-1"),
        (["training.max_epochs=5", "seed=1"], ["training.max_epochs=5"], "seed-1__training.max_epochs-5"),
        (["+decoder/x=lstm"], [], "decoder_x-lstm-"),
        (["name=x"], [], "default"),
        ([], [], "default"),
    ],
)
def test_a_folder_tells_the_overrides(words, varied, name):
    found = folder_name(words, varied)
    assert found == name or (name.endswith("-") and found.startswith(name) and len(found) == len(name) + 8)


@pytest.mark.parametrize("value", ["/a/b", "a b", "'x=1,2'", "ü" * 300, "..", "[1,2]", "a\\b", "${now:%Y}"])
def test_any_value_gives_one_safe_folder_of_its_own(value):
    name = folder_name([f"vocab.x={value}", "seed=1"])
    assert len(name.encode()) <= 200 and not set(name) & set("/=,'\" \\${}[]") and name not in (".", "..")
    assert name != folder_name([f"vocab.x={value}!", "seed=1"])


def test_a_long_name_tells_the_last_parts_of_its_keys():
    words = [f"training.{key}=0.5" for key in ("learning_rate", "weight_average", "reward_dropout", "draw_temperature")]
    words += [f"decoder.{key}=0.5" for key in ("dropout", "word_dropout", "feature_dropout")] + ["vocab.threshold=4"]
    name = folder_name(words, ["vocab.threshold=4"])
    assert name.startswith("dropout-0.5__feature_dropout-0.5__") and "__threshold-4-" in name
    assert name == folder_name(words, ["decoder.dropout=0.5"])  # a sweep that is extended finds its runs


def test_a_job_trains_in_a_folder_without_what_all_names_repeat_unless_an_older_sweep_made_one(tmp_path):
    words = ["decoder.dropout=0.5", "encoder.name=resnet18", "vocab.threshold=4", "decoder=lstm"]
    short = "dropout-0.5__decoder-lstm__encoder.name-resnet18__threshold-4"
    assert job_folder(tmp_path, words, []) == tmp_path / short
    (tmp_path / folder_name(words)).mkdir()
    assert job_folder(tmp_path, words, []) == tmp_path / folder_name(words) != tmp_path / short
    twins = ["decoder.dropout=0.5", "encoder.dropout=0.5"]
    assert job_folder(tmp_path, twins, twins).name == "decoder.dropout-0.5__encoder.dropout-0.5"


def test_order_of_words_does_not_matter():
    assert folder_name(["seed=1", "vocab=min4"]) == folder_name(["vocab=min4", "seed=1"])


def test_a_new_run_is_described_in_its_folder_unless_somebody_trains_there(tmp_path):
    it = job(tmp_path / "run", data={"root": "/d/it's, a=b [x]"})
    it.directory.mkdir()
    with locked(Run(it.directory).lock_file):
        assert it.prepare() is ToDo.BUSY and not Run(it.directory).config_file.exists()
    assert it.prepare() is ToDo.NEW
    assert Run(it.directory).config() == it.config


def test_the_reason_is_the_last_word_of_the_log(tmp_path):
    log = tmp_path / "out.log"
    log.write_bytes(b"x" * 20000 + b"\nTraceback\n  File\n\x1b[31mValueError: bad \xff\x1b[0m\n\n")
    assert last_line(log) == "ValueError: bad \ufffd"
    assert last_line(tmp_path / "none") == ""
    assert describe(2, "error: data.root: no such folder") == "data.root: no such folder (exit code 2)"
    assert describe(137, "epoch 3/10") == "ended by SIGKILL (exit code 137)"


def test_a_run_that_was_cut_is_not_left_running(tmp_path):
    it = job(tmp_path / "run")
    begin(it, "running")
    fix_status(classify_exit(it, 137))
    status = Run(it.directory).status()
    assert (status.state, status.reason, status.best) == ("failed", "ended by SIGKILL (exit code 137)", 1.0)


def test_exit_0_is_believed_only_with_a_finished_run(tmp_path):
    it = job(tmp_path / "run")
    begin(it, "running")
    assert classify_exit(it, 0).state == "failed"
    (it.directory / "status.json").write_text(json.dumps({"state": "finished", "max_epochs": 5}))
    assert classify_exit(it, 0).state == "finished"


@pytest.mark.parametrize(("images", "matches"), [("images", True), ("photos", False)])
def test_a_sweep_over_own_pictures_finds_the_runs_of_before_names_were_found(tmp_path, images, matches):
    it = job(tmp_path / "run", data={"name": "custom", "format": "folder"})
    begin(it, "stopped")
    old = Run(it.directory).values()
    old["data"] = {"name": "custom", "format": "coco", "train_images": images, "val_images": images}
    old["data"] |= {"train_annotations": "captions_train.json", "val_annotations": "captions_val.json"}
    write_json(Run(it.directory).config_file, old)
    if not matches:
        with pytest.raises(ConfigError, match=r"data\.train_annotations=captions_train\.json instead of auto"):
            it.to_do()
        return
    assert it.prepare() is ToDo.RESUME
    assert Run(it.directory).config().data.train_annotations == "captions_train.json"
