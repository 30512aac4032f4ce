"""Figure: what a model gains by learning from the captions of an ensemble of its kind, too.

    python -m benchmarks.distilling --data FLICKR800 [--recipe RECIPE] [--seeds 5] [--folds 1 2 3 4] [--captions 1]

Trains a recipe over seeds as `benchmarks/recipes.py` does, captions the training pictures with all seeds together
(`predict.py RUN1 ... --split train`), trains the recipe anew with these as `data.extra_captions`, and compares the two
on the validation pictures by `python -m showtell.score`. The ensemble itself stands beside them, as what could be
reached. What is finished is not done again.
"""

import subprocess
import sys
from pathlib import Path

from benchmarks.recipes import ROOT
from benchmarks.views_at_prediction import captioned, compare, folders, parser, trained


def main() -> None:
    found = parser(__doc__)
    found.add_argument("--captions", type=int, default=1, help="of the ensemble for each picture")
    found.add_argument("--students", type=int, help="of each ensemble; as many as it has members if not said")
    options = found.parse_args()
    words, places = options.set, folders(options)
    systems: dict[str, list[str]] = {"one": [], "distilled": []}
    ensembles = []
    for data, runs in places:
        seeds = range(1, options.seeds + 1)
        options.set = words
        checkpoints = [trained(options.recipe, seed, data, runs, options) for seed in seeds]
        extra = runs / options.recipe / f"ensemble_train_{options.captions}.json"
        beam = ["--beam", options.beam, "--num-captions", options.captions]
        predict(extra, *checkpoints, "--split", "train", *beam)
        val = runs / options.recipe / "ensemble_val.json"
        predict(val, *checkpoints, "--split", "val", "--beam", options.beam)
        ensembles.append(str(val))
        options.set = [*words, f"data.extra_captions={extra}"]
        students = runs / f"distilled{options.captions}"
        taught = range(1, (options.students or options.seeds) + 1)
        learnt = [trained(options.recipe, seed, data, students, options) for seed in taught]
        for name, own in (("one", checkpoints), ("distilled", learnt)):
            for checkpoint in own:
                file = checkpoint.parent / f"val_beam{options.beam}_views1.json"
                captioned(checkpoint, data, file, options.beam, 1)
                systems[name].append(str(file))
    compare(systems, places)
    compare({"one": systems["one"], "ensemble": ensembles}, places)


def predict(file: Path, *words: object) -> None:
    """Runs predict.py unless its file is there."""
    if not file.is_file():
        command = [sys.executable, ROOT / "predict.py", *words, "--output", file]
        subprocess.run(list(map(str, command)), check=True, stdout=sys.stderr)


if __name__ == "__main__":
    main()
