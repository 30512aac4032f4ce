"""`train(config, run_dir)`: the one place where the data side and the model side meet.

It reads the captions, counts the vocabulary, lets the frozen encoder see each picture once (or finds that done),
hands both sides what they need, and runs Lightning's Trainer. What it leaves in the run directory is the unit of
resume.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from showtell.atomic import remove_stale_temporaries
from showtell.checkpointing.card import check_weights
from showtell.checkpointing.resume import ResumePoint, find_resume_point
from showtell.checkpointing.stop import GracefulStop
from showtell.config import Config, ConfigError, parse
from showtell.data.module import CaptionData
from showtell.initial import Start, load_start
from showtell.meeting import Meeting
from showtell.models.decoders import Decoder, build_decoder
from showtell.models.finetuning import finetuned_blocks
from showtell.models.module import CaptionModule
from showtell.models.weights import save_travelling_weights
from showtell.models.word_vectors import load_word_vectors, word_matrix
from showtell.monitoring.rewind import LogPoint
from showtell.objectives import OBJECTIVE_CLASSES, build_objective
from showtell.ranks import first_rank_first, is_first, present
from showtell.reporting import finish, reports, write_vocabulary
from showtell.run import Run
from showtell.shard_meeting import ShardMeeting
from showtell.trainer import build_trainer
from showtell.vocabulary import Vocabulary


def train(config: Config, run_dir: Path) -> float:
    """Trains one run, from its beginning or from where `config.resume` stopped.

    With several ranks, each of them calls this (`launching` starts them); rank 0 prints, logs and writes.

    Args:
        config: the run.
        run_dir: where checkpoints, curves and captions go.

    Returns:
        The best value of `training.monitor`.

    Raises:
        UserError: something about the configuration, the data or the checkpoint that the user can mend; one line.
    """
    if config.device.devices * config.device.num_nodes != present().size:
        raise ConfigError(
            f"device.devices={config.device.devices} needs processes that train.py starts; "
            "call launching.start.start, or use device.devices=1"
        )
    resume = find_resume_point(config.resume) if config.resume else None
    start = load_start(config.init_from) if config.init_from and not resume else None
    if start:
        config = config.adopting(start.config)
    elif resume and config.init_from:
        config = config.adopting(parse(resume.card["config"]))
    meeting = ShardMeeting(config) if config.data.format == "shards" else Meeting(config)
    objective_class = OBJECTIVE_CLASSES[config.training.objective]
    if objective_class.needs_trained_start and not config.init_from:
        raise ConfigError(
            f"training.objective={config.training.objective}: an untrained decoder learns nothing from it; "
            "give a trained run's directory, init_from=runs/NAME/STAMP"
        )
    if start:
        start.check_encoder(meeting.weights.sha256)  # before its features are asked for
    train_split, val_split = meeting.train_split(), meeting.split("val")
    vocabulary = Vocabulary.from_counts(train_split.counts, config.vocab.threshold)
    card = meeting.card(vocabulary)
    if resume:
        resume.accept(card)
    if is_first():
        prepare_directory(run_dir, Path(config.cache))
        Run(run_dir).accept(config)
        write_vocabulary(run_dir, vocabulary, train_split.counts, config.vocab.threshold)
        save_travelling_weights(run_dir, meeting.weights, lambda: meeting.encoder.network)
    data = CaptionData(train_split, val_split, vocabulary, config.training, config.seed, meeting.num_workers, present())
    pl.seed_everything(config.seed, verbose=False)  # here, so that a cold and a warm cache start the same run
    decoder = first_decoder(config, meeting.feature_shape, vocabulary, start)
    if start and start.finetuned_count:
        start.load_into_blocks(finetuned_blocks(meeting.encoder.network, start.finetuned_count))
    references = train_split.references if objective_class.needs_references else None
    module = CaptionModule(
        meeting.encoder,
        decoder,
        vocabulary,
        build_objective(config.training, vocabulary, references),
        training=config.training,
        decoding=config.decoding,
        finetune_blocks=config.encoder.finetune_blocks,
        metadata=card,
    )
    if resume:
        check_weights(module, resume.shapes, resume.path)
    with first_rank_first():
        shown = reports(config, run_dir, data)
    fit(config, run_dir, data, module, shown, resume)
    return finish(module.trainer, config, run_dir) if is_first() else math.nan


def first_decoder(
    config: Config, feature_shape: tuple[int, ...], vocabulary: Vocabulary, start: Start | None
) -> Decoder:
    """The decoder as training begins with it: random, with another run's weights, or with pretrained word vectors."""
    decoder = build_decoder(config.decoder, feature_shape, len(vocabulary))
    if start:
        start.load_into(decoder, vocabulary)
    elif config.decoder.word_vectors:
        read = load_word_vectors(word_matrix(decoder), Path(config.decoder.word_vectors), vocabulary)
        print(f"{config.decoder.word_vectors}: vectors of {read} of {len(vocabulary)} words")
    if config.device.compile:
        decoder.compile(dynamic=True)  # in place, so that parameters keep their names; captions differ in length
    return decoder


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
    if point and not point.validation_due and trainer.global_step == point.step:
        print(f"the run had come to its end at step {point.step}: nothing is left to do")


def prepare_directory(run_dir: Path, cache: Path) -> None:
    """Makes the run directory, and removes what a killed run left half-written in it and in the cache."""
    run_dir.mkdir(parents=True, exist_ok=True)
    folders = [run_dir, run_dir / "predictions", run_dir / "checkpoints"]
    for folder in [*folders, *(path for path in cache.glob("*") if path.is_dir())]:
        remove_stale_temporaries(folder)
