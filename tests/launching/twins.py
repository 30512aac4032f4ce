"""A program for torchrun: trains one configuration after another, and keeps the weights that each rank ends with.

`twins.py STAGES FOLDER`: STAGES is a JSON file of `{name: settings}`. Leaves `FOLDER/NAME` as run directories, and
`FOLDER/NAME-RANK.pt`.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch

from showtell.config import parse
from showtell.distributed import process_group, ranks_of_environment
from showtell.launching.start import as_started
from showtell.training import train as training

stages, folder = Path(sys.argv[1]), Path(sys.argv[2])
ranks = ranks_of_environment()
assert ranks is not None
fit = training.fit


def fit_and_keep(config: Any, run_dir: Path, data: Any, module: Any, *others: Any) -> None:
    fit(config, run_dir, data, module, *others)
    # buffers are the first rank's: DDP hands them out before each step
    torch.save(dict(module.named_parameters()), folder / f"{run_dir.name}-{ranks.rank}.pt")


training.fit = fit_and_keep
with process_group(ranks, "cpu", 120):
    for name, settings in json.loads(stages.read_text()).items():
        training.train(as_started(parse(settings), ranks), folder / name)
