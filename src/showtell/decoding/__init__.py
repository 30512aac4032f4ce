"""Decoding algorithms over a one-step function."""
