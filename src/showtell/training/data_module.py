"""The data of a run from its configuration alone.

    import pytorch_lightning as pl
    from showtell.config import parse
    from showtell.models.decoders import build_decoder
    from showtell.models.module import CaptionModule
    from showtell.objectives.cross_entropy import CrossEntropy
    from showtell.training.data_module import CaptionDataModule

    config = parse({"data": {"format": "shapes"}, "decoder": {"name": "lstm"}})  # any settings, nested
    data = CaptionDataModule(config)
    decoder = build_decoder(config.decoder, data.feature_shape, len(data.vocabulary))
    module = CaptionModule(data.encoder, decoder, data.vocabulary, CrossEntropy())
    pl.Trainer(max_epochs=3).fit(module, datamodule=data)

A plain Trainer trains, validates and scores. Resuming in the middle of an epoch and stopping after a signal come with
train.py.
"""

from showtell.config import Config, ConfigError
from showtell.data.module import CaptionData
from showtell.distributed import get_ranks
from showtell.text import Vocabulary
from showtell.text.vocabulary import vocabulary_fault
from showtell.training.sources import Source, open_source


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
