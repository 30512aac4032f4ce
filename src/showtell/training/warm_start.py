"""`init_from=CHECKPOINT`: a second stage of training that starts with the weights of a first one.

Encoder, decoder and vocabulary settings are the checkpoint's, whatever the command line says of them, because the
weights mean nothing to others; data, training and decoding are the new run's. Only `encoder.finetune_blocks` may grow:
blocks that the first stage fine-tuned stay the run's own, with `training.encoder_learning_rate=0` as they are. Unlike
`resume`, the new run has its own optimizer, epochs and directory; it can be resumed when the first stage is gone.
"""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from showtell.checkpointing.metadata import files_of, load_weights
from showtell.checkpointing.stored import load_model
from showtell.config import Config, ConfigError, restore
from showtell.text import Vocabulary, tokenizer_of


@dataclass(frozen=True)
class Start:
    """A checkpoint to start from; `finetuned` holds the weights of `finetuned_count` blocks of the encoder.

    `encoder_sha256` tells the weights of the frozen encoder, `decoder_files` are what `Decoder.files` says.
    """

    path: Path
    config: Config
    vocabulary: Vocabulary
    weights: dict[str, Tensor]
    finetuned: dict[str, Tensor]
    encoder_sha256: str
    decoder_files: dict[str, str]

    @property
    def finetuned_count(self) -> int:
        """How many of the encoder's last blocks the first stage fine-tuned."""
        return self.config.encoder.finetune_blocks

    def check_encoder(self, sha256: str) -> None:
        """Refuses, by a ConfigError, features of an encoder with other weights than the first stage's."""
        if sha256 != self.encoder_sha256:
            raise ConfigError(
                f"init_from={self.path}: its encoder's weights ({self.encoder_sha256[:16]}) are not those found now "
                f"({sha256[:16]}); put the old ones back, or train the first stage anew"
            )

    def load_into_blocks(self, blocks: nn.Module) -> None:
        """Gives the encoder's last `finetuned_count` blocks the weights of the first stage."""
        load_weights(blocks, self.finetuned, self.path)

    def check_vocabulary(self, vocabulary: Vocabulary) -> None:
        """Refuses, by a ConfigError, data that give another vocabulary."""
        if vocabulary.words != self.vocabulary.words:
            raise ConfigError(
                f"init_from={self.path}: its vocabulary ({len(self.vocabulary)} words) is not that of these captions "
                f"({len(vocabulary)} words); start from a model of the same data, or name its "
                f"data, which were {self.config.data.name} in {self.config.data.root}"
            )

    def load_into(self, decoder: nn.Module) -> None:
        """Gives the decoder the weights."""
        load_weights(decoder, self.weights, self.path)


def load_start(path: str) -> Start:
    """Reads the checkpoint, or a pack; of a run directory the best one, or the last where no best is chosen yet.

    Raises:
        UserError: there is none, or it is broken; one line.
    """
    stored = load_model(Path(path))
    metadata, config = stored.metadata, restore(stored.metadata["config"])
    vocabulary = Vocabulary(metadata["vocabulary"], tokenizer_of(config.vocab, metadata["tokenizer"]))
    sha256 = str(metadata["encoder"]["sha256"])
    return Start(stored.path, config, vocabulary, stored.decoder, stored.finetuned, sha256, files_of(metadata))
