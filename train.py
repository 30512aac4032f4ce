"""Trains a captioner: `python train.py [group=option] [key=value]`; `python train.py --help` explains."""

import os
import sys
from pathlib import Path

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from showtell.command_line import checked_arguments, one_line_errors, print_help, resumed_config
from showtell.config import Config, parse
from showtell.launching.start import arguments_of_rank, start

# what a run imports beyond this; a sweep does so once for all its runs
IMPORTED_LATE = ("showtell.training", "torch.utils.tensorboard")
ConfigStore.instance().store("schema", Config)


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(composed: DictConfig) -> float:
    """Composed configuration -> one run; the best value is the objective of a sweep."""
    job = HydraConfig.get()
    run_dir = Path(os.path.relpath(job.runtime.output_dir))
    with one_line_errors(run_dir):
        config = resumed_config(parse(composed), job.overrides.task)
        return start(config, run_dir)


if __name__ == "__main__":
    with one_line_errors():
        conf = Path(__file__).parent / "conf"
        if not print_help(sys.argv[1:], conf):
            sys.argv[1:] = arguments_of_rank(checked_arguments(sys.argv[1:], conf))
            main()
