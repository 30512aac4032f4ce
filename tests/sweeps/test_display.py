import io
import json
import os

import pytest
from rich.console import Console

from showtell.config import parse
from showtell.sweeps.display import Display, duration, summary
from showtell.sweeps.job import Job, Result


def job(folder, title, log="", **status):
    (folder / title).mkdir()
    (folder / title / "out.log").write_text(log)
    if status:
        (folder / title / "status.json").write_text(json.dumps({"monitor": "val/loss", **status}))
    return Job(title, folder / title, parse({}))


def display(total, terminal, width=100):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=width, height=30, color_system=None)
    return Display(total, console)


def drawn(it):
    it.update()
    return it.console.file.getvalue()


def test_a_terminal_shows_a_line_per_job_with_state_epoch_best_and_time_left(tmp_path):
    it = display(3, terminal=True)
    running = job(tmp_path, "seed=1", state="running", epoch=2, max_epochs=10, best=1.25, seconds=500)
    over = job(tmp_path, "seed=[2]", state="finished", epoch=10, max_epochs=10, best=1.5)
    with it:
        it.ended(Result(over, "finished"))
        it.started(running, resumed=True)
        text = drawn(it)
    lines = [line.split() for line in text.splitlines()]
    assert "1 of 3 done, 1 running, 1 waiting, about 75 min left" in text  # 33 min, and 42 for the one that waits
    assert ["seed=1", "running", "val/loss", "1.2500", "2/10", "33", "min"] in lines
    assert ["seed=[2]", "finished", "val/loss", "1.5000", "10/10"] in lines


@pytest.mark.parametrize("width", [80, 100, 140])
@pytest.mark.parametrize("count", [1, 4, 9])
def test_at_any_width_what_is_swept_score_and_state_are_whole(tmp_path, width, count):
    keys = ["hidden_size", "embedding_size", "dropout", "attention_size", "layers", "a", "b", "c", "d"][:count]
    it = display(4, terminal=True, width=width)
    title = " ".join(f"decoder.{key}=0.125" for key in keys)
    over = job(tmp_path, title, state="finished", epoch=100, max_epochs=100, best=1.2345)
    begun = job(tmp_path, f"{title}5", state="running", epoch=20, max_epochs=100, best=0.1234, seconds=60)
    with it:
        it.ended(Result(over, "finished"))
        it.started(begun, resumed=False)
        words = drawn(it).split()
    for key in keys:
        assert f"{key}=0.125" in words, "shortened, and not cut"
    assert {"finished", "running", "1.2345", "0.1234", f"{keys[-1]}=0.1255"} <= set(words)
    assert "…" not in "".join(words)
    assert count > 1 or "20/100" in words, "where there is room, the rest is there too"


def test_before_a_job_trains_its_log_says_what_it_does(tmp_path):
    it = display(3, terminal=True)
    with it:
        it.started(job(tmp_path, "a=1", log="epoch 1\nencoding coco train  ━━━  100/6000 pictures\n"), resumed=False)
        it.started(job(tmp_path, "a=2", log="something else\n"), resumed=False)
        lines = [line.split() for line in drawn(it).splitlines()]
    assert ["a=1", "encoding"] in lines and ["a=2", "starting"] in lines


def test_done_is_only_what_needs_no_further_run(tmp_path):
    it = display(6, terminal=True)
    with it:
        for state in ("finished", "pruned", "skipped", "failed", "stopped", "busy"):
            it.ended(Result(job(tmp_path, f"a={state}", state=state), state))
        text = drawn(it)
    assert "3 of 6 done, 0 running, 0 waiting, 1 failed, 1 stopped, 1 busy" in text
    assert "left" not in text.splitlines()[0]


def test_the_time_left_counts_jobs_that_wait_and_those_side_by_side(tmp_path, monkeypatch):
    monkeypatch.setattr("showtell.sweeps.display.time.time", lambda: 10_000.0)
    it = display(6, terminal=False)
    assert it.seconds_left(10_000.0) is None
    for number in (1, 2):
        running = job(tmp_path, f"a={number}", state="running", epoch=1, max_epochs=10, seconds=10)
        os.utime(running.directory / "status.json", (10_000, 10_000))
        it.started(running, resumed=False)
    assert it.seconds_left(10_000.0) == pytest.approx((90 + 90 + 4 * 90) / 2)  # two at once


def test_a_log_file_gets_one_line_per_event(tmp_path):
    it = display(1, terminal=False)
    failing = job(tmp_path, "seed=1", state="running")
    with it:
        it.started(failing, resumed=True)
        it.update()
        it.ended(Result(failing, "failed", "ended by SIGKILL (exit code 137)"))
    first, second = it.console.file.getvalue().splitlines()
    assert first == "resumed  seed=1"
    assert second.startswith("failed   seed=1") and second.endswith("ended by SIGKILL (exit code 137)  [0 of 1 done]")


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
