"""Where a run's captions and images come from, as its frozen encoder needs them: a folder, or shards (files beside).

Here the data side meets the encoder, and this is all that either needs of the other: the encoder's transform says how
pictures are decoded, its fingerprint names what is stored of its answers, and it is called for those that are missing.
Everything is made when it is first asked for, in any order. A run that finds its features stored never builds the
encoder, let alone opens a picture.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from showtell import __version__
from showtell.checkpointing.metadata import TOKENIZER
from showtell.config import Config, ConfigError, TrainingConfig
from showtell.config.plugins import origins
from showtell.data.annotations import SplitName
from showtell.data.module import SplitData, TrainSplit
from showtell.models.decoders.base import decoder_files
from showtell.models.encoders.encoding import FrozenEncoder
from showtell.models.precision import processor
from showtell.text import Tokenizer, Vocabulary, tokenizer_of
from showtell.text.subwords import BytePairs
from showtell.text.vocabulary import vocabulary_fault


class Source(ABC):
    """What a run is trained and validated on."""

    def __init__(self, config: Config, encoder: FrozenEncoder) -> None:
        self.config = config
        self.encoder = encoder

    @cached_property
    def decoder_files(self) -> dict[str, str]:
        """What the decoder is built by, see `Decoder.files`; of a checkpoint's if they were put here before."""
        return decoder_files(self.config.decoder)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """What cuts captions; pieces of words are learnt now, unless a checkpoint's tokenizer was put here before."""
        vocab = self.config.vocab
        found = tokenizer_of(vocab, self.decoder_files.get(TOKENIZER, ""))
        if isinstance(found, BytePairs) and not found.content:
            found = found.trained(self.counts_of(found), vocab.size, vocab.threshold)
        return found

    @abstractmethod
    def counts_of(self, tokenizer: Tokenizer) -> Counter[str]:
        """How often each word of such a tokenizer occurs in the training captions."""

    @property
    @abstractmethod
    def counts(self) -> Counter[str]:
        """How often each word occurs in the training captions; no picture is encoded for it."""

    @abstractmethod
    def references(self, split: SplitName) -> Mapping[int, Sequence[str]] | None:
        """What people wrote about the pictures, by picture id; None where that is not kept."""

    @abstractmethod
    def size(self) -> str:
        """How many pictures and captions there are, in words."""

    @property
    @abstractmethod
    def train(self) -> TrainSplit:
        """What is trained on."""

    @property
    @abstractmethod
    def val(self) -> SplitData:
        """What is validated on."""

    @abstractmethod
    def find_test(self) -> None:
        """Refuses a test split that cannot be read, before the pictures of any are encoded."""

    @property
    @abstractmethod
    def test(self) -> SplitData:
        """What `training.test` scores."""

    @property
    @abstractmethod
    def num_workers(self) -> int:
        """The processes that read batches."""

    @property
    @abstractmethod
    def data_hash(self) -> str:
        """Tells data sets apart; copying one does not change it."""

    @property
    @abstractmethod
    def feature_shape(self) -> tuple[int, ...]:
        """`(D,)` or `(R, D)`: of the stored features, else of the network's."""

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Counted on the training captions.

        Raises:
            ConfigError: nothing can be learnt from these words; a resumed run has learnt from them.
        """
        threshold = self.config.vocab.threshold
        learnt = self.config.resume or self.tokenizer.content
        fault = None if learnt else vocabulary_fault(self.counts, threshold, self.tokenizer)
        if fault:
            raise ConfigError(f"data={self.config.data.name}: {fault}")
        return Vocabulary.from_counts(self.counts, threshold, self.tokenizer)

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """What a checkpoint tells about itself, in plain containers."""
        config, weights = self.config, self.encoder.weights
        training = replace(config.training, loggers=TrainingConfig().loggers)  # a model needs none of a plugin's
        return {
            "format": 1,
            "version": __version__,
            "config": replace(config, training=training).as_dict(),
            "plugins": origins(config),
            "vocabulary": self.vocabulary.words,
            "tokenizer": self.tokenizer.content,
            "decoder_files": {name: text for name, text in self.decoder_files.items() if name != TOKENIZER},
            "encoder": {"sha256": weights.sha256, "public": weights.public},
            "data": self.data_hash,
            "transform": weights.transform.facts(),
            "feature_shape": list(self.feature_shape),
            "processor": processor(self.encoder.device),
        }


def report_left_out(config: Config, name: str, told: str, first: str, count: int) -> None:
    """Says what a split lost in reading, or refuses, by `data.bad_pictures`."""
    if config.data.bad_pictures == "fail":
        raise ConfigError(f"{first} ({count} such); mend it, or use data.bad_pictures=skip")
    print(f"{config.data.name} {name}: {count} {told}")
