"""What `predict.py` does for a model that is given to other people, in the place of captioning pictures."""

import argparse
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from showtell.config import ConfigError, DecodingConfig
from showtell.data.paths import shown
from showtell.prediction.inputs import split_arguments

_OF_PICTURES = (
    "split", "annotations", "images", "output", "scores", "gallery", "ensemble", "save_pictures", "attention",
    "analysis", "instances", "things", "metrics", "clip_model", "recursive",
)  # fmt: skip
_DECODING = (*(field.name for field in fields(DecodingConfig)), "seed")


def share(options: argparse.Namespace) -> int:
    """Does what the command line says; returns the exit status.

    Raises:
        UserError: a model or an option that cannot be used; one line.
    """
    files, words = split_arguments(options.words)
    _check(options, files, words)
    from showtell.sharing.pack import pack

    print("\n".join(pack(files[0], options.pack)))
    return 0


def _check(options: argparse.Namespace, files: Sequence[Path], words: Sequence[str]) -> None:
    """Refuses, by a ConfigError, what has no effect."""
    if words:
        raise ConfigError(f"{shown(' '.join(words))}: --pack captions nothing; leave pictures out")
    for name in (*_OF_PICTURES, *_DECODING):
        if getattr(options, name) not in (None, False, ""):
            flag = "--beam" if name == "beam_size" else f"--{name.replace('_', '-')}"
            raise ConfigError(f"{flag} has no effect with --pack; leave it out")
    if len(files) > 1:
        raise ConfigError(f"--pack {shown(options.pack)}: a pack holds one model; name one, and pack the others too")
