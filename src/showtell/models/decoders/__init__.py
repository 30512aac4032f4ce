"""Decoders: one file each; the contract is `base.py`."""
