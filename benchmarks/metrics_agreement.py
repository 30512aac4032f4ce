"""Figure: scores without Java against pycocoevalcap with Java's tokenizer, on all of COCO val2017.

The first caption of each picture is the candidate, the others are its references. Lists the captions whose
tokens differ.
Run: `python benchmarks/metrics_agreement.py [--data DIR]`, with Java and pycocoevalcap installed.
"""

import argparse
import json
import os
import platform
from collections import defaultdict
from pathlib import Path
from typing import Any

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from showtell.evaluation.metrics import score_captions
from showtell.evaluation.ptb import ptb_tokens

DATA = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
TARGET = 0.0005

Captions = dict[int, list[str]]


def read_captions(data: Path) -> Captions:
    """All captions of val2017 by picture, in the file's order."""
    captions = defaultdict(list)
    file = data / "coco_captions_val2017.json"
    for item in json.loads(file.read_text(encoding="utf-8"))["annotations"]:
        captions[item["image_id"]].append(item["caption"])
    return dict(captions)


def java_tokens(captions: Captions) -> Captions:
    """The captions as Java's tokenizer leaves them, words separated by spaces."""
    wrapped = {picture: [{"caption": text} for text in texts] for picture, texts in captions.items()}
    tokens: Captions = PTBTokenizer().tokenize(wrapped)
    return tokens


def java_scores(tokens: Captions) -> dict[str, float]:
    """What pycocoevalcap says: the first caption of each picture against the others."""
    references = {picture: texts[1:] for picture, texts in tokens.items()}
    candidates = {picture: texts[:1] for picture, texts in tokens.items()}
    bleu, _ = Bleu(4).compute_score(references, candidates, verbose=0)
    rouge, _ = Rouge().compute_score(references, candidates)
    cider, _ = Cider().compute_score(references, candidates)
    scores = {f"bleu{order}": value for order, value in enumerate(bleu, start=1)}
    return scores | {"rouge_l": float(rouge), "cider": float(cider)}


def own_scores(captions: Captions) -> dict[str, float]:
    """The same without Java."""
    candidates = {picture: texts[0] for picture, texts in captions.items()}
    references = {picture: texts[1:] for picture, texts in captions.items()}
    return score_captions(candidates, references).corpus


def machine() -> dict[str, Any]:
    """The processor count and model name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {"cpus": os.cpu_count(), "model": names[0] if names else platform.processor()}


def report(figure: str, value: float, unit: str, target: float, passed: bool) -> None:
    """Prints the line that is collected from every benchmark."""
    row = {"figure": figure, "value": value, "unit": unit, "target": target, "passed": passed}
    print("RESULT " + json.dumps(row | {"machine": machine()}))


def print_differences(captions: Captions, tokens: Captions) -> None:
    """Lists the captions that Java and `ptb_tokens` cut differently."""
    total = different = spaces = 0
    for picture, texts in captions.items():
        for text, java in zip(texts, tokens[picture], strict=True):
            total += 1
            ours = ptb_tokens(text)
            if ours != java.split():
                different += 1
                print(f"  {text.strip()!r}\n    Java {java.split()}\n    here {ours}")
            elif ours != java.split(" "):
                # Java joins "3 1/2" by a no-break space; of the scorers only ROUGE-L does not split there
                spaces += 1
    print(f"{different} of {total} captions have other tokens")
    print(f"{spaces} more differ for ROUGE-L only, by a no-break space")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder that holds coco_captions_val2017.json")
    captions = read_captions(parser.parse_args().data)
    tokens = java_tokens(captions)
    theirs, ours = java_scores(tokens), own_scores(captions)
    print(f"{'':8} {'with Java':>10} {'without':>10} {'difference':>11}")
    for key, value in theirs.items():
        print(f"{key:8} {value:10.6f} {ours[key]:10.6f} {ours[key] - value:+11.1e}")
    print_differences(captions, tokens)
    worst = max(abs(ours[key] - value) for key, value in theirs.items())
    figure = "largest difference of a score to pycocoevalcap with Java"
    report(figure, worst, "absolute", TARGET, worst <= TARGET)


if __name__ == "__main__":
    main()
