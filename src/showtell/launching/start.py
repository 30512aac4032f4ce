"""From a configuration to the processes that train it: this one, some that it starts, or one of torchrun's.

Lightning's own launcher starts the other ranks inside `trainer.fit`, by running the whole command line again: when the
data have been read and the features stored by one process, with a second Hydra and a second run directory per rank, and
under `-m` with a second sweep. Here the ranks are started before anything else, from a configuration that is already
resolved and with the run directory that is already chosen; so they can make the feature store together, a job of a
sweep can have several, and whoever started them can watch them (`launcher`). Lightning finds their process group ready.

torchrun starts the ranks itself, on one machine or many, each with the whole command line. Then rank 0's configuration
and run directory are everybody's; the others give Hydra the working directory to run in and nothing to write.
"""

import math
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from showtell.config import Config, ConfigError, parse
from showtell.launching.launcher import Launcher
from showtell.launching.watcher import be_watched
from showtell.ranks import Ranks, ranks_of_environment
from showtell.run import Run


def start(run: Run) -> float:
    """Trains one run on as many processes as it asks for.

    Args:
        run: whose directory says what to train.

    Returns:
        The best value of `training.monitor`; NaN where there is none, and on other ranks than the first.

    Raises:
        UserError: as `training.train`.
        SystemExit: a rank failed or was stopped; what there is to say has been printed.
    """
    config, run_dir = run.config(), run.directory
    ranks = ranks_of_environment()
    if ranks:
        from showtell.launching.rank import train_as_rank

        be_watched(ranks.rank, run_dir)
        return train_as_rank(as_started(config, ranks), run_dir, ranks)
    if config.device.num_nodes > 1:
        raise ConfigError(
            f"device.num_nodes={config.device.num_nodes} needs ranks on every machine; start on each of them "
            "torchrun --nnodes=N --nproc_per_node=M --rdzv_backend=c10d --rdzv_endpoint=HOST train.py device=ddp"
        )
    if config.device.devices > 1:
        return launch(config, run_dir)
    from showtell.training import train  # late: who only starts others needs no torch

    return train(config, run_dir)


def launch(config: Config, run_dir: Path) -> float:
    """Starts the ranks on this machine and waits for them; arguments and errors as `start`."""
    code = Launcher(config, run_dir).run()
    if code:
        raise SystemExit(code)
    status = Run(run_dir).status()
    return math.nan if status is None or status.best is None else status.best


def as_started(config: Config, ranks: Ranks) -> Config:
    """The configuration with the numbers of processes and machines that torchrun decided on; says so if they differ."""
    if ranks.size % ranks.local_size:
        raise ConfigError(f"torchrun started {ranks.size} ranks, unevenly; use the same --nproc_per_node everywhere")
    device = replace(config.device, devices=ranks.local_size, num_nodes=ranks.size // ranks.local_size)
    if device != config.device and ranks.rank == 0:
        print(f"torchrun decides: device.devices={device.devices} device.num_nodes={device.num_nodes}", flush=True)
    return parse(replace(config, device=device).as_dict())


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
