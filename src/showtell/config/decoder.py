"""The sections of the decoder: its vocabulary, its sizes, and how captions are read off it."""

from dataclasses import dataclass

from showtell.config.checks import one_of, within
from showtell.errors import ConfigError

DECODERS = ("lstm", "attention", "hard_attention", "topdown", "transformer")
GRID_DECODERS = ("attention", "hard_attention", "topdown", "transformer")
DECODING_METHODS = ("greedy", "beam", "sample")


@dataclass(kw_only=True)
class VocabConfig:
    """A word enters the vocabulary when the training captions hold it at least `threshold` times."""

    threshold: int = 4

    def __post_init__(self) -> None:
        within("vocab.threshold", self.threshold, 1)


@dataclass(kw_only=True)
class DecoderConfig:
    """The decoder: which one, its sizes and its regularisation. Decoders without a part ignore the part's settings."""

    name: str = "lstm"
    embedding_size: int = 256
    hidden_size: int = 100
    num_layers: int = 1
    dropout: float = 0.0
    # on word embeddings and on features; None: the same as `dropout`
    word_dropout: float | None = None
    feature_dropout: float | None = None
    # lstm: the picture is added to every word, not only shown before the first
    image_every_step: bool = False
    # regions are projected to this size before they are attended to; 0: as they are
    region_size: int = 0
    attention_size: int = 256
    num_heads: int = 4
    # lambda of doubly stochastic attention
    attention_penalty: float = 0.0
    # lambda_r and lambda_e of hard attention
    reinforce_weight: float = 1.0
    entropy_weight: float = 0.01
    # input and output words share one matrix
    tie_embeddings: bool = False
    # file of pretrained vectors, one word and its numbers per line (GloVe's format)
    word_vectors: str | None = None

    def __post_init__(self) -> None:
        one_of("decoder.name", self.name, DECODERS)
        within("decoder.embedding_size", self.embedding_size, 1)
        within("decoder.hidden_size", self.hidden_size, 1)
        within("decoder.num_layers", self.num_layers, 1)
        within("decoder.dropout", self.dropout, 0, 0.99)
        for key in ("word_dropout", "feature_dropout"):
            if getattr(self, key) is not None:
                within(f"decoder.{key}", getattr(self, key), 0, 0.99)
        within("decoder.region_size", self.region_size, 0)
        within("decoder.attention_size", self.attention_size, 1)
        within("decoder.num_heads", self.num_heads, 1)
        if self.name == "transformer" and self.hidden_size % self.num_heads:
            raise ConfigError(
                f"decoder.num_heads={self.num_heads} does not divide decoder.hidden_size={self.hidden_size}; "
                "make it a divisor"
            )
        for key in ("attention_penalty", "reinforce_weight", "entropy_weight"):
            within(f"decoder.{key}", getattr(self, key), 0)


@dataclass(kw_only=True)
class DecodingConfig:
    """How a caption is read off the decoder.

    A setting of another method is refused, not ignored: `beam_size` and `groups` belong to `beam`, `temperature`,
    `top_k` and `top_p` to `sample`, and `greedy` writes one caption.
    """

    method: str = "greedy"
    max_length: int = 30
    min_length: int = 1
    beam_size: int = 1
    length_penalty: float = 1.0
    block_ngram: int = 0
    groups: int = 1
    diversity: float = 0.5
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    num_captions: int = 1

    def __post_init__(self) -> None:
        one_of("decoding.method", self.method, DECODING_METHODS)
        within("decoding.min_length", self.min_length, 1)
        within("decoding.max_length", self.max_length, self.min_length)
        within("decoding.beam_size", self.beam_size, 1)
        within("decoding.length_penalty", self.length_penalty, 0)
        within("decoding.block_ngram", self.block_ngram, 0)
        within("decoding.groups", self.groups, 1, self.beam_size)
        if self.beam_size % self.groups:
            raise ConfigError(
                f"decoding.groups={self.groups} does not divide decoding.beam_size={self.beam_size}; make it a divisor"
            )
        within("decoding.diversity", self.diversity, 0)
        within("decoding.temperature", self.temperature, 0, open_low=True)
        within("decoding.top_k", self.top_k, 0)
        within("decoding.top_p", self.top_p, 0, 1, open_low=True)
        within("decoding.num_captions", self.num_captions, 1)
        self._refuse_ignored()
        if self.method == "beam" and self.num_captions > self.beam_size:
            raise ConfigError(
                f"decoding.num_captions={self.num_captions} is more than decoding.beam_size={self.beam_size}; "
                "widen the beam"
            )

    def _refuse_ignored(self) -> None:
        beam, sample = ("beam_size", "groups"), ("temperature", "top_k", "top_p")
        owners = {key: "beam" for key in beam} | {key: "sample" for key in sample} | {"num_captions": "beam or sample"}
        for key, methods in owners.items():
            value, default = getattr(self, key), type(self).__dataclass_fields__[key].default
            if self.method not in methods.split(" or ") and value != default:
                raise ConfigError(
                    f"decoding.{key}={value} has no effect with decoding.method={self.method}; "
                    f"choose decoding.method={methods}, or set it to {default}"
                )
