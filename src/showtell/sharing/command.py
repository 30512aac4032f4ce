"""What `predict.py` does for a model that is given to other people, in the place of captioning pictures."""

import argparse
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from showtell.checkpointing.pack import is_pack
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
    if options.serve is not None or options.host:
        from showtell.sharing.serve import check, serve

        check(options, words, (*_OF_PICTURES, "pack", "push", "export", "web", "quantize", "runtime"))
        (model,) = load_models(files, options)
        serve(model, options)
        return 0
    _check(options, files, words)
    if options.pack:
        from showtell.sharing.pack import pack

        print("\n".join(pack(files[0], options.pack)), flush=True)
    if options.push:
        from showtell.sharing.hub import push

        print("\n".join(push(options.pack or files[0], options.push)))
    if options.export:
        from showtell.sharing.export.folder import export

        print("\n".join(export(files[0], options)))
    if options.web:
        from showtell.sharing.export.folder import export_page

        print("\n".join(export_page(files[0], options)))
    return 0


def _check(options: argparse.Namespace, files: Sequence[Path], words: Sequence[str]) -> None:
    """Refuses, by a ConfigError, what has no effect."""
    exported = "--export" if options.export else "--web" if options.web else None
    flag = exported or "--pack"
    if options.quantize and not exported:
        raise ConfigError("--quantize belongs to --export DIR or --web DIR; add one, or leave it out")
    if options.runtime and not options.web:
        raise ConfigError("--runtime belongs to --web DIR; add that, or leave it out")
    if options.push and not options.pack and not is_pack(files[0]):
        raise ConfigError(f"--push {options.push}: a pack is pushed; add --pack FILE.zip")
    if words:
        raise ConfigError(f"{shown(' '.join(words))}: {flag} captions nothing; leave pictures out")
    for name in (*_OF_PICTURES, *(("seed",) if exported else _DECODING)):
        if getattr(options, name) not in (None, False, ""):
            given = "--beam" if name == "beam_size" else f"--{name.replace('_', '-')}"
            raise ConfigError(f"{given} has no effect with {flag}; leave it out")
    if options.precision != "auto":
        raise ConfigError(f"--precision {options.precision} has no effect with {flag}; leave it out")
    if options.views > 1:
        raise ConfigError(f"--views {options.views} has no effect with {flag}; leave it out")
    if len(files) > 1:
        target = options.export or options.web or options.pack
        kind = "an export" if exported else "a pack"
        raise ConfigError(f"{flag} {shown(target)}: {kind} holds one model; name one, and {flag[2:]} the others too")
