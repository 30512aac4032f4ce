"""The data and the model of a run from its configuration alone.

    import pytorch_lightning as pl
    from showtell.config import parse
    from showtell.training.data_module import CaptionDataModule, build_module

    config = parse({"data": {"format": "shapes"}, "decoder": {"name": "lstm"}})  # any settings, nested
    data = CaptionDataModule(config)
    module = build_module(data)
    pl.Trainer(max_epochs=3).fit(module, datamodule=data)

A plain Trainer trains, validates and scores; with `plugins=[VerifiedCheckpointIO()]` (`checkpointing.last`) it writes
checkpoints that `showtell.load` takes. Resuming within an epoch and stopping after a signal come with train.py.
"""

from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from showtell import __version__
from showtell.config import Config, ConfigError, TrainingConfig
from showtell.config.plugins import origins
from showtell.data.module import CaptionData
from showtell.data.settings import ShapesDataConfig, ShardsConfig
from showtell.data.shapes import ensure_shapes
from showtell.distributed import get_ranks, rank_zero_first
from showtell.models.decoders.base import Decoder, build_decoder
from showtell.models.encoders.encoding import FrozenEncoder
from showtell.models.encoders.finetuning import finetuned_blocks
from showtell.models.module import CaptionModule
from showtell.models.objective import build_objective
from showtell.models.word_vectors import load_word_vectors, word_matrix
from showtell.text import Vocabulary
from showtell.text.vocabulary import vocabulary_fault
from showtell.training.shard_source import ShardSource
from showtell.training.sources import FolderSource, Source
from showtell.training.warm_start import Start


class CaptionDataModule(CaptionData):
    """Captions and pictures of `config.data`, their vocabulary, and the encoder's features where these are stored.

    Args:
        config: the run.
        source: where its data lie; found by the configuration.

    Attributes:
        encoder: the frozen encoder, for the module.
        vocabulary: counted on the training captions.
        feature_shape: `(D,)` or `(R, D)`, for the decoder.

    Raises:
        ConfigError: the vocabulary would hold too little to learn from; told before a picture is encoded.
    """

    def __init__(self, config: Config, source: Source | None = None) -> None:
        self.run_config = config
        self.source = source = source or open_source(config)
        self.encoder = source.encoder
        threshold = config.vocab.threshold
        fault = None if config.resume else vocabulary_fault(source.counts, threshold, source.tokenizer)
        if fault:
            raise ConfigError(f"data={config.data.name}: {fault}")
        train, val = source.train, source.val
        vocabulary = Vocabulary.from_counts(train.counts, threshold, source.tokenizer)
        super().__init__(train, val, vocabulary, config.training, config.seed, source.num_workers, get_ranks())
        self.vocabulary = vocabulary

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """`(D,)` or `(R, D)`."""
        return self.source.feature_shape

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """What a checkpoint tells about itself, in plain containers."""
        config, weights = self.run_config, self.encoder.weights
        training = replace(config.training, loggers=TrainingConfig().loggers)  # a model needs none of a plugin's
        return {
            "format": 1,
            "version": __version__,
            "config": replace(config, training=training).as_dict(),
            "plugins": origins(config),
            "vocabulary": self.vocabulary.words,
            "encoder": {"sha256": weights.sha256, "public": weights.public},
            "data": self.source.data_hash,
            "transform": asdict(weights.transform),
            "feature_shape": list(self.feature_shape),
        }


def build_module(data: CaptionDataModule, start: Start | None = None) -> CaptionModule:
    """The module of a run, as training begins with it; `start` is what `init_from` led to.

    Raises:
        ConfigError: a second stage without its first.
    """
    config = data.run_config
    if config.init_from and not (start or config.resume):
        raise ConfigError(f"init_from={config.init_from}: second stages start in train.py, or by training.train.train")
    decoder = first_decoder(config, data.feature_shape, data.vocabulary, start)
    if start and start.finetuned_count:
        start.load_into_blocks(finetuned_blocks(data.encoder.network, start.finetuned_count))
    references = data.references("train") if config.objective.needs_references else None
    return CaptionModule(
        data.encoder,
        decoder,
        data.vocabulary,
        build_objective(config.objective, data.vocabulary, references),
        training=config.training,
        decoding=config.decoding,
        finetune_blocks=config.encoder.finetune_blocks,
        metadata=data.metadata,
    )


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


def open_source(config: Config) -> Source:
    """The source of a run; data that is drawn is drawn here.

    Raises:
        ConfigError: a device that is not there.
        ShardError: shards that are not there.
    """
    encoder = FrozenEncoder(config)
    if isinstance(config.data, ShapesDataConfig):
        with rank_zero_first():
            ensure_shapes(Path(config.data.root), config.data.shapes)
    return ShardSource(config, encoder) if isinstance(config.data, ShardsConfig) else FolderSource(config, encoder)
