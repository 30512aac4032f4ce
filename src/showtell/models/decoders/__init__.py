"""Decoders: one file each; the contract is `base.py`."""

from showtell.models.decoders.base import Decoder, build_decoder

__all__ = ["Decoder", "build_decoder"]
