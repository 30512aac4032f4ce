"""Figures: `showtell.score` on 5,000 pictures with 1,000 resamples and a paired test of two files, and its start.

The captions are COCO val2017's: each picture's first and second against its others. CPU time counts, as others use the
machine as well. Resampling is measured against scoring again what a resample holds, in the same process.
Run: `python -m benchmarks score_speed [--data DIR]`.
"""

import argparse
import contextlib
import io
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.machine import DATA, at_least, at_most, cpu

from showtell.evaluation.metrics import ReferenceCorpus
from showtell.evaluation.resampling import samples
from showtell.score.__main__ import main as score

RESAMPLES, ROUNDS = 1000, 5


def write_files(data: Path, folder: Path) -> dict[int, list[str]]:
    """References and two files of results; returns all captions by picture."""
    content = json.loads((data / "coco_captions_val2017.json").read_text(encoding="utf-8"))
    captions: dict[int, list[str]] = {}
    for note in content["annotations"]:
        captions.setdefault(note["image_id"], []).append(note["caption"])
    notes = [{"image_id": picture, "caption": text} for picture, some in captions.items() for text in some[2:]]
    (folder / "ref.json").write_text(json.dumps({"images": content["images"], "annotations": notes}))
    for place, name in enumerate(("first", "second")):
        found = [{"image_id": picture, "caption": some[place]} for picture, some in captions.items()]
        (folder / f"{name}.json").write_text(json.dumps(found))
    return captions


def command_seconds(folder: Path) -> float:
    """CPU seconds of the whole command in this process, where its imports are done."""
    words = [str(folder / "first.json"), str(folder / "second.json"), "--references", str(folder / "ref.json")]
    with contextlib.redirect_stdout(io.StringIO()) as said:
        began = cpu()
        score([*words, "--resamples", str(RESAMPLES)])
        taken = cpu() - began
    print(said.getvalue())
    return taken


def start_seconds() -> float:
    """CPU seconds of `--help`, a process of its own, over one that only imports what the command needs."""

    def least(*words: str) -> float:
        taken = []
        for _ in range(ROUNDS):
            began = cpu()
            subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
            taken.append(cpu() - began)
        return min(taken)

    return least("-m", "showtell.score", "--help") - least("-c", "import numpy, nltk")


def seconds_each(captions: dict[int, list[str]]) -> tuple[float, float]:
    """CPU seconds of one resample, and of scoring 5,000 captions whose references are counted already."""
    corpus = ReferenceCorpus({picture: some[2:] for picture, some in captions.items()})
    candidates = {picture: some[0] for picture, some in captions.items()}
    sums = corpus.score(candidates).sums
    rounds = []
    for _ in range(ROUNDS):
        times = [time.process_time()]
        corpus.score(candidates)
        times.append(time.process_time())
        samples([sums], RESAMPLES)
        times.append(time.process_time())
        rounds.append((times[1] - times[0], (times[2] - times[1]) / RESAMPLES))
    return min(one for _, one in rounds), min(one for one, _ in rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder that holds coco_captions_val2017.json")
    with tempfile.TemporaryDirectory() as folder:
        captions = write_files(parser.parse_args().data, Path(folder))
        command = command_seconds(Path(folder))
    resample, again = seconds_each(captions)
    print(f"one resample {1000 * resample:.3f} ms, scoring again {1000 * again:.0f} ms")
    figure = "score of 5,000 pictures, two files, 1,000 resamples and both paired tests, beyond imports"
    at_most(figure, round(command, 2), 10, "s CPU")
    at_most("start of score, beyond the imports of numpy and nltk", round(start_seconds(), 2), 0.5, "s CPU")
    at_least("a resample of 5,000 pictures over scoring them again", round(again / resample), 500, "times as fast")


if __name__ == "__main__":
    main()
