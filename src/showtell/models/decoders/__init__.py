"""Decoders by name: one file each, with the contract in `base.py`."""

import math

from showtell.config import DecoderConfig
from showtell.models.decoders.attention import SoftAttentionDecoder
from showtell.models.decoders.base import Decoder
from showtell.models.decoders.hard_attention import HardAttentionDecoder
from showtell.models.decoders.lstm import LSTMDecoder
from showtell.models.decoders.topdown import TopDownDecoder
from showtell.models.decoders.transformer import TransformerDecoder

__all__ = ["DECODER_CLASSES", "Decoder", "build_decoder"]

DECODER_CLASSES: dict[str, type[Decoder]] = {
    "lstm": LSTMDecoder,
    "attention": SoftAttentionDecoder,
    "hard_attention": HardAttentionDecoder,
    "topdown": TopDownDecoder,
    "transformer": TransformerDecoder,
}


def build_decoder(config: DecoderConfig, feature_shape: tuple[int, ...], vocabulary_size: int) -> Decoder:
    """The decoder that the configuration names, for features of shape `(D,)` or `(R, D)`."""
    chosen = DECODER_CLASSES[config.name]
    size = feature_shape[-1] if chosen.reads == "regions" else math.prod(feature_shape)
    return chosen(config, size, vocabulary_size)
