"""The embedded data set: drawn scenes whose truth is known, so that a caption can be judged true or false.

It needs no download and goes the whole path of real data: pictures on disk, COCO's annotation files, an encoder that
was trained on photographs. Being drawn, it costs realism; being known, it gives what no real data set has, the share of
captions that are wholly true.

Everything is drawn into a hidden folder beside the root, which takes the root's name as the last step, so a kill
half-way leaves nothing that looks complete. `manifest.json` tells what was drawn: with the same generator and settings
nothing is done again, with others the set is drawn anew. A folder without a manifest is somebody else's and is never
touched. A lock makes the second of two processes wait for the first.
"""

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from filelock import FileLock

from showtell.config import ConfigError
from showtell.data.settings import ShapesConfig
from showtell.data.shapes.drawing import draw
from showtell.data.shapes.scenes import CANVAS, Scene, describe, think_up
from showtell.data.shapes.truth import constant_caption_floor, is_true, truth_shares
from showtell.files import parsed_json
from showtell.terminal import Progress

__all__ = ["constant_caption_floor", "ensure_shapes", "is_true", "load_scenes", "scenes_file", "truth_shares"]

GENERATOR_VERSION = 1
"""Raise it when the generator's pictures or captions change: sets on disk are then drawn anew."""
_FIRST_ID = {"train": 1, "val": 1_000_001}
_DATE = "2026-01-01 00:00:00"
_WORTH_PROCESSES = 500  # pictures


def ensure_shapes(root: Path, config: ShapesConfig) -> None:
    """Draws the embedded data set into `root` unless it is there already.

    Writes `annotations/captions_{train,val}.json`, the scenes' truth in
    `annotations/scenes_{train,val}.json`, and the pictures in `train/` and `val/`. The same
    configuration gives the same bytes.

    Raises:
        ConfigError: `root` is a folder with other contents.
    """
    manifest = {"generator": GENERATOR_VERSION, **asdict(config)}
    if _manifest(root) == manifest:
        return
    root.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(root.with_name(f".{root.name}.lock")):
        if _manifest(root) == manifest:
            return
        if root.exists() and _manifest(root) is None and (not root.is_dir() or any(root.iterdir())):
            raise ConfigError(
                f"data.root={root} holds other files; did you mean data=custom? Scenes are drawn into a new folder"
            )
        _draw_anew(root, config, manifest)


def load_scenes(root: Path, split: str) -> dict[int, Scene]:
    """The truth of a split, `train` or `val`, by image id."""
    scenes: list[Scene] = json.loads(scenes_file(root, split).read_text("utf-8"))
    return {scene["image_id"]: scene for scene in scenes}


def scenes_file(root: Path, split: str) -> Path:
    """Where the truth of a split lies."""
    return root / "annotations" / f"scenes_{split}.json"


def _manifest(root: Path) -> dict[str, Any] | None:
    try:
        manifest: dict[str, Any] = parsed_json((root / "manifest.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return manifest


def _draw_anew(root: Path, config: ShapesConfig, manifest: dict[str, Any]) -> None:
    fresh, stale = (root.with_name(f".{root.name}.{word}") for word in ("drawing", "stale"))
    for leftover in (fresh, stale):
        shutil.rmtree(leftover, ignore_errors=True)
    fresh.mkdir()
    with Progress(f"drawing {root}", config.train_pictures + config.val_pictures, "pictures") as progress:
        _write_split(fresh, "train", config.train_pictures, config.seed, progress)
        _write_split(fresh, "val", config.val_pictures, config.seed, progress)
    _write_json(fresh / "manifest.json", manifest)
    if root.exists():
        os.replace(root, stale)
    os.replace(fresh, root)
    shutil.rmtree(stale, ignore_errors=True)


def _write_split(root: Path, split: str, count: int, seed: int, progress: Progress) -> None:
    (root / split).mkdir()
    _draw_pictures(_Drawings(root / split, split, count, seed), progress)
    images, annotations, scenes = [], [], []
    for index in range(count):
        image_id, key, name = _FIRST_ID[split] + index, f"{seed}/{split}/{index}", _file_name(split, index)
        scene = think_up(split, index, seed)
        scenes.append({"image_id": image_id, **scene})
        images.append(_image_record(image_id, name))
        annotations += [
            {"id": image_id * 10 + number, "image_id": image_id, "caption": caption}
            for number, caption in enumerate(describe(scene, key))
        ]
    (root / "annotations").mkdir(exist_ok=True)
    _write_json(scenes_file(root, split), scenes)
    _write_json(
        root / "annotations" / f"captions_{split}.json",
        {"info": _INFO, "licenses": [_LICENSE], "images": images, "annotations": annotations},
    )


@dataclass(frozen=True)
class _Drawings:
    """Draws the picture of a place in a split when it is asked for."""

    folder: Path
    split: str
    count: int
    seed: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> int:
        scene = think_up(self.split, index, self.seed)
        picture = draw(scene, f"{self.seed}/{self.split}/{index}")
        picture.save(self.folder / _file_name(self.split, index), quality=92)
        return index


def _draw_pictures(drawings: _Drawings, progress: Progress) -> None:
    """One after the other, or on all cores where that is worth their start."""
    if len(drawings) < _WORTH_PROCESSES or (workers := min(8, os.cpu_count() or 1)) == 1:
        for index in range(len(drawings)):
            drawings[index]
            progress.count()
        return
    from showtell.data.workers import watched  # late: torch

    for drawn in watched(cast(Any, drawings), num_workers=workers, batch_size=8, collate_fn=len):
        progress.count(drawn)


def _file_name(split: str, index: int) -> str:
    return f"shapes_{split}_{_FIRST_ID[split] + index:012d}.jpg"


_INFO = {
    "description": "Showtell's embedded data set of drawn scenes",
    "url": "",
    "version": str(GENERATOR_VERSION),
    "year": 2026,
    "contributor": "showtell.data.shapes",
    "date_created": "2026/01/01",
}
_LICENSE = {"id": 1, "name": "MIT License", "url": ""}


def _image_record(image_id: int, name: str) -> dict[str, Any]:
    return {
        "license": 1,
        "file_name": name,
        "coco_url": "",
        "height": CANVAS,
        "width": CANVAS,
        "date_captured": _DATE,
        "flickr_url": "",
        "id": image_id,
    }


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, sort_keys=False), "utf-8")
