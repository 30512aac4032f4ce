"""Figure: what averaging over changed views of a picture gains at prediction over beam 5 alone, and what it costs.

    python -m benchmarks.views_at_prediction --data FLICKR800 [--recipe RECIPE] [--seeds 5] [--folds 1 2 3 4] [--views 8]

Trains a recipe as `benchmarks/recipes.py` does (runs that are finished are not trained again), captions the validation
pictures of every run with its last checkpoint, once as they are and once with N views, and compares the two by
`python -m showtell.score`, over seeds and folds. Captions of a run are kept beside it and not made again.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.recipes import FOLDS, another_split, mean_and_spread, measure

import showtell
from showtell.score.__main__ import main as score


def main() -> None:
    options = parser(__doc__).parse_args()
    files: dict[int, list[str]] = {1: [], options.views: []}
    speeds: dict[int, list[float]] = {views: [] for views in files}
    places = folders(options)
    for data, runs in places:
        for seed in range(1, options.seeds + 1):
            checkpoint = trained(options.recipe, seed, data, runs, options)
            for views in files:
                file = checkpoint.parent / f"val_beam{options.beam}_views{views}.json"
                speeds[views].append(captioned(checkpoint, data, file, options.beam, views))
                files[views].append(str(file))
            print(f"{checkpoint}: " + ", ".join(f"{v} views {speeds[v][-1]:.2f} captions/s" for v in files), flush=True)
    for views, found in speeds.items():
        print("{} views: {:.2f} captions/s (sd {:.2f})".format(views, *mean_and_spread(found)))
    names = {1: f"beam{options.beam}", options.views: f"views{options.views}"}
    compare({names[views]: found for views, found in files.items()}, places)


def parser(text: str | None) -> argparse.ArgumentParser:
    """The options of figures over seeds and folds."""
    found = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--data", type=Path, required=True, help="folder with images/ and captions_{train,val}.json")
    found.add_argument("--recipe", default="small_photos_attention+scst")
    found.add_argument("--seeds", type=int, default=5)
    found.add_argument("--folds", type=int, nargs="*", choices=range(1, FOLDS + 1), default=[], help="other splits")
    found.add_argument("--views", type=int, default=8)
    found.add_argument("--beam", type=int, default=5)
    found.add_argument("--runs", type=Path, default=Path("runs/recipes"))
    found.add_argument("--cache", type=Path, default=Path("cache"))
    found.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="further words for train.py")
    return found


def folders(options: argparse.Namespace) -> list[tuple[Path, Path]]:
    """The data sets, and where their runs lie: those of `benchmarks/recipes.py`."""
    if not options.folds:
        return [(options.data, options.runs)]
    own = {fold: options.runs / f"fold{fold}" for fold in options.folds}
    return [(another_split(options.data, fold, runs / "data"), runs) for fold, runs in own.items()]


def trained(recipe: str, seed: int, data: Path, runs: Path, options: argparse.Namespace) -> Path:
    """The last checkpoint of a run, which is trained unless that is done."""
    measure(recipe, seed, data, runs, options)
    run = runs / recipe / str(seed)
    run = run / "second" if (run / "second").is_dir() else run
    return run / "checkpoints" / "last.ckpt"


def captioned(checkpoint: Path, data: Path, file: Path, beam: int, views: int) -> float:
    """Captions the validation pictures into a file, unless it is there; returns captions per second."""
    speed = file.with_suffix(".speed")
    if not file.is_file():
        images = json.loads((data / "captions_val.json").read_text(encoding="utf-8"))["images"]
        paths = [data / "images" / image["file_name"] for image in images]
        captioner = showtell.load(checkpoint)
        decoding = replace(captioner.configs[0].decoding, method="beam", beam_size=beam)
        captioner.caption(paths[:16], decoding, views=views)  # warms up
        began = time.perf_counter()
        found = captioner.caption(paths, decoding, views=views)
        speed.write_text(str(len(paths) / (time.perf_counter() - began)))
        rows: list[dict[str, Any]] = [
            {"image_id": image["id"], "caption": one.captions[0]} for image, one in zip(images, found, strict=True)
        ]
        file.write_text(json.dumps(rows), encoding="utf-8")
    return float(speed.read_text())


def compare(systems: dict[str, list[str]], places: list[tuple[Path, Path]]) -> None:
    """Prints the table of `python -m showtell.score`; the first system is what others are compared with."""
    references = [str(data / "captions_val.json") for data, _ in places]
    words = [f"{name}={','.join(found)}" for name, found in systems.items()]
    print("python -m showtell.score", *words, "--references", *references, flush=True)
    score([*words, "--references", *references])


if __name__ == "__main__":
    main()
