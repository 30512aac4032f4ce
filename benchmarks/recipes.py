"""Trains shipped experiments over seeds on a data set of one's own in COCO's layout, and writes their cards.

    python benchmarks/recipes.py --data FOLDER --seeds 5 small_photos small_photos_attention small_photos_attention+scst

Trains with `train.py`, so what is measured is what a user gets. `A+scst` is the self-critical second stage started from
A's last checkpoint. Scores are those of the last epoch, which no validation picture has chosen; that of the best epoch,
which `best.ckpt` holds, stands beside it. With `--write` these recipes' cards in docs/recipes.md are written anew; the
others stay. Several recipes on the same folds are compared with the first one, by CIDEr of the epoch that a run's name
means: the best one, as `training.monitor_mean` chooses it. `A,KEY=VALUE,...` is A with other settings: what
`small_photos_attention,features.dtype=int8` or `...,device.precision=bf16-mixed` costs is told beside it. `--folds 1 2 3 4`
leaves the folder's own split, and trains and validates on others: all pictures are dealt into eight parts, and part K is the
validation set of fold K, so that a figure does not hang on one hundred pictures.
"""

import argparse
import csv
import json
import os
import random
import re
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from showtell.evaluation.groups import Folds, difference
from showtell.evaluation.resampling import samples
from showtell.evaluation.sums import load_statistics
from showtell.run import Run

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "recipes.md"
FOLDS = 8
BEGIN, END = "<!-- begin: written by benchmarks/recipes.py --write -->", "<!-- end -->"
Row = dict[str, float]
COLUMNS = {
    "cider": "CIDEr", "bleu1": "BLEU-1", "bleu4": "BLEU-4", "rouge_l": "ROUGE-L", "best_cider": "CIDEr, best epoch",
    "loss": "val/loss", "distinct": "distinct", "bad_endings": "bad endings",
    "pictures_per_second": "pictures/s", "minutes": "minutes",
}  # fmt: skip


def main() -> None:
    options = arguments()
    places = [(options.data, options.runs)]
    if options.folds:
        folders = {fold: options.runs / f"fold{fold}" for fold in options.folds}
        places = [
            (another_split(options.data, fold, runs / "data", options.pictures), runs) for fold, runs in folders.items()
        ]
    for recipe in options.recipes:
        rows = []
        for data, runs in places:
            found = [measure(recipe, seed, data, runs, options) for seed in range(1, options.seeds + 1)]
            print(f"{recipe:40} {told(found)}, {data}", flush=True)
            rows += found
        if options.folds:
            print(f"{recipe:40} {told(rows)}, all folds", flush=True)
        if options.write:
            new = {recipe: card(recipe, rows, options.set)}
            PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8"), new), encoding="utf-8")
    groups, pictures = best_epochs(options.recipes, [runs for _, runs in places], options.seeds)
    first, *others = options.recipes
    for recipe in others:
        gain = difference(groups[recipe], groups[first], pictures)
        start = statistics.mean(statistics.mean(run.value for run in runs) for runs in groups[first].values())
        share = " to ".join(f"{value / start:+.1%}" for value in gain.bounds)
        print(f"{recipe} over {first}: CIDEr {gain.value:+.4f} {gain.text}, {gain.value / start:+.1%} ({share}), "
              f"p = {gain.p:.4f}{'' if gain.seeds else '; seeds are not covered'}")  # fmt: skip


def told(rows: list[Row]) -> str:
    """The CIDEr of some runs in one line, and of their starts."""
    line = "CIDEr {:.3f} (sd {:.3f}) of {} runs".format(*mean_and_spread([row["cider"] for row in rows]), len(rows))
    if "start_cider" in rows[0]:
        start = statistics.mean(row["start_cider"] for row in rows)
        line += f", over {start:.3f}: {gain_over_start(rows)}"
    return line


def best_epochs(recipes: Sequence[str], folders: Sequence[Path], seeds: int) -> tuple[dict[str, Folds], dict[str, int]]:
    """The CIDEr of each recipe's runs by fold, over the same resampled pictures, and the number of these."""
    groups: dict[str, Folds] = {recipe: {} for recipe in recipes}
    pictures = {}
    for place, folder in enumerate(folders):
        runs = [
            (recipe, Run(place_of(recipe, seed, folder)).current) for recipe in recipes for seed in range(1, seeds + 1)
        ]
        found = [load_statistics(run.statistics("val")) for _, run in runs]
        for (recipe, _), one in zip(runs, samples([one.sums for one in found if one], seed=place), strict=True):
            groups[recipe] = {**groups[recipe], str(folder): [*groups[recipe].get(str(folder), []), one["cider"]]}
        pictures[str(folder)] = len(found[0].picture_ids) if found[0] else 0
    return groups, pictures


