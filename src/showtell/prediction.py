"""What `predict.py` does with its options: caption pictures, print, write results and captioned pictures."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

from showtell.atomic import atomic_write, write_text_atomically
from showtell.config import ConfigError, DecodingConfig, parse
from showtell.data.images import find_pictures, read_picture
from showtell.drawing import caption_card
from showtell.inference import Captioned, Captioner

SOME_FAILED = 1


def predict(options: argparse.Namespace) -> int:
    """Captions the pictures that the command line names.

    Returns:
        0, or 1 when some picture could not be read.

    Raises:
        ValueError: a checkpoint or an option that cannot be used; one line.
    """
    paths, problems = find_pictures(options.pictures)
    captioner = Captioner.from_checkpoint(checkpoint_file(Path(options.checkpoint)), options.device)
    decoding = decoding_options(captioner.config.decoding, options.decoding)
    workers = min(2, os.cpu_count() or 1) if len(paths) > 4 * options.batch_size else 0
    done = []
    for captioned in captioner.stream(paths, decoding, options.batch_size, workers):
        if captioned.error:
            problems.append(captioned.error)
            continue
        print("\t".join([str(captioned.path), *captioned.captions]), flush=True)
        done.append(captioned)
        if options.save_pictures:
            save_picture(captioned, options.save_pictures)
    if options.output:
        write_results(done, options.output)
    for problem in problems:
        print(f"skipped: {problem}", file=sys.stderr)
    return SOME_FAILED if problems else 0


def checkpoint_file(path: Path) -> Path:
    """The checkpoint that a path names; of a run directory the best one, or the last where no best is chosen yet."""
    if not path.is_dir():
        return path
    folder = path / "checkpoints" if (path / "checkpoints").is_dir() else path
    best = folder / "best.ckpt"
    return best if best.is_file() else folder / "last.ckpt"


def decoding_options(config: DecodingConfig, words: Sequence[str]) -> DecodingConfig:
    """The decoding of the training run, changed by `key=value` words.

    Raises:
        ConfigError: no such option, or an impossible value.
    """
    known = {field.name for field in fields(DecodingConfig)}
    changes = {}
    for word in words:
        key, separator, value = word.partition("=")
        if not separator or key not in known:
            raise ConfigError(f"--decoding {word}: give KEY=VALUE with one of {', '.join(sorted(known))}")
        changes[key] = value
    return parse({"decoding": {**vars(replace(config)), **changes}}).decoding


def write_results(captioned: Sequence[Captioned], path: Path) -> None:
    """COCO's result format. A name that ends in digits, as COCO's do, gives the image id; else they are numbered."""
    ids = [coco_id(item.path) for item in captioned]
    if None in ids or len(set(ids)) < len(ids):
        ids = list(range(1, len(captioned) + 1))
    results = [
        {"image_id": number, "caption": item.captions[0], "file_name": item.path.name}
        for number, item in zip(ids, captioned, strict=True)
    ]
    write_text_atomically(path, json.dumps(results, ensure_ascii=False, indent=1) + "\n")


def coco_id(path: Path) -> int | None:
    """397133 for `COCO_val2014_000000397133.jpg` and `000000397133.jpg`."""
    digits = path.stem.rpartition("_")[2]
    return int(digits) if digits.isascii() and digits.isdigit() else None


def save_picture(captioned: Captioned, directory: Path) -> None:
    """Writes the picture with its caption below it."""
    directory.mkdir(parents=True, exist_ok=True)
    card = caption_card(read_picture(captioned.path).permute(1, 2, 0).numpy(), captioned.captions[0], width=480)
    with atomic_write(directory / f"{captioned.path.stem}.png") as file:
        card.save(file, format="PNG")
