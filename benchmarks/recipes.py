"""CIDEr and BLEU-4 of shipped experiments over seeds, on a data set of one's own in COCO's layout.

    python benchmarks/recipes.py --data FOLDER --seeds 5 small_photos small_photos_attention small_photos_attention+scst

Trains with `train.py`, so what is measured is what a user gets. `A+scst` is the self-critical second stage started from
A's last checkpoint. The table shows the score at the last epoch, which no validation picture has chosen, and that of
the best epoch, which is what `best.ckpt` holds.
"""

import argparse
import csv
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHOWN = ("val/cider", "val/bleu4", "val/bad_endings")


def main() -> None:
    options = arguments()
    for recipe in options.recipes:
        rows = [measure(recipe, seed, options) for seed in range(1, options.seeds + 1)]
        mean = {key: statistics.mean(row[key] for row in rows) for key in rows[0]}
        spread = statistics.stdev(row["cider"] for row in rows) if len(rows) > 1 else 0.0
        print(f"{recipe:32} CIDEr {mean['cider']:.3f} (sd {spread:.3f}), best epoch {mean['best_cider']:.3f}, "
              f"BLEU-4 {mean['bleu4']:.3f}, {mean['minutes']:.1f} min", flush=True)  # fmt: skip
        print("RESULT " + json.dumps({"recipe": recipe, "seeds": len(rows), **mean, "cider_sd": spread}), flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="+")
    parser.add_argument("--data", type=Path, required=True, help="folder with images/ and captions_{train,val}.json")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--runs", type=Path, default=Path("runs/recipes"))
    parser.add_argument("--cache", type=Path, default=Path("cache"))
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="further words for train.py")
    return parser.parse_args()


def measure(recipe: str, seed: int, options: argparse.Namespace) -> dict[str, float]:
    """Trains one seed, unless that is done, and reads its scores."""
    run = options.runs / recipe / str(seed)
    experiment, *rest = recipe.split("+")[::-1]
    words = [f"experiment={experiment}", "decoding=beam5"]
    if rest:
        first = "+".join(rest[::-1])
        measure(first, seed, options)
        words.append(f"init_from={options.runs / first / str(seed) / 'checkpoints' / 'last.ckpt'}")
    began = time.perf_counter()
    if not is_finished(run):
        words += ["data=custom", f"data.root={options.data}", f"cache={options.cache}"]
        words += [f"seed={seed}", f"hydra.run.dir={run}"]
        subprocess.run([sys.executable, ROOT / "train.py", *words, *options.set], check=True, stdout=sys.stderr)
    minutes = (time.perf_counter() - began) / 60
    return {**scores(run), "minutes": minutes}


def is_finished(run: Path) -> bool:
    status = run / "status.json"
    return status.is_file() and json.loads(status.read_text())["state"] == "finished"


def scores(run: Path) -> dict[str, float]:
    """Of the last epoch and of the best one."""
    with (run / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row.get("val/cider")]
    ciders = [float(row["val/cider"]) for row in rows]
    last = {key.rpartition("/")[2]: float(rows[-1][key]) for key in SHOWN if rows[-1].get(key)}
    return {**last, "best_cider": max(ciders), "first_cider": ciders[0]}


if __name__ == "__main__":
    main()
