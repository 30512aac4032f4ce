"""`train(config, run_dir)`: the one place where the data side and the model side meet.

It reads the captions, counts the vocabulary, lets the frozen encoder see each picture once (or finds that done),
hands both sides what they need, and runs Lightning's Trainer. What it leaves in the run directory is the unit of
resume. The order is that of patience: what can be refused is refused before the first picture is drawn or encoded, and
each thing is told as soon as it is known.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from showtell.checkpointing.metadata import check_weights, files_of
from showtell.checkpointing.resume import ResumePoint, find_resume_point
from showtell.checkpointing.stop import GracefulStop
from showtell.config import Config, ConfigError, parse
from showtell.data.module import CaptionData
from showtell.distributed import get_ranks, is_rank_zero, rank_zero_first
from showtell.evaluation.metrics import tokens_note
from showtell.models.encoders.encoding import resolve_device
from showtell.models.module import CaptionModule
from showtell.models.precision import with_precision
from showtell.processes import shortest
from showtell.run import Run
from showtell.temporaries import remove_stale_temporaries
from showtell.terminal import tell
from showtell.text import tokenizer_of
from showtell.training.beginning import device_in_words, encoder_in_words, model_in_words, words_kept
from showtell.training.data_module import CaptionDataModule, build_module, open_source
from showtell.training.final_test import FinalTest
from showtell.training.logs import LogPoint, logger_builders
from showtell.training.reports import (
    build_scores,
    finish,
    imagined_scores,
    reports,
    write_vocabulary,
)
from showtell.training.room import check_room
from showtell.training.trainer import build_trainer, check_monitored
from showtell.training.warm_start import load_start


def train(config: Config, run_dir: Path) -> float:
    """Trains one run, from its beginning or from where `config.resume` stopped; the best value of `training.monitor`.

    With several ranks, each of them calls this (`launching` starts them); rank 0 prints, logs and writes.

    Raises:
        UserError: something about the configuration, the data or the checkpoint that the user can mend; one line.
    """
    if config.device.devices * config.device.num_nodes != get_ranks().size:
        raise ConfigError(
            f"device.devices={config.device.devices} needs processes that train.py starts; "
            "call launching.start.start, or use device.devices=1"
        )
    resume = find_resume_point(config.resume) if config.resume else None
    start = load_start(config.init_from) if config.init_from and not resume else None
    if start:
        for note in config.overruled_by(start.config):
            print(f"note: {note}", flush=True)
        config = config.adopting(start.config)
    elif resume and config.init_from and not Run.of(str(config.resume)).config_file.is_file():
        config = config.adopting(parse(resume.metadata["config"]))  # older versions did not write down what is adopted
    if not config.training.metrics:  # what a metric of one's own is called, it says of real captions below
        check_monitored(config.training.monitor, imagined_scores(config))
    logger_builders(config)  # a package that is missing is said now
    config = with_precision(config, resolve_device(config.device))
    source = open_source(config)
    if resume:
        source.tokenizer = tokenizer_of(config.vocab, resume.metadata["tokenizer"])
        source.decoder_files = files_of(resume.metadata)
    elif start:
        source.tokenizer, source.decoder_files = start.vocabulary.tokenizer, start.decoder_files
    tell("device", device_in_words(config, source.encoder.device))
    sha256 = source.encoder.weights.sha256
    if start:
        start.check_encoder(sha256)
    tell("data", f"{config.data.name}, {source.size()} in {config.data.root}")
    vocabulary = source.vocabulary
    tell("words", words_kept(vocabulary, source.counts, config.vocab.threshold))
    if not source.tokenizer.is_english and is_rank_zero():
        print(f"note: {tokens_note(source.tokenizer)}")
    if start:
        start.check_vocabulary(vocabulary)
    if resume:
        resume.accept(source.metadata)
        tell("resume", f"step {resume.step:,}, from {shortest(resume.path)}")
    if config.training.test:
        source.find_test()
    scores = build_scores(config, source)
    if scores.further:
        check_monitored(config.training.monitor, scores)
    tell("encoder", encoder_in_words(config, source.feature_shape))  # shards are encoded for it
    check_room(source, run_dir)
    pl.seed_everything(config.seed, verbose=False)
    module = build_module(source, start)
    tell("model", model_in_words(config, module))
    if resume:
        check_weights(module, resume.shapes, resume.path)
    data = CaptionDataModule(config, source)  # encodes
    tests = [FinalTest(config, run_dir, source)] if config.training.test else []
    if is_rank_zero():
        prepare_directory(run_dir, Path(config.cache))
        write_vocabulary(run_dir, vocabulary, source.counts, config.vocab.threshold)
        source.encoder.save_weights(Run(run_dir).checkpoints)
    with rank_zero_first():
        shown = reports(config, run_dir, data, scores)
    pl.seed_everything(config.seed, verbose=False)  # again, so that a cold and a warm cache start the same run
    fit(config, run_dir, data, module, [*shown, *tests], resume)
    return finish(module.trainer, config, run_dir) if is_rank_zero() else math.nan


def fit(
    config: Config,
    run_dir: Path,
    data: CaptionData,
    module: CaptionModule,
    shown: Sequence[Callback],
    resume: ResumePoint | None,
) -> None:
    """Trains to the end; a signal saves and raises."""
    stop = GracefulStop()
    point = LogPoint(resume.step, resume.validation_due) if resume else None
    trainer = build_trainer(config, run_dir, data, shown, stop, point, module.leaves_weights_unused)
    with stop:
        trainer.fit(module, datamodule=data, ckpt_path=resume.path if resume else None)
    if is_rank_zero():
        Run(run_dir).accept(config)  # also where nothing was left to do
    if point and not point.validation_due and trainer.global_step == point.step:
        print(f"the run had come to its end at step {point.step}: nothing is left to do")


def prepare_directory(run_dir: Path, cache: Path) -> None:
    """Makes the run directory, and removes what a killed run left half-written in it and in the cache."""
    run_dir.mkdir(parents=True, exist_ok=True)
    run = Run(run_dir)
    for folder in [run_dir, run.predictions, run.checkpoints, *(path for path in cache.glob("*") if path.is_dir())]:
        remove_stale_temporaries(folder)
