"""COCO's training size without its pictures, for `coco_start` and `coco_memory`.

414,000 captions are made by repeating those of COCO val2017 with new ids over 82,783 pictures, whose files are empty:
the store is there already and nobody opens them. The store holds zeros for 2048 numbers a picture in float16.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from showtell.config import Config, parse
from showtell.data.caption_set import load_captions
from showtell.data.features.request import StoreRequest

SHARED = Path(os.environ.get("SHOWTELL_SHARED", Path(__file__).resolve().parents[2] / "shared"))
CAPTIONS, PICTURES, VAL_PICTURES, FEATURE_SIZE = 414_000, 82_783, 500, 2048


def settings(root: Path, **training: Any) -> dict[str, Any]:
    """A run on the data set in `root`."""
    return {
        "data": {"name": "large", "format": "coco", "root": str(root)},
        "encoder": {"name": "resnet50", "weights": "none"},
        "decoder": {"hidden_size": 16, "embedding_size": 16},
        "features": {"place": "disk", "precision": "float32"},
        "device": {"accelerator": "cpu"},
        "cache": str(root / "cache"),
        "training": {"batch_size": 200, "sample_pictures": 0, "val_pictures": 8, **training},
    }


def make(root: Path) -> None:
    """Annotations and empty picture files."""
    given = json.loads((SHARED / "data" / "coco_captions_val2017.json").read_text(encoding="utf-8"))
    texts = [annotation["caption"] for annotation in given["annotations"]]
    (root / "annotations").mkdir(parents=True)
    for split, pictures, captions, first in (
        ("train", PICTURES, CAPTIONS, 1),
        ("val", VAL_PICTURES, 5 * VAL_PICTURES, 10**6),
    ):
        (root / split).mkdir()
        images = [{"id": first + i, "file_name": f"{first + i:012d}.jpg"} for i in range(pictures)]
        for image in images:
            (root / split / image["file_name"]).touch()
        notes = [{"id": i, "image_id": first + i % pictures, "caption": texts[i % len(texts)]} for i in range(captions)]
        (root / "annotations" / f"captions_{split}.json").write_text(
            json.dumps({"images": images, "annotations": notes})
        )


def store(config: Config) -> None:
    """Complete stores of zeros for both splits, where a run will look for them."""
    from showtell.models.encoders.encoding import FrozenEncoder

    frozen, cache = FrozenEncoder(config), Path(config.cache)
    for name in ("train", "val"):
        captions = load_captions(config.data, name, cache)
        label = f"{config.data.name}-{name}-{config.encoder.name}"
        request = StoreRequest(label, captions.paths, frozen.fingerprint, frozen.weights.transform, "float16")
        directory = cache / "features" / f"{label}-{request.key()}"
        directory.mkdir(parents=True)
        about = {"pictures": len(captions.paths), "feature_shape": [FEATURE_SIZE], "dtype": "float16"}
        (directory / "about.json").write_text(json.dumps(about))
        with (directory / "features.bin").open("wb") as file:
            file.truncate(len(captions.paths) * FEATURE_SIZE * 2)
        np.ones(len(captions.paths), np.uint8).tofile(directory / "state.bin")
        (directory / "complete").touch()


def parsed(root: Path, **training: Any) -> Config:
    """The run's configuration."""
    return parse(settings(root, **training))
