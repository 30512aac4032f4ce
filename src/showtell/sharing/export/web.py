"""`predict.py RUN --web DIR`: a page that captions pictures in the browser, as a folder for any web server."""

import json
from importlib.resources import files
from pathlib import Path

from showtell.config import ConfigError, DecodingConfig
from showtell.config.schema import ImageTransform
from showtell.files import file_sha256, short_hash, write_json

PAGE = ("index.html", "page.css", "page.js", "captioner.js", "worker.js", "search.js", "pixels.js")
WORKER = "sw.js"
BEAM = 5
_FILTERS = ("box", "bilinear", "hamming", "bicubic", "lanczos")


def on_the_page(decoding: DecodingConfig) -> DecodingConfig:
    """The same as a beam, whose other captions the page shows too."""
    kept = {name: getattr(decoding, name) for name in ("max_length", "min_length", "block_ngram")}
    if decoding.method == "beam":
        kept |= {"length_penalty": decoding.length_penalty}
    width = decoding.beam_size if decoding.method == "beam" else BEAM
    return DecodingConfig(method="beam", beam_size=width, num_captions=width, **kept)


def check_transforms(transforms: list[ImageTransform]) -> None:
    """Refuses, by a ConfigError, a way of resizing that the page does not know."""
    for one in transforms:
        if one.interpolation not in _FILTERS:
            raise ConfigError(
                f"--web: the encoder's pictures are resized by {one.interpolation}, which the page does not know; "
                "use --export, or another encoder"
            )


def write_page(folder: Path) -> None:
    """Adds the page to a folder that holds a model and the runtime; `captioner.json` learns the files' sizes."""
    source = files("showtell.sharing").joinpath("page")
    for name in PAGE:
        (folder / name).write_bytes(source.joinpath(name).read_bytes())
    described = folder / "captioner.json"
    sizes = {str(one.relative_to(folder)): one.stat().st_size for one in sorted(folder.rglob("*")) if one.is_file()}
    write_json(described, {**json.loads(described.read_text(encoding="utf-8")), "sizes": sizes})
    version = short_hash(f"{name} {file_sha256(folder / name)}" for name in sizes)
    text = source.joinpath(WORKER).read_text(encoding="utf-8").replace("{{VERSION}}", version)
    (folder / WORKER).write_text(text, encoding="utf-8")
