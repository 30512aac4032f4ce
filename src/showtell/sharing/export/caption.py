"""Captions pictures with the ONNX files beside this script: `python caption.py dog.jpg holiday/*.png --beam 5`.

It needs onnxruntime, numpy and pillow alone, and writes what the model says that it was exported from: pictures are
resized to the bit as there, and beam search, whose greedy case is a beam of one, follows the same rules.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

START, END, UNK = 0, 1, 2


class Caption(NamedTuple):
    """A caption, its words, the log-probability of each and of the end after them, and what it is ranked by."""

    text: str
    words: list[str]
    log_probs: list[float]
    score: float


class Captioner:
    """The model in a folder of `encoder.onnx`, `decoder_init.onnx`, `decoder_step.onnx` and `captioner.json`."""

    def __init__(self, folder: Path = Path(__file__).parent) -> None:
        self.told = json.loads((folder / "captioner.json").read_text(encoding="utf-8"))
        names = ("encoder.onnx", "decoder_init.onnx", "decoder_step.onnx")
        self.encoder, self.begin, self.step = (session(folder / name) for name in names)

    def caption(self, picture: Any, beam: int | None = None, count: int | None = None) -> list[Caption]:
        """The best captions of a picture, a file's path or Pillow's, best first."""
        rgb = upright_rgb(picture)
        inputs = {f"picture_{i}": fitted(rgb, one)[None] for i, one in enumerate(self.told["transforms"])}
        state = answers(self.begin, {"features": answers(self.encoder, inputs)["features"]})
        rules = self.told["decoding"]
        beam = beam or rules["beam_size"]
        return self.search(state, beam, min(beam, count or rules["num_captions"]))

    def search(self, state: dict[str, Any], beam: int, count: int) -> list[Caption]:
        """Beam search; a caption that has ended leaves the beam, and the others go on until none can be better."""
        rules = self.told["decoding"]
        live: list[tuple[list[int], list[float]]] = [([], [])]  # tokens and their log-probabilities
        totals, tokens, found = np.zeros(1, np.float32), np.array([START]), []
        for length in range(1, rules["max_length"] + 2):
            said = answers(self.step, {"tokens": tokens, **state})
            allowed = np.stack(
                [obeying(row, words, rules) for row, (words, _) in zip(said["log_probs"], live, strict=True)]
            )
            keys = totals[:, None] + allowed
            order = np.argsort(-keys, axis=None, kind="stable")[:beam]
            places = [divmod(int(one), keys.shape[1]) for one in order if keys.flat[one] > -np.inf]
            longer = [(live[row][0] + [word], live[row][1] + [float(allowed[row, word])]) for row, word in places]
            scores = [float(keys[place] / np.float32(length ** rules["length_penalty"])) for place in places]
            found += [(score, *one) for score, one in zip(scores, longer, strict=True) if one[0][-1] == END]
            found = sorted(found, key=lambda one: -one[0])[:count]
            alive = [place for place, (words, _) in enumerate(longer) if words[-1] != END]
            totals = np.array([keys[places[place]] for place in alive], np.float32)
            worst = found[-1][0] if len(found) == count else -np.inf
            if not alive or worst >= totals.max() / (rules["max_length"] + 1) ** rules["length_penalty"]:
                break
            rows = [places[place][0] for place in alive]
            live, tokens = [longer[place] for place in alive], np.array([places[place][1] for place in alive])
            state = {name: said.get(f"next_{name}", state[name])[rows] for name in state}
        return [Caption(self.text(words[:-1]), self.words(words[:-1]), logs, score) for score, words, logs in found]

    def words(self, tokens: list[int]) -> list[str]:
        """As people write them."""
        return [self.told["shown"].get(str(one), self.told["words"][one]) for one in tokens]

    def text(self, tokens: list[int]) -> str:
        """The words joined; `glued` says which have no blank before them, or after, and which are pieces of others."""
        if table := self.told["bytes"]:  # letters of a language model's tokens, which stand for bytes
            spelled = bytes(table[letter] for token in tokens for letter in self.told["words"][token])
            return spelled.decode(errors="replace").strip()
        rules, words, text = self.told["glued"], list[list[int]](), ""
        for token in tokens:
            if words and token in rules["goes_on"]:
                words[-1].append(token)
            else:
                words.append([token])
        for before, word in zip([[], *words[:-1]], words, strict=True):
            pair, shown = [*before[-1:], word[0]], "".join(self.words(word))
            tight = (word[0] in rules["before"] or pair[0] in rules["after"]) and pair not in rules["apart"]
            text += rules["whole"].get(shown, shown if tight else f" {shown}")
        return text.lstrip()


def session(file: Path) -> Any:
    """A graph, on the processor."""
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.disable_quant_qdq", "1")  # 8-bit weights are unpacked once
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def answers(graph: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """What a graph says, by name."""
    return dict(zip([one.name for one in graph.get_outputs()], graph.run(None, inputs), strict=True))


def obeying(log_probs: Any, words: list[int], rules: dict[str, Any]) -> Any:
    """The next word's log-probabilities, -infinity where the rules forbid it."""
    allowed, size, length = log_probs.copy(), rules["block_ngram"], len(words)
    if length == rules["max_length"]:
        return np.where(np.arange(len(allowed)) == END, allowed, -np.inf).astype(np.float32)
    if size:
        starts = range(length - size + 1)
        allowed[[words[i + size - 1] for i in starts if words[i : i + size - 1] == words[len(starts) :]]] = -np.inf
    allowed[[START, UNK]] = -np.inf
    if length < rules["min_length"] and allowed[UNK + 1 :].max() > -np.inf:
        allowed[END] = -np.inf
    return allowed


