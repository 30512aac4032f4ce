"""Trains a captioner: `python train.py [group=option] [key=value]`; `python train.py --help` explains."""

import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from showtell.command_line import checked_arguments, composing, print_help, resumed_config
from showtell.config import Config, parse
from showtell.errors import one_line_errors
from showtell.launching.start import arguments_of_rank, start
from showtell.run_directory import remove_if_unused

CONF = Path(__file__).parent / "conf"
ConfigStore.instance().store("schema", Config)
composed: list[tuple[DictConfig, Any]] = []


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def compose(values: DictConfig) -> None:
    """Keeps what Hydra made of the command line; a sweep never comes here."""
    composed.append((values, HydraConfig.get()))


def main() -> None:
    """The command line -> one run, or a sweep of many."""
    with one_line_errors():
        if print_help(sys.argv[1:], CONF):
            return
        sys.argv[1:] = arguments_of_rank(checked_arguments(sys.argv[1:], CONF))
        with composing():
            compose()
    for values, job in composed:
        run_dir = Path(os.path.relpath(job.runtime.output_dir))
        with one_line_errors(partial(remove_if_unused, run_dir)):
            start(resumed_config(parse(values), job.overrides.task), run_dir)


if __name__ == "__main__":
    main()
