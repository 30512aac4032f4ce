"""From a run directory to the processes that train it: this one, some that it starts, or one of torchrun's.

The ranks are started before anything else, with the run directory, which holds the configuration; so they can make the
feature store together, a job of a sweep can have several, and whoever started them can watch them (`launcher`).
Lightning finds their process group ready; its own launcher is not used (`docs/decisions/launching.md`).

torchrun starts the ranks itself, on one machine or many, each with the whole command line. Then rank 0's configuration
and run directory are everybody's; the others give Hydra the working directory to run in and write nothing.
"""

import atexit
import math
import os
import re
import shlex
import signal
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from showtell.config import Config, ConfigError, parse
from showtell.distributed import Ranks, broadcast, process_group, ranks_of_environment
from showtell.errors import USER_ERROR, explained, one_line_errors
from showtell.launching.heartbeat import send_heartbeats
from showtell.launching.imports import postpone_torchmetrics, quick_imports
from showtell.launching.launcher import LAUNCHER, LOST_CONNECTION, Launcher
from showtell.launching.watcher import watch_machines, watch_this_rank
from showtell.ownership import owning
from showtell.processes import COMMAND_VARIABLE, PROCESS, SIGNALS, catching, free_memory, refuse_too_large, shortest
from showtell.run import Run, asked_config
from showtell.terminal import unfailing_output

_LOST = re.compile(r"gloo/transport|Connection (closed|reset|refused)|Broken pipe|NCCL.*(remote|unhandled system)")


def start(run: Run, composed: Mapping[str, Any] | None = None, overrides: Sequence[str] = ()) -> float:
    """Trains one run on as many processes as it asks for.

    Args:
        run: its directory.
        composed: what Hydra made of a command line that asks for it; None where the directory says what to train.
        overrides: the words of that command line.

    Returns:
        The best value of `training.monitor`; NaN where there is none, and on other ranks than the first.

    Raises:
        UserError: as `training.train`.
        SystemExit: a rank failed or was stopped; what there is to say has been printed.
    """
    ranks = ranks_of_environment()
    with unfailing_output():
        if not ranks or not ranks.rank:
            with owning(run.lock_file) as lock:
                run.check_files()
                return _start_owned(run, composed, overrides, ranks, lock)
        with one_line_errors():  # what was refused is taken back by rank 0 alone
            if composed is not None:  # torchrun's; rank 0 has the run directory
                return _start_rank(asked_config(composed, overrides), run, ranks)
            return _start_rank(run.current.config(), run.current, ranks)


def _start_owned(
    run: Run, composed: Mapping[str, Any] | None, overrides: Sequence[str], ranks: Ranks | None, lock: int | None
) -> float:
    """As `start`, in the process that the run's directory belongs to."""
    if composed is not None:
        os.environ[COMMAND_VARIABLE] = shlex.join(["python", "train.py", *overrides])
        run.begin(composed, overrides)
    else:
        run = run.current
        if not ranks:  # as a batch system starts a job anew
            run.go_on()
    config = run.config()
    if LAUNCHER not in os.environ:
        print(f"{'run':9} {shortest(run.directory)}{' goes on' if config.resume else ''}", flush=True)
    if ranks:
        return _start_rank(config, run, ranks)
    if config.device.num_nodes > 1:
        raise ConfigError(
            f"device.num_nodes={config.device.num_nodes} needs ranks on every machine; start on each of them "
            "torchrun --nnodes=N --nproc_per_node=M --rdzv_backend=c10d --rdzv_endpoint=HOST train.py device=ddp"
        )
    if config.device.devices > 1:
        _check_processes(config.device.devices)
        if code := Launcher(run, config.device.devices, lock).run():
            if code == USER_ERROR:
                run.withdraw()
            raise SystemExit(code)
        status = run.status()
        return math.nan if status is None or status.best is None else status.best
    with stopped_early(run):
        with catching(SIGNALS, partial(_leave, run)), quick_imports():
            postpone_torchmetrics()
            from showtell.training.stages import train_stages  # late: who only starts others needs no torch
        return train_stages(config, run.directory)


def _check_processes(count: int) -> None:
    """Refuses, by a UserError, more processes than this machine can be meant for."""
    most = 8 * (os.cpu_count() or 1)
    if count > most:
        raise ConfigError(f"device.devices={count}: too many for {most // 8} cores; use at most {most}")
    refuse_too_large(count * PROCESS, free_memory(), f"device.devices={count}", "use fewer")


