"""Figure: time to score 5,000 pictures (BLEU, ROUGE-L, CIDEr) from raw captions, with and without Java.

Both sides tokenize the 25,014 captions of COCO val2017 and score the first of each picture against the
others. They take turns in one run, and the best round of each counts, so that other work on the machine hits
both alike.
Run: `python benchmarks/metrics_speed.py [--data DIR]`, with Java and pycocoevalcap installed.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from metrics_agreement import DATA, Captions, java_scores, java_tokens, own_scores, read_captions, report

from showtell.evaluation.metrics import ReferenceCorpus
from showtell.evaluation.ptb import ptb_tokens


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def rewards_per_second(captions: Captions) -> float:
    """CIDEr-D rewards per second for batches of 5 captions for each of 64 pictures."""
    corpus = ReferenceCorpus(captions)
    pictures = [picture for picture in corpus.picture_ids[:64] for _ in range(5)]
    words = [ptb_tokens(captions[picture][0]) for picture in pictures]
    return len(pictures) / min(seconds(lambda: corpus.cider_d_rewards(pictures, words)) for _ in range(20))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder that holds coco_captions_val2017.json")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    captions = read_captions(arguments.data)
    with_java, without, again = [], [], []
    corpus = ReferenceCorpus({picture: texts[1:] for picture, texts in captions.items()})
    candidates = {picture: texts[0] for picture, texts in captions.items()}
    for _ in range(arguments.rounds):
        with_java.append(seconds(lambda: java_scores(java_tokens(captions))))
        without.append(seconds(lambda: own_scores(captions)))
        again.append(seconds(lambda: corpus.score(candidates)))
    print(f"pycocoevalcap with Java  {min(with_java):6.2f} s")
    print(f"without Java             {min(without):6.2f} s")
    print(f"  later epochs, references already counted {min(again):.2f} s")
    print(f"  CIDEr-D rewards {rewards_per_second(captions):,.0f} a second")
    ratio = min(with_java) / min(without)
    report("scoring 5,000 pictures, over pycocoevalcap with Java", ratio, "times as fast", 1.0, ratio > 1)


if __name__ == "__main__":
    main()
