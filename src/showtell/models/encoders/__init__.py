"""Encoders: one file per family; the contract is `base.py`."""
