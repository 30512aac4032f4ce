"""A process that imports the product once and forks a child per run, so that a kill costs a second and not ten.

It reads jobs as lines of JSON and answers each with the child's wait status. A child runs the real `train(config,
run_dir)` or the real train.py, writes what it says to a log, and may send itself a signal before the k-th of the
moments below; so every seeded k is a place in the run that can be met again. The trace of a run that was left alone
tells which moments there are.

    {"config": {...}, "run_dir": "...", "log": "...", "strike": 17, "signal": 9, "mutant": null, "trace": null}
    {"argv": ["training.max_epochs=1"], "log": "..."}
"""

import faulthandler
import importlib
import json
import os
import runpy
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MOMENTS = (
    "showtell.training.trainer:ExactSteps.on_train_batch_start",
    "showtell.models.module:CaptionModule.training_step",
    "showtell.checkpointing.boundary:StepBoundary.close",
    "showtell.training.trainer:ExactSteps.on_train_batch_end",
    "showtell.checkpointing.boundary:StepBoundary.capture_step",
    "showtell.training.logs:MetricsFile.write",
    "showtell.models.module:CaptionModule.validation_step",
    "showtell.training.reports:Samples._show",
    "showtell.checkpointing.best:BestCheckpoint.on_validation_end",
    "showtell.training.progress:EpochLines.on_train_epoch_end",
    "showtell.checkpointing.archive:ChecksumWriter.write",
    "os:fsync",
    "os:replace",
)
FIRST = "ExactSteps.on_train_batch_start"  # before it, a warm cache has fewer moments than a cold one


class Moments:
    """Counts the moments of a run, and strikes before one of them."""

    def __init__(self, strike: int | None, number: int) -> None:
        self.names: list[str] = []
        self.strike = strike
        self.number = number
        self.pid = os.getpid()

    def watch(self, moment: str) -> None:
        """Wraps a function or a method."""
        owner, name, original = found(moment)
        label = moment.rpartition(":")[2]

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if os.getpid() == self.pid and (self.names or label == FIRST):  # not in a loader's worker
                if len(self.names) == self.strike:
                    os.kill(self.pid, self.number)
                self.names.append(label)
            return original(*args, **kwargs)

        setattr(owner, name, wrapped)


def found(moment: str) -> tuple[Any, str, Callable[..., Any]]:
    """`module:Class.method` as owner, name and function."""
    module, _, path = moment.partition(":")
    owner: Any = importlib.import_module(module)
    *inner, name = path.split(".")
    for part in inner:
        owner = getattr(owner, part)
    return owner, name, getattr(owner, name)


def run(job: dict[str, Any]) -> int:
    """One run in a forked child; its exit code."""
    from tests.reliability.mutants import MUTANTS

    log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if mutant := job.get("mutant"):
        MUTANTS[mutant]()
    moments = Moments(job.get("strike"), job.get("signal", signal.SIGKILL))
    for moment in MOMENTS:
        moments.watch(moment)
    try:
        start(job)
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    if job.get("trace"):
        Path(job["trace"]).write_text(json.dumps(moments.names))
    return code


def start(job: dict[str, Any]) -> None:
    """The library's function, or the script."""
    os.environ.update(job.get("environment", {}))
    if "argv" in job:
        os.chdir(job["directory"])
        sys.argv = [job.get("script", "train.py"), *job["argv"]]
        runpy.run_path(str(ROOT / sys.argv[0]), run_name="__main__")
        return
    from showtell.config import parse
    from showtell.training.stages import train_stages

    train_stages(parse(job["config"]), Path(job["run_dir"]))


def child(job: dict[str, Any]) -> None:
    """Never returns."""
    code = 1
    try:
        faulthandler.enable()
        code = run(job)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def wait(pid: int, seconds: float | None) -> int:
    """The child's wait status; it is killed when the seconds are over."""
    until = time.monotonic() + (seconds or 0)
    while seconds and time.monotonic() < until:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status
        time.sleep(0.002)
    if seconds:
        os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


def main() -> None:
    """Jobs in, answers out."""
    import torch

    torch.set_num_threads(1)
    import rich.console  # noqa: F401
    import tensorboard.compat  # noqa: F401

    import showtell.prediction
    import showtell.training.stages  # noqa: F401

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        job = json.loads(line)
        pid = os.fork()
        if pid == 0:
            child(job)
        print(json.dumps(wait(pid, job.get("kill_after"))), file=answers, flush=True)


if __name__ == "__main__":
    main()
