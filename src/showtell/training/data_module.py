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

from collections.abc import Mapping
from pathlib import Path

from showtell.config import Config, ConfigError
from showtell.data.features.store import choose_place
from showtell.data.module import CaptionData
from showtell.data.settings import ShardsConfig
from showtell.distributed import get_ranks
from showtell.models.decoders.base import Decoder, build_decoder
from showtell.models.encoders.encoding import FrozenEncoder
from showtell.models.encoders.finetuning import finetuned_blocks
from showtell.models.module import CaptionModule
from showtell.models.objective import build_objective
from showtell.models.word_vectors import load_word_vectors, word_matrix
from showtell.terminal import tell
from showtell.text import Vocabulary
from showtell.training.folder_source import FolderSource
from showtell.training.shard_source import ShardSource
from showtell.training.sources import Source
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
        self.source = source = source or open_source(config)
        self.encoder = source.encoder
        self.vocabulary = vocabulary = source.vocabulary
        train, val = source.train, source.val
        super().__init__(train, val, vocabulary, config.training, config.seed, source.num_workers, get_ranks())

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """`(D,)` or `(R, D)`."""
        return self.source.feature_shape


def open_source(config: Config) -> Source:
    """The source of a run; nothing is read yet.

    Raises:
        ConfigError: a device that is not there.
        ShardError: shards that are not there.
    """
    encoder = FrozenEncoder(config)
    choose_place(config.features.place, 0, encoder.device)
    return ShardSource(config, encoder) if isinstance(config.data, ShardsConfig) else FolderSource(config, encoder)


def build_module(data: CaptionDataModule | Source, start: Start | None = None) -> CaptionModule:
    """The module of a run, as training begins with it; `start` is what `init_from` led to.

    A source is enough: no picture is encoded for it.

    Raises:
        ConfigError: a second stage without its first.
    """
    source = data if isinstance(data, Source) else data.source
    config, vocabulary = source.config, source.vocabulary
    if config.init_from and not (start or config.resume):
        raise ConfigError(f"init_from={config.init_from}: second stages start in train.py, or by training.train.train")
    decoder = first_decoder(config, source.feature_shape, vocabulary, start, source.decoder_files)
    if start and start.finetuned_count:
        start.load_into_blocks(finetuned_blocks(source.encoder.network, start.finetuned_count))
    references = source.references("train") if config.objective.needs_references else None
    return CaptionModule(
        source.encoder,
        decoder,
        vocabulary,
        build_objective(config.objective, vocabulary, references),
        training=config.training,
        decoding=config.decoding,
        finetune_blocks=config.encoder.finetune_blocks,
        metadata=source.metadata,
    )


def first_decoder(
    config: Config,
    feature_shape: tuple[int, ...],
    vocabulary: Vocabulary,
    start: Start | None,
    files: Mapping[str, str],
) -> Decoder:
    """The decoder as training begins with it: random, with another run's weights, or with pretrained word vectors."""
    decoder = build_decoder(config.decoder, feature_shape, len(vocabulary), files)
    if not (start or config.resume):
        decoder.load_pretrained(config.decoder)
    if start:
        start.load_into(decoder)
    elif config.decoder.word_vectors:
        read = load_word_vectors(word_matrix(decoder), Path(config.decoder.word_vectors), vocabulary)
        tell("vectors", f"{config.decoder.word_vectors}: of {read:,} of {len(vocabulary):,} words")
    if config.device.compile:
        decoder.compile(dynamic=True)  # in place, so that parameters keep their names; captions differ in length
    return decoder