def upright_rgb(picture: Any) -> Any:
    """An upright RGB picture; what is transparent lies on white, 16 bits are scaled to 8."""
    if not isinstance(picture, Image.Image):
        with Image.open(picture) as opened:
            return upright_rgb(opened)
    image = ImageOps.exif_transpose(picture)
    if image.mode in ("F", "I"):
        raise ValueError("numbers of 32 bits, for which nobody says what is white; save it with 8 or 16")
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image).astype(np.int32) >> 8).clip(0, 255).astype(np.uint8))
    if image.mode == "P" or image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def fitted(image: Any, transform: dict[str, Any]) -> Any:
    """The square that an encoder sees, uint8 `(size, size, 3)`."""
    size, kind, fit = transform["size"], transform["interpolation"], transform["fit"]
    if fit == "stretch":
        return resampled(resampled(np.asarray(image), size, kind), size, kind)
    (width, height), around = image.size, int(size / transform["crop"] + 1e-6)
    if fit == "squash":
        new = (around, around)
    elif fit == "pad":
        ratio = max(height / around, width / around)
        new = (max(1, round(width / ratio)), max(1, round(height / ratio)))
    else:
        new = (around, around * height // width) if width <= height else (around * width // height, around)
    left, top = (round((one - size) / 2) if one >= size else -((size - one) // 2) for one in new)
    canvas = Image.new("RGB", (size, size), tuple(round(255 * value) for value in transform["mean"]))
    canvas.paste(image.resize(new, Image.Resampling[kind.upper()]), (-left, -top))
    return np.asarray(canvas)


def resampled(pixels: Any, size: int, kind: str) -> Any:
    """Pixels `(H, W, 3)` resampled along W, transposed: `(size, H, 3)`; torch's antialiased resizing of bytes."""
    old, reach = pixels.shape[1], 2 if kind == "bicubic" else 1
    scale = old / size
    wide, centers, places = max(scale, 1.0), scale * (np.arange(size)[:, None] + 0.5), np.arange(old)
    x = np.abs(places - centers + 0.5) / wide
    if kind == "bicubic":
        weights = np.where(x < 1, (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2)
    else:
        weights = 1 - x
    first, last = ((centers + sign * reach * wide + 0.5).astype(int) for sign in (-1, 1))
    weights *= (places >= first) & (places < last) & (x < reach)
    weights /= weights.sum(axis=1, keepdims=True)
    bits = next(b for b in range(23) if b == 22 or int(0.5 + weights.max() * (1 << (b + 1))) >= 1 << 15)
    fixed = np.trunc(weights * (1 << bits) + np.copysign(0.5, weights))  # integers, which float64 adds exactly
    portions = np.split(pixels, range(256, len(pixels), 256))
    sums = np.concatenate([np.tensordot(fixed, one.astype(float), (1, 1)) for one in portions], axis=1)
    return np.floor((sums + (1 << bits >> 1)) / (1 << bits)).clip(0, 255).astype(np.uint8)


def main() -> int:
    """The command line: a line per picture."""
    parser = argparse.ArgumentParser(description="Captions pictures with the model beside this script.")
    parser.add_argument("pictures", nargs="+", metavar="PICTURE")
    parser.add_argument("--beam", type=int, metavar="N", help="hypotheses kept side by side; 1: greedy")
    parser.add_argument("--num-captions", type=int, metavar="N", help="captions per picture, at most as many")
    options = parser.parse_args()
    captioner, failed = Captioner(), 0
    for picture in options.pictures:
        try:
            found = captioner.caption(picture, options.beam, options.num_captions)
            print("\t".join([picture, *(one.text for one in found)]), flush=True)
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            failed = 1
            print(f"skipped: {picture}: {error}", file=sys.stderr)
    return failed


if __name__ == "__main__":
    sys.exit(main())
