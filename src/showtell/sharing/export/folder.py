"""`predict.py RUN --export DIR`, and `--web DIR`: a trained captioner for other programs, and as a page."""

import argparse
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from random import Random

from showtell.config import ConfigError, DecodingConfig
from showtell.data.paths import shown
from showtell.files import size, write_json
from showtell.prediction.captioner import Captioner
from showtell.prediction.inputs import unfinished_stage
from showtell.prediction.options import decoding_from_flags
from showtell.sharing.export.web import check_transforms, on_the_page, write_page
from showtell.temporaries import temporary_folder
from showtell.text import UNK

DESCRIPTION = "captioner.json"
PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def export(file: Path, options: argparse.Namespace) -> list[str]:
    """Writes the model of a checkpoint, with a script, into `options.export`; returns lines for the terminal.

    Raises:
        UserError: a model that cannot be exported, a folder that holds something else, a package that is missing.
    """
    _check_packages("--export")
    with place_for(options.export) as folder:
        captioner, decoding = _loaded(file, options)
        write_model(captioner, decoding, folder, quantized=options.quantize)
        shutil.copy(Path(__file__).with_name("caption.py"), folder)
        told = _size_of(folder)
    script = shown(options.export / "caption.py")
    return [f"written: {shown(options.export)} ({told}); try it: python {script} photo.jpg"]


def export_page(file: Path, options: argparse.Namespace) -> list[str]:
    """Writes a page with the model of a checkpoint into `options.web`; returns lines for the terminal.

    Raises:
        UserError: as `export`; the runtime cannot be had.
    """
    from showtell.sharing.export.runtime import check_runtime, vendor_runtime

    _check_packages("--web")
    check_runtime(options.runtime)
    with place_for(options.web) as folder:
        vendor_runtime(options.runtime, folder / "runtime")
        captioner, decoding = _loaded(file, options)
        check_transforms([part.transform for part in captioner.encoder.parts])
        write_model(captioner, on_the_page(decoding), folder, quantized=options.quantize)
        write_page(folder)
        told = _size_of(folder)
    place = shown(options.web)
    return [
        f"written: {place} ({told}); look at it: python -m http.server -d {place}, then http://localhost:8000",
    ]


def _check_packages(flag: str) -> None:
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise ConfigError(f"{flag}: {missing[0]} is not installed; pip install '.[export]'")


def _loaded(file: Path, options: argparse.Namespace) -> tuple[Captioner, DecodingConfig]:
    if note := unfinished_stage(file):
        print(f"note: {note}", file=sys.stderr, flush=True)
    captioner = Captioner.from_checkpoint(file, "cpu", "float32")  # what the files are compared with
    return captioner, simple(decoding_from_flags(captioner.configs[0].decoding, options))


def _size_of(folder: Path) -> str:
    return size(sum(one.stat().st_size for one in folder.rglob("*") if one.is_file()))


def simple(decoding: DecodingConfig) -> DecodingConfig:
    """The decoding that an exported model knows: greedy, or a beam without groups; a note where that is another one."""
    if decoding.method == "sample":
        print("note: an exported model does not sample; it decodes greedily", file=sys.stderr, flush=True)
        return DecodingConfig(max_length=decoding.max_length, min_length=decoding.min_length)
    if decoding.groups > 1:
        print("note: an exported model's beam has no groups", file=sys.stderr, flush=True)
    return replace(decoding, groups=1, diversity=DecodingConfig().diversity)


def write_model(captioner: Captioner, decoding: DecodingConfig, folder: Path, *, quantized: bool) -> None:
    """Writes the graphs and what is to be known besides; errors as `write_graphs`."""
    from showtell.sharing.export.caption import Captioner as Exported  # late: what needs the extra's packages
    from showtell.sharing.export.description import description
    from showtell.sharing.export.graphs import GRAPHS, write_graphs
    from showtell.sharing.export.quantize import quantize

    write_graphs(captioner, folder)
    for name in GRAPHS if quantized else ():
        quantize(folder / name)
    write_json(folder / DESCRIPTION, description(captioner, decoding))
    draw, tokens, join = Random(0), range(UNK + 1, len(captioner.vocabulary)), Exported(folder).text
    pairs = [draw.choices(tokens, k=2) for _ in range(2000)]
    if any(join(pair) != captioner.vocabulary.decode(pair) for pair in pairs):
        name = captioner.vocabulary.tokenizer.name
        print(
            f"note: the tokenizer {name} joins words by rules that an exported model does not know",
            file=sys.stderr,
        )


@contextmanager
def place_for(target: Path) -> Iterator[Path]:
    """A folder to write into, whose files become those of `target` when the block ends without an error.

    Raises:
        ConfigError: the target is a file, or a folder that no export wrote.
    """
    if target.exists() and not target.is_dir():
        raise ConfigError(f"{shown(target)}: is a file; name a folder to write into")
    if target.is_dir() and any(target.iterdir()) and not (target / DESCRIPTION).is_file():
        raise ConfigError(f"{shown(target)}: holds other files; name a new folder, or an earlier export")
    target.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(target) as folder:
        yield folder
        target.mkdir(exist_ok=True)
        for one in sorted(folder.iterdir()):
            if (target / one.name).is_dir():
                shutil.rmtree(target / one.name)
            one.replace(target / one.name)
