"""Starts the server of a model, and ends it by Ctrl-C."""

import argparse
import errno
import ipaddress
import json
import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from showtell.config import ConfigError
from showtell.data.paths import shown
from showtell.models.encoders.pair import in_words
from showtell.prediction.captioner import PictureCaptioner
from showtell.prediction.inputs import NamedModel
from showtell.sharing.desk import Desk
from showtell.sharing.readers import Readers
from showtell.sharing.server import CaptionServer, Files

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}


def serve(model: NamedModel, options: argparse.Namespace) -> None:
    """Captions what is sent to it until Ctrl-C.

    Raises:
        ConfigError: the address cannot be used.
    """
    server = start(model, options)
    try:
        print(f"{server.url} captions pictures with {model.label}; Ctrl-C ends it", flush=True)
        if not server.is_local:
            print("note: whoever reaches this machine can send pictures to it, unencrypted, without a password")
        server.serve_forever()
    finally:
        server.server_close()
        server.readers.close()


def check(options: argparse.Namespace, words: Sequence[str], others: Sequence[str]) -> None:
    """Refuses, by a ConfigError, what cannot be meant; `others` are options that have no effect here."""
    if options.serve is None:
        raise ConfigError("--host belongs to --serve; add that, or leave it out")
    if words:
        raise ConfigError(f"{shown(' '.join(words))}: with --serve pictures are dropped on its page; leave them out")
    for name in others:
        if getattr(options, name) not in (None, False, ""):
            raise ConfigError(f"--{name.replace('_', '-')} has no effect with --serve; leave it out")
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


def start(model: NamedModel, options: argparse.Namespace) -> CaptionServer:
    """The server, which listens already; errors as `serve`."""
    try:
        server = CaptionServer((options.host, options.serve), page(model.captioner, model.label))
    except OSError as error:
        told = "another program has this port; choose another one, or 0 for any that is free"
        if error.errno != errno.EADDRINUSE:
            told = f"{os.strerror(error.errno) if error.errno else error}; give an address of this machine to --host"
        raise ConfigError(f"--serve {options.serve} --host {options.host}: {told}") from None
    looks = model.captioner.looks(model.views, options.seed or 0)
    distinct = list(dict.fromkeys(looks))
    numbers = [distinct.index(look) for look in looks]
    server.desk = Desk(model.captioner, model.decoding, numbers, options.batch_size, options.seed or 0)
    server.readers = Readers(distinct)
    return server


def page(captioner: PictureCaptioner, label: str) -> Files:
    """The page that `--web` writes too, with a script that asks this server in the place of the model."""
    folder = files("showtell.sharing")
    found = {
        path: (_TYPES[Path(name).suffix], folder.joinpath(name).read_bytes())
        for path, name in (
            ("/", "page/index.html"), ("/page.css", "page/page.css"), ("/page.js", "page/page.js"),
            ("/captioner.js", "served.js"),
        )
    }  # fmt: skip
    decoders = " + ".join(config.decoder.name for config in captioner.configs)
    encoders = " + ".join(dict.fromkeys(in_words(config.encoder) for config in captioner.configs))
    facts = f"Encoder {encoders}, decoder {decoders}, {len(captioner.vocabulary):,} words."
    about = json.dumps({"about": f"By {label}.", "facts": facts})
    return {**found, "/about.json": ("application/json", about.encode())}