def another_split(data: Path, fold: int, folder: Path, training_pictures: int | None = None) -> Path:
    """Writes the data set's pictures as another split of theirs into the folder, and returns it."""
    wholes = [json.loads((data / f"captions_{split}.json").read_text(encoding="utf-8")) for split in ("train", "val")]
    pictures = [picture for whole in wholes for picture in whole["images"]]
    captions = [caption for whole in wholes for caption in whole["annotations"]]
    ids = sorted(picture["id"] for picture in pictures)
    random.Random(7).shuffle(ids)
    held_out = set(ids[fold - 1 :: FOLDS])
    splits = {"val": held_out, "train": set([one for one in ids if one not in held_out][:training_pictures])}
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "images").exists():
        (folder / "images").symlink_to((data / "images").resolve())
    for split, wanted in splits.items():
        part = {
            "images": [picture for picture in pictures if picture["id"] in wanted],
            "annotations": [caption for caption in captions if caption["image_id"] in wanted],
        }
        (folder / f"captions_{split}.json").write_text(json.dumps(part), encoding="utf-8")
    return folder


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="+")
    parser.add_argument("--data", type=Path, required=True, help="folder with images/ and captions_{train,val}.json")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--folds", type=int, nargs="*", choices=range(1, FOLDS + 1), default=[], help="other splits")
    parser.add_argument("--pictures", type=int, help="train on so many of a fold's pictures; takes a --runs of its own")
    parser.add_argument("--runs", type=Path, default=Path("runs/recipes"))
    parser.add_argument("--cache", type=Path, default=Path("cache"))
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="further words for train.py")
    parser.add_argument("--write", action="store_true", help="rewrite the cards in docs/recipes.md")
    options = parser.parse_args()
    if options.folds and options.write:
        parser.error("a card is of the folder's own split: leave out --folds or --write")
    if options.write and any("," in recipe for recipe in options.recipes):
        parser.error("a card is of a recipe as it ships: leave out its settings or --write")
    return options


def measure(recipe: str, seed: int, data: Path, runs: Path, options: argparse.Namespace) -> Row:
    """Trains one seed, unless that is done, and reads its scores."""
    run = place_of(recipe, seed, runs)
    name, *own = recipe.split(",")
    first, _, experiment = name.rpartition("+")
    words = [f"experiment={experiment}", "data=custom", f"data.root={data}", f"cache={options.cache}"]
    words += [f"seed={seed}", f"hydra.run.dir={run}", *options.set, *own]
    start = {}
    if first:
        start = measure(first, seed, data, runs, options)
        words.append(f"init_from={place_of(first, seed, runs) / 'checkpoints' / 'last.ckpt'}")
    status = status_of(run)
    ended = status_of(run / "second") if status.get("then") else status
    if ended.get("state") != "finished":
        subprocess.run([sys.executable, ROOT / "train.py", *words], check=True, stdout=sys.stderr)
    stages = [run, *([run / "second"] if (run / "second").is_dir() else [])]
    minutes = sum(status_of(stage)["seconds"] for stage in stages) / 60 + start.get("minutes", 0.0)
    return {**scores(stages[-1]), "minutes": minutes} | ({"start_cider": start["cider"]} if start else {})


def place_of(recipe: str, seed: int, runs: Path) -> Path:
    """The run directory of a seed."""
    return runs / re.sub("[,=]", "_", recipe) / str(seed)


def status_of(run: Path) -> dict[str, Any]:
    """What the run says of itself."""
    status = run / "status.json"
    return dict(json.loads(status.read_text())) if status.is_file() else {}


def scores(run: Path) -> Row:
    """Of the last epoch; CIDEr of the best one too, and the median speed of training."""
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    epochs = [row for row in rows if row.get("val/cider")]
    last = {key.rpartition("/")[2]: float(value) for key, value in epochs[-1].items() if key[:4] == "val/" and value}
    speeds = [float(row["train/pictures_per_second"]) for row in rows if row["train/pictures_per_second"]]
    best = max(float(row["val/cider"]) for row in epochs)
    return {**last, "best_cider": best, "pictures_per_second": statistics.median(speeds)}


def rewritten(page: str, cards: dict[str, str]) -> str:
    """The page with new cards in place of the old ones of the same recipes, and those of other recipes kept."""
    before, _, rest = page.partition(BEGIN)
    old, _, after = rest.partition(END)
    kept = {text.split("\n", 1)[0].strip(): f"### {text.strip()}\n" for text in old.split("### ")[1:]}
    return f"{before}{BEGIN}\n\n" + "\n".join((kept | cards).values()) + END + after


def mean_and_spread(values: list[float]) -> tuple[float, float]:
    """Mean and sample standard deviation, 0 for a single value."""
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def shown(value: float) -> str:
    """A number without more digits than it means."""
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}" if value >= 4 else f"{value:.3f}"


def card(recipe: str, rows: list[Row], settings_changed: list[str]) -> str:
    """The recipe's settings, how it is run, and what its seeds reached."""
    first, _, experiment = recipe.rpartition("+")
    settings = (ROOT / "conf" / "experiment" / f"{experiment}.yaml").read_text(encoding="utf-8").strip()
    command = f"python train.py experiment={experiment} data=custom data.root=FOLDER"
    command += "".join(f" {word}" for word in settings_changed)
    command += f" init_from=RUN_OF_{first}/checkpoints/last.ckpt" if first else ""
    cells = [" ± ".join(map(shown, mean_and_spread([row[key] for row in rows]))) for key in COLUMNS]
    lines = [f"### {recipe}", "", f"`{command}`", "", "```yaml", settings, "```", "", f"Mean ± standard deviation of "
             f"{len(rows)} seeds, {threads()}:", "", "| " + " | ".join(COLUMNS.values()) + " |",
             "|---" * len(COLUMNS) + "|", "| " + " | ".join(cells) + " |", ""]  # fmt: skip
    if first:
        lines += [f"CIDEr over its own start: {gain_over_start(rows)}.", ""]
    return "\n".join(lines)


def gain_over_start(rows: list[Row]) -> str:
    """Mean and spread of what each run gained on the run that it started from."""
    return "{:+.1%} ± {:.1%}".format(*mean_and_spread([row["cider"] / row["start_cider"] - 1 for row in rows]))


def threads() -> str:
    """What the times were taken with."""
    return f"on a CPU with {os.environ.get('OMP_NUM_THREADS', os.cpu_count())} thread(s), which other work shared"


if __name__ == "__main__":
    main()
