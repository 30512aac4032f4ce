"""Showtell's version, for whoever is imported by the package itself."""

__version__ = "0.1.0"
