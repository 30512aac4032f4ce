"""`train.py -m` as a user types it; the jobs are stand-ins."""

import pytest

from showtell.run import Run


def test_a_preset_and_the_section_sweep_go_together(sweep):
    done = sweep("sweep=hidden_x_vocab", "sweep.jobs=2", "vocab.threshold=4", "training.max_epochs=1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"3 jobs, 2 at once, in runs/{sweep.name}\n")
    folders = [f"hidden_size-{size}__threshold-4" for size in (100, 256, 512)]
    assert sorted(path.name for path in sweep.runs.iterdir() if path.is_dir()) == sorted(folders)
    configs = [Run(sweep.runs / folder).values() for folder in folders]
    assert [config["decoder"]["hidden_size"] for config in configs] == [100, 256, 512]
    assert "3 runs by val/loss" in done.stdout and (sweep.runs / "leaderboard.html").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["seed=1,1"], "two jobs of the sweep would train in"),
        (["seed=1,x"], "seed"),
        (["decoder.hidden_size=1,0"], "decoder.hidden_size=0 is out of range"),
        (["seed=1,2", "resume=runs/x"], "a sweep goes on where it stopped by the same command again"),
        (["seed=1,2", "sweep.backend=moon"], "sweep.backend='moon' is not an option; choose one of local, slurm, ray"),
    ],
)
def test_a_mistake_is_one_line_and_starts_nothing(sweep, words, message):
    done = sweep(*words)
    assert done.returncode == 2
    assert message in done.stderr and done.stderr.count("\n") == 1
    assert not list(sweep.runs.glob("*/"))


@pytest.mark.parametrize(
    "words", [["experiment=scst", "init_from=a,b"], ["data.augment.crop_area=0.5,0.8", "features.views=8"]]
)
def test_only_the_jobs_are_judged_not_what_is_left_without_the_varied_words(sweep, words):
    done = sweep(*words, "training.max_epochs=1")
    assert done.returncode == 0, done.stderr
    assert len(list(sweep.runs.glob("*/starts.txt"))) == 2


def test_odd_values_reach_the_job_unharmed(sweep):
    root = "/d/it\\'s, a=b [x]"
    done = sweep(f"data.root='{root}'", "seed=3", "training.max_epochs=1")
    assert done.returncode == 0, done.stdout
    assert Run(sweep.runs / "seed-3").values()["data"]["root"] == "/d/it's, a=b [x]"


@pytest.mark.slow
def test_cores_are_shared_among_the_jobs_that_run_at_once(sweep, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert sweep("seed=1,2", "sweep.jobs=64", "training.max_epochs=1").returncode == 0
    assert [path.read_text().split()[1] for path in sweep.runs.glob("*/starts.txt")] == ["1", "1"]
