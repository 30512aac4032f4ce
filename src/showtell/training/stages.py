"""A run to its end: what the size of the data decides, the first stage, and the second where one is to follow.

The second stage is a run of its own in the first one's directory, so it is resumed, watched and read like any other. It
begins in the process that has trained the first, and a resume of the run finds it: killed before its first checkpoint,
the first stage has nothing left to do, and the second begins anew.
"""

import gc
import shutil
from pathlib import Path

from showtell.config import Config, parse
from showtell.config.stages import second_stage, sized
from showtell.data.caption_set import load_captions
from showtell.data.settings import ShapesDataConfig
from showtell.data.shapes import ensure_shapes
from showtell.distributed import broadcast, is_rank_zero
from showtell.processes import shortest
from showtell.run import Run
from showtell.terminal import tell
from showtell.text import tokenizer_of
from showtell.training.reports import imagined_scores
from showtell.training.room import naming_memory
from showtell.training.train import train
from showtell.training.trainer import check_monitored


def train_stages(config: Config, run_dir: Path) -> float:
    """Trains a run to its end; the best value of the last stage's `training.monitor`. On several ranks as `train`.

    Raises:
        UserError: as `train`; what is wrong with the second stage is told before the first begins.
    """
    config, run = sized_by_data(config, run_dir), Run(run_dir)
    second = second_stage(config, run.checkpoints) if config.then else None
    if second and not second.training.metrics:
        check_monitored(second.training.monitor, imagined_scores(second))
    with naming_memory(config):
        best = train(config, run_dir)
    if second is None or not broadcast(_is_done(run)):
        return best
    gc.collect()  # model, features and trainer of the first stage know one another
    if is_rank_zero():
        shutil.rmtree(run.second.directory, ignore_errors=True)  # logs of a start that was killed at once
        run.second.create(second)
        print()
        tell("then", f"{config.then}, in {shortest(run.second.directory)}")
    with naming_memory(second):
        return train(parse(broadcast(second.as_dict())), run.second.directory)


def _is_done(run: Run) -> bool:
    status = run.stage_status() if is_rank_zero() else None
    return status is not None and status.state == "finished"


def sized_by_data(config: Config, run_dir: Path) -> Config:
    """With the settings that `by_size` has for these data, written into the run's configuration; rank 0 alone asks.

    Raises:
        UserError: the captions cannot be read, or the settings do not fit the others.
    """
    if not config.by_size:
        return config
    count = None
    if config.data.format != "shards":  # which are read as they come
        if isinstance(config.data, ShapesDataConfig):
            ensure_shapes(Path(config.data.root), config.data.shapes)
        captions = load_captions(config.data, "train", Path(config.cache), tokenizer_of(config.vocab))
        count = len(captions.lengths)
    config, words, note = sized(config, count)
    tell("by size", f"{'many' if count is None else f'{count:,}'} training captions: {' '.join(words)}")
    if note:
        print(f"note: {note}", flush=True)
    run = Run(run_dir)
    if config.resume:  # not accepted yet
        run.propose(config)
    else:
        run.create(config)
    return config
