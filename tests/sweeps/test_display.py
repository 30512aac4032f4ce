import io
import json

from rich.console import Console

from showtell.config import parse
from showtell.sweeps.display import Display, duration, summary
from showtell.sweeps.job import Job, Result


def job(folder, title, **status):
    (folder / title).mkdir()
    (folder / title / "status.json").write_text(json.dumps({"monitor": "val/loss", **status}))
    return Job(title, folder / title, parse({}))


def display(total, terminal):
    return Display(total, Console(file=io.StringIO(), force_terminal=terminal, width=100, height=30, color_system=None))


def test_a_terminal_shows_a_line_per_job_with_state_epoch_best_and_time_left(tmp_path):
    it = display(3, terminal=True)
    running = job(tmp_path, "seed=1", state="running", epoch=2, max_epochs=10, best=1.25, seconds=600)
    over = job(tmp_path, "seed=[2]", state="finished", epoch=10, max_epochs=10, best=1.5)
    with it:
        it.ended(Result(over, "finished"))
        it.update([running])
        text = it.console.file.getvalue()
    lines = [line.split() for line in text.splitlines()]
    assert "1 of 3 done, 1 running, 1 waiting" in text
    assert ["seed=1", "running", "2/10", "val/loss", "1.2500", "40", "min"] in lines
    assert ["seed=[2]", "finished", "10/10", "val/loss", "1.5000"] in lines


def test_a_log_file_gets_one_line_per_event(tmp_path):
    it = display(1, terminal=False)
    failing = job(tmp_path, "seed=1", state="running")
    with it:
        it.started(failing, resumed=True)
        it.update([failing])
        it.ended(Result(failing, "failed", "ended by SIGKILL (exit code 137)"))
    first, second = it.console.file.getvalue().splitlines()
    assert first == "resumed  seed=1"
    assert second.startswith("failed   seed=1") and second.endswith("ended by SIGKILL (exit code 137)  [1 of 1]")


def test_the_summary_counts_and_lists_every_failure_with_its_log(tmp_path):
    results = [
        Result(job(tmp_path, "a"), "finished"),
        Result(job(tmp_path, "b"), "failed", "out of memory"),
        Result(job(tmp_path, "c"), "pruned"),
    ]
    text = summary(results, 5)
    assert text.splitlines() == [
        "5 jobs: 1 finished, 1 failed, 1 pruned, 2 not started",
        "failed: b",
        "    out of memory",
        f"    {tmp_path}/b/out.log",
    ]


def test_durations_read_like_a_clock():
    assert [duration(seconds) for seconds in (45, 600, 7200)] == ["45 s", "10 min", "2.0 h"]