def _leave(run: Run, number: int, frame: FrameType | None) -> None:
    """Ends the process amid its imports: some swallow exceptions, and would leave modules that are half there."""
    with suppress(OSError):
        os.write(1, f"{_stopped(run, number)}\n".encode())
    os._exit(128 + number)


def _stopped(run: Run, number: int) -> str:
    return f"stopped by {signal.Signals(number).name}; go on with: {run.command}"


@contextmanager
def stopped_early(run: Run) -> Iterator[None]:
    """A block in which a signal ends the work at once; so it is until training begins, and stops after its steps.

    Nothing is lost then: what was drawn, read or encoded so far is kept, and the next start goes on from there.
    """
    stopped: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        stopped.append(number)
        raise SystemExit(128 + number)

    try:
        with catching(SIGNALS, end):
            yield
    except Exception:
        if not stopped:
            raise
        raise SystemExit(128 + stopped[0]) from None  # what came of the first exception, which somebody has swallowed
    finally:
        if stopped:
            print(_stopped(run, stopped[0]), flush=True)


@contextmanager
def leaving_after_errors() -> Iterator[None]:
    """A block after whose failure the process ends without taking itself down, once all has been said.

    The group that connects the ranks is still up then, and its threads, met by the end of the process, may abort it:
    the exit code would be that of a crash. Entered before torch is imported, so that this is the last thing to happen.
    """
    codes: list[int] = []

    def leave() -> None:
        if codes:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(codes[0])

    atexit.register(leave)
    try:
        yield
    except SystemExit as error:
        codes.append(error.code if isinstance(error.code, int) else int(error.code is not None))
        raise
    except BaseException as error:
        codes.append(USER_ERROR if explained(error) else 1)
        raise


@leaving_after_errors()
def _start_rank(config: Config, run: Run, ranks: Ranks) -> float:
    """Trains as one of our launcher's ranks or of torchrun's, and lets it be seen that it lives."""
    launcher = os.environ.get(LAUNCHER)
    if launcher:
        line = socket.socket(fileno=os.dup(0))  # the launcher listens at the other end of standard input
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        send_heartbeats(line, int(launcher))
    else:
        send_heartbeats(watch_this_rank(ranks.rank, run.directory), os.getppid())
    return train_as_rank(as_started(config, ranks), run.directory, ranks)


def train_as_rank(config: Config, run_dir: Path, ranks: Ranks) -> float:
    """Joins the other ranks and trains rank 0's run.

    Raises:
        SystemExit: another rank has gone; what is to say about it is others' business.
    """
    with quick_imports():
        postpone_torchmetrics()
        from showtell.training.stages import sized_by_data, train_stages
    try:
        with process_group(ranks, config.device.accelerator, config.device.timeout_seconds):
            if not ranks.rank:
                config = sized_by_data(config, run_dir)
            values, directory = broadcast((config.as_dict(), str(run_dir)))
            watch_machines(ranks, run_dir)
            with nullcontext() if ranks.rank else stopped_early(Run(directory)):
                return train_stages(parse(values), Path(directory))
    except RuntimeError as error:
        if not _LOST.search(str(error)):
            raise
        print(f"rank {ranks.rank} has lost the connection to another rank", file=sys.stderr, flush=True)
        raise SystemExit(LOST_CONNECTION) from None
    except KeyboardInterrupt:
        raise SystemExit(128 + signal.SIGINT) from None


def as_started(config: Config, ranks: Ranks) -> Config:
    """The configuration with the numbers of processes and machines that torchrun decided on; says so if they differ."""
    if ranks.size % ranks.local_size:
        raise ConfigError(f"torchrun started {ranks.size} ranks, unevenly; use the same --nproc_per_node everywhere")
    device = replace(config.device, devices=ranks.local_size, num_nodes=ranks.size // ranks.local_size)
    if device != config.device and ranks.rank == 0:
        print(f"torchrun decides: device.devices={device.devices} device.num_nodes={device.num_nodes}", flush=True)
    return replace(config, device=device)


def arguments_of_rank(arguments: Sequence[str]) -> list[str]:
    """The command line as Hydra gets it in this process: of torchrun's ranks only the first may write.

    Raises:
        ConfigError: a sweep under torchrun.
    """
    ranks = ranks_of_environment()
    if ranks is None:
        return list(arguments)
    if {"-m", "--multirun"} & set(arguments):
        raise ConfigError("-m starts processes of its own: run the sweep without torchrun, with device=ddp")
    if ranks.rank == 0:
        return list(arguments)
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return [*arguments, "hydra.run.dir=.", "hydra/job_logging=none"]
