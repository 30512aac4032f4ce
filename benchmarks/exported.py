"""Figures of `predict.py --export` and `--web`: are captions those of torch, how fast, how large, what do 8 bits cost.

    python -m benchmarks.exported RUN [RUN ...] --data FLICKR800 [--pictures 200] [--web]

Exports each run, captions the same photographs by torch (float32) and by ONNX Runtime, greedily and by a beam of 5, and
counts captions that differ in any of the n best; times single pictures, file to caption, in processor seconds
on one thread (the fastest tenth, against other load), torch in its own precision; and scores the validation pictures with weights of 32 and of 8 bits. `--web` captions
100 of the photographs in Chromium too (it wants npm and chromedriver), compares these captions with torch's, or with
those of the same 8-bit files in Python, and times the first one after loading.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnxruntime
import torch

import showtell
from showtell.config import DecodingConfig
from showtell.prediction.captioner import Captioned, Captioner
from showtell.prediction.evaluate import evaluation_of
from showtell.prediction.inputs import annotated_pictures
from showtell.sharing.export import caption

GREEDY, BEAM = DecodingConfig(), DecodingConfig(method="beam", beam_size=5, num_captions=5, block_ngram=3)
WARM = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder with images/ and captions_val.json")
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--web", action="store_true", help="in Chromium as well")
    options = parser.parse_args()
    torch.set_num_threads(1)
    caption.session = on_one_thread
    pictures = sorted((options.data / "images").glob("*.jpg"))[: options.pictures]
    for run in options.runs:
        with tempfile.TemporaryDirectory() as scratch:
            measure(run, pictures, options, Path(scratch))


def measure(run: Path, pictures: list[Path], options: argparse.Namespace, scratch: Path) -> None:
    captioner = showtell.load(run, device="cpu")
    fast = captioner.encoder.precision
    for name, words in {"float32": [], "8-bit": ["--quantize"]}.items():
        export(run, "--export", scratch / name, *words)
    models = {name: caption.Captioner(scratch / name) for name in ("float32", "8-bit")}
    print(f"== {run}: {captioner.configs[0].decoder.name}")
    captioner.encoder.precision = "float32"
    for decoding in (GREEDY, BEAM):
        print(f"{decoding.method}: {compared(captioner, models['float32'], pictures, decoding)}")
    captioner.encoder.precision = fast
    for decoding in (GREEDY, BEAM):
        for model in models.values():
            model.told["decoding"] = asdict(decoding)
        ways: dict[str, Callable[[Path], Any]] = {
            f"torch ({fast})": lambda one, how=decoding: captioner.caption(one, how)
        }
        ways |= {f"ONNX, {name}": model.caption for name, model in models.items()}
        told = ", ".join(f"{name} {1000 * seconds:.1f} ms" for name, seconds in timed(ways, pictures[:60]).items())
        print(f"{decoding.method}, one picture: {told}")
    listed = annotated_pictures(options.data / "captions_val.json", options.data / "images")
    for name, model in models.items():
        model.told["decoding"] = asdict(BEAM)
        said = {one.id: Captioned(one.path, (model.caption(one.path)[0].text,)) for one in listed.pictures}
        scores = evaluation_of(said, listed, [], [], captioner.vocabulary.tokenizer).scores
        size = sum(file.stat().st_size for file in (scratch / name).iterdir())
        print(f"{name}: {size / 1e6:.1f} MB, CIDEr {scores['cider']:.4f} on {len(said)} pictures")
    if options.web:
        from showtell.sharing.export.web import on_the_page

        decoding = on_the_page(captioner.configs[0].decoding)
        captioner.encoder.precision = "float32"
        models["8-bit"].told["decoding"] = asdict(decoding)
        wanted = {
            "float32": {one.path: one.captions[0] for one in captioner.caption(pictures[:100], decoding)},
            "8-bit": {one: models["8-bit"].caption(one)[0].text for one in pictures[:100]},
        }
        for name, words in {"float32": [], "8-bit": ["--quantize"]}.items():
            export(run, "--web", scratch / f"web {name}", *words)
            in_chromium(scratch / f"web {name}", wanted[name], scratch / f"profile {name}", name)


def export(run: Path, *words: object) -> None:
    subprocess.run([sys.executable, "predict.py", str(run), *map(str, words)], check=True, stdout=subprocess.DEVNULL)


def on_one_thread(file: Path) -> Any:
    """A graph; ONNX Runtime's threads would burn time while they wait for one another."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def compared(captioner: Captioner, model: Any, pictures: list[Path], decoding: DecodingConfig) -> str:
    """How many pictures have other captions, in any of the n best, and by how much log-probabilities differ."""
    model.told["decoding"] = asdict(decoding)
    differing, worst = 0, 0.0
    for found in captioner.caption(pictures, decoding):
        told = model.caption(found.path)
        if [one.text for one in told] != list(found.captions):
            differing += 1
            continue
        for one, other in zip(told, found.hypotheses, strict=True):
            pairs = zip(one.log_probs, other.word_log_probs, strict=True)
            worst = max([worst, *(abs(ours - theirs) for ours, theirs in pairs)])
    return f"{differing} of {len(pictures)} differ; log-probabilities within {worst:.1e}"


def timed(ways: dict[str, Callable[[Path], Any]], pictures: list[Path]) -> dict[str, float]:
    """Processor seconds of a picture, the ways in turn, so that other load hits all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for picture in [*pictures[:WARM], *pictures]:
        for name, way in ways.items():
            began = time.process_time()
            way(picture)
            seconds[name].append(time.process_time() - began)
    return {name: statistics.quantiles(values[WARM:], n=10)[0] for name, values in seconds.items()}


def in_chromium(folder: Path, wanted: dict[Path, str], profile: Path, name: str) -> None:
    from tests.gallery.conftest import Browser
    from tests.sharing.test_page import Server, blob, call, ready, visit

    server, browser = Server(folder), Browser(profile, 1300, 900)
    try:
        began = time.monotonic()
        visit(browser, server.url)
        ready(browser)
        loaded = time.monotonic() - began
        seconds, same = [], 0
        for path, text in wanted.items():
            began = time.monotonic()
            answer = call(browser, "captioner.js", f"await m.caption({blob(path)})")
            seconds.append(time.monotonic() - began)
            same += answer["captions"][0]["text"] == text
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        print(
            f"page, {name}: {size / 1e6:.1f} MB, loaded in {loaded:.1f} s, first caption {seconds[0]:.2f} s, median "
            f"{statistics.median(seconds):.2f} s; {same} of {len(wanted)} captions are those in Python"
        )
    finally:
        browser.close()
        server.close()


if __name__ == "__main__":
    main()
