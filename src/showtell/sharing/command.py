"""What `predict.py` does for a model that is given to other people, in the place of captioning pictures."""

import argparse
import ipaddress
from collections.abc import Sequence
from dataclasses import fields

from showtell.config import ConfigError, DecodingConfig
from showtell.data.paths import shown
from showtell.prediction.inputs import load_models, split_arguments

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
    if options.pack:
        _refuse_without_effect("--pack", words, options, (*_OF_PICTURES, *_DECODING, "serve", "host"))
        if len(files) > 1:
            raise ConfigError("--pack: a pack holds one model; name one run, and pack the others too")
        from showtell.sharing.pack import pack

        print("\n".join(pack(files[0], options.pack)))
        return 0
    _refuse_without_effect("--serve", words, options, _OF_PICTURES)
    _check_address(options)
    from showtell.sharing.serve import serve

    (model,) = load_models(files, options)
    serve(model, options)
    return 0


def _refuse_without_effect(flag: str, words: Sequence[str], options: argparse.Namespace, names: Sequence[str]) -> None:
    if words:
        where = "a pack is of the model alone" if flag == "--pack" else "pictures are dropped on its page"
        raise ConfigError(f"{shown(' '.join(words))}: {flag} takes no pictures, {where}; leave them out")
    for name in names:
        if getattr(options, name) not in (None, False, ""):
            option = "--beam" if name == "beam_size" else f"--{name.replace('_', '-')}"
            raise ConfigError(f"{option} has no effect with {flag}; leave it out")


def _check_address(options: argparse.Namespace) -> None:
    if options.serve is None:
        raise ConfigError("--host belongs to --serve; add that, or leave it out")
    options.host = {None: "127.0.0.1", "localhost": "127.0.0.1"}.get(options.host, options.host)
    try:
        ipaddress.ip_address(options.host)
    except ValueError:
        raise ConfigError(f"--host {shown(options.host)}: give an address, such as 127.0.0.1 or 0.0.0.0") from None
    if not 0 <= options.serve < 1 << 16:
        raise ConfigError(f"--serve {options.serve}: a port is a number from 0 to 65535; 8000 is usual")
    for name in ("batch_size", "views"):
        if (value := getattr(options, name)) < 1:
            raise ConfigError(f"--{name.replace('_', '-')} {value} is out of range; it must be at least 1")
