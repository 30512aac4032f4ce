"""Trains shipped experiments over seeds on a data set of one's own in COCO's layout, and writes their cards.

    python benchmarks/recipes.py --data FOLDER --seeds 5 small_photos small_photos_attention small_photos_attention+scst

Trains with `train.py`, so what is measured is what a user gets. `A+scst` is the self-critical second stage started from
A's last checkpoint. Scores are those of the last epoch, which no validation picture has chosen; that of the best epoch,
which `best.ckpt` holds, stands beside it. With `--write` these recipes' cards in docs/recipes.md are written anew; the
others stay.
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "recipes.md"
BEGIN, END = "<!-- begin: written by benchmarks/recipes.py --write -->", "<!-- end -->"
Row = dict[str, float]
COLUMNS = {
    "cider": "CIDEr", "bleu1": "BLEU-1", "bleu4": "BLEU-4", "rouge_l": "ROUGE-L", "best_cider": "CIDEr, best epoch",
    "loss": "val/loss", "distinct": "distinct", "bad_endings": "bad endings",
    "pictures_per_second": "pictures/s", "minutes": "minutes",
}  # fmt: skip


def main() -> None:
    options = arguments()
    cards = {}
    for recipe in options.recipes:
        rows = [measure(recipe, seed, options) for seed in range(1, options.seeds + 1)]
        cider, spread = mean_and_spread([row["cider"] for row in rows])
        print(f"{recipe:40} CIDEr {cider:.3f} (sd {spread:.3f}) of {len(rows)} seeds", flush=True)
        cards[recipe] = card(recipe, rows, options.set)
        if options.write:
            PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8"), cards), encoding="utf-8")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="+")
    parser.add_argument("--data", type=Path, required=True, help="folder with images/ and captions_{train,val}.json")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--runs", type=Path, default=Path("runs/recipes"))
    parser.add_argument("--cache", type=Path, default=Path("cache"))
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="further words for train.py")
    parser.add_argument("--write", action="store_true", help="rewrite the cards in docs/recipes.md")
    return parser.parse_args()


def measure(recipe: str, seed: int, options: argparse.Namespace) -> Row:
    """Trains one seed, unless that is done, and reads its scores."""
    run = options.runs / recipe / str(seed)
    first, _, experiment = recipe.rpartition("+")
    words = [f"experiment={experiment}", "data=custom", f"data.root={options.data}", f"cache={options.cache}"]
    words += [f"seed={seed}", f"hydra.run.dir={run}", *options.set]
    start = {}
    if first:
        start = measure(first, seed, options)
        words.append(f"init_from={options.runs / first / str(seed) / 'checkpoints' / 'last.ckpt'}")
    if status_of(run).get("state") != "finished":
        subprocess.run([sys.executable, ROOT / "train.py", *words], check=True, stdout=sys.stderr)
    minutes = status_of(run)["seconds"] / 60 + start.get("minutes", 0.0)
    return {**scores(run), "minutes": minutes} | ({"start_cider": start["cider"]} if start else {})


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
        gains = [row["cider"] / row["start_cider"] - 1 for row in rows]
        lines += ["CIDEr over its own start: {:+.1%} ± {:.1%}.".format(*mean_and_spread(gains)), ""]
    return "\n".join(lines)


def threads() -> str:
    """What the times were taken with."""
    return f"on a CPU with {os.environ.get('OMP_NUM_THREADS', os.cpu_count())} thread(s), which other work shared"


if __name__ == "__main__":
    main()
