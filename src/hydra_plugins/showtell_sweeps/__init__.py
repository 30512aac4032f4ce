"""Showtell's launcher and sweeper; Hydra finds them by their place in the `hydra_plugins` namespace."""
