"""Frozen encoders: a file per family of networks; the contract is `base.py`."""

from showtell.models.encoders.base import Backbone, Encoder, Network, build_encoder

__all__ = ["Backbone", "Encoder", "Network", "build_encoder"]
