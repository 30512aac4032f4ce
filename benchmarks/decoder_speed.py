"""Figures: training steps and decoding of LSTM and soft attention at width 512 over what they are to be compared with.

    PYTHONPATH=src python benchmarks/decoder_speed.py

- A training step (100 captions of 11 words, 886 words known), in float32 and in bfloat16 (`device.precision=bf16-mixed`),
  over the bare matrix products of its shapes in float32, forward and backward.
- Decoding 64 pictures over decoding as it was done before there were tables of words and shared regions: `nn.LSTM` word
  by word; regions and keys copied for each beam. Weights are random, so captions run to 20 words and use more
  words than a trained model's do. The same in bfloat16 (`predict.py --precision`).
- Memory of the loss and its gradients at 50,000 words, 400 captions of 11 words: without ever holding all logits, over
  with them; the peak of the process's resident memory above what it held before.

Each pair takes turns in one process on one thread; the least CPU time of the rounds counts.
"""

import resource
import time
from collections.abc import Callable
from functools import partial

import torch
from machine import at_least, at_most
from torch import Tensor, nn

from showtell.config import DecodingConfig, parse
from showtell.decoding import State, Stepper, decode
from showtell.models import layers, objective
from showtell.models.decoders import Decoder, build_decoder
from showtell.models.decoders.lstm import LSTMDecoder
from showtell.models.objective import CaptionBatch, teacher_forced_loss
from showtell.objectives.cross_entropy import CrossEntropy

H, V, B, T, R, D, PICTURES, ROUNDS = 512, 886, 100, 12, 49, 1280, 64, 5
METHODS = {"greedy": DecodingConfig(), "beam 5": DecodingConfig(method="beam", beam_size=5)}
Product = tuple[int, int, int, int]
"""So often (N, I) times (I, O)."""
PRODUCTS: dict[str, list[Product]] = {
    "lstm": [(1, B, D, H), (1, B * (T + 1), H, 4 * H), (T + 1, B, H, 4 * H), (1, B * T, H, V)],
    "attention": [
        (1, B * R, D, H), (1, B * R, H, H), (1, B, H, 2 * H), (1, B * T, H, 4 * H), (T, B, H, 5 * H + 1),
        (T, B, H, 4 * H), (1, B * T, H, H), (1, B * T, H, H), (1, B * T, H, V),
    ],
}  # fmt: skip


def build(name: str, words: int = V, width: int = H) -> Decoder:
    """With the sharp words of a trained decoder."""
    sizes = {"hidden_size": width, "embedding_size": width}
    if name == "attention":
        sizes |= {"region_size": width, "attention_size": width}
    torch.manual_seed(0)
    decoder = build_decoder(parse({"decoder": {"name": name, **sizes}}).decoder, shape(name), words)
    nn.init.normal_(decoder.output.output.weight, std=0.5)  # type: ignore[union-attr, arg-type]
    return decoder


def shape(name: str) -> tuple[int, ...]:
    """Of a picture's features."""
    return (D,) if name == "lstm" else (R, D)


def seconds(works: dict[str, Callable[[], object]]) -> dict[str, float]:
    """The least CPU time of each, by turns."""
    best: dict[str, float] = {}
    for _ in range(ROUNDS + 1):
        for name, work in works.items():
            began = time.process_time()
            work()
            best[name] = min(best.get(name, float("inf")), time.process_time() - began)
    return best


def training_step(name: str) -> Callable[[bool], None]:
    """A step of a decoder on a batch of its own, in bfloat16 or not."""
    batch = CaptionBatch(torch.randn(B, *shape(name)), torch.randint(3, V, (B, T)), torch.arange(B))
    return partial(steps_on(build(name)), batch)


def steps_on(decoder: Decoder) -> Callable[[CaptionBatch, bool], None]:
    """Forward, backward and fused Adam on a batch, in bfloat16 or not."""
    decoder.train()
    compute, adam = CrossEntropy(), torch.optim.Adam(decoder.parameters(), fused=True)

    def step(batch: CaptionBatch, bfloat16: bool) -> None:
        adam.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            loss, _ = compute(decoder, batch)
        loss.backward()
        adam.step()

    return step


def training(name: str) -> None:
    """A step over its products."""
    step = training_step(name)
    factors = [
        (torch.randn(n, rows, i), torch.randn(i, o), torch.randn(n, rows, o)) for n, rows, i, o in PRODUCTS[name]
    ]

    def bare() -> None:
        for given, weight, gradient in factors:
            for one, back in zip(given, gradient, strict=True):
                one @ weight, back @ weight.t()
            given.flatten(0, 1).t() @ gradient.flatten(0, 1)  # the gradient of a weight can be had at once

    found = seconds({"float32": lambda: step(False), "bfloat16": lambda: step(True), "products": bare})
    for precision, limit in (("float32", 1.5), ("bfloat16", 0.62 if name == "lstm" else 0.75)):
        print(f"{name} training, {precision}: {B / found[precision]:.0f} captions per CPU second")
        ratio = found[precision] / found["products"]
        at_most(f"training step in {precision} over its float32 products, {name} 512", round(ratio, 2), limit, "x")


def word_by_word(decoder: Decoder) -> tuple[Stepper, Callable[[Tensor], State]]:
    """The step and the beginning as they were."""
    if not isinstance(decoder, LSTMDecoder):
        return Stepper(decoder.step), decoder.initial_state

    def begin(features: Tensor) -> State:
        _, (hidden, cell) = decoder.lstm(decoder._image(features))
        return hidden.transpose(0, 1), cell.transpose(0, 1)

    def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
        given = tuple(part.transpose(0, 1).contiguous() for part in state)
        spoken, (hidden, cell) = decoder.lstm(decoder.word_embedding(tokens).unsqueeze(1), given)
        return decoder.output(spoken.squeeze(1)), (hidden.transpose(0, 1), cell.transpose(0, 1))

    return Stepper(step), begin


def decoding(name: str) -> None:
    """Now over before, together and one picture at a time."""
    decoder, features = build(name).eval(), torch.randn(PICTURES, *shape(name))
    old, begin = word_by_word(decoder)
    stepper, half, portion = decoder.stepper(), decoder.stepper(), layers.CACHED_NUMBERS

    @torch.inference_mode()
    def captions(step: Stepper, start: Callable[[Tensor], State], config: DecodingConfig, rows: int) -> None:
        layers.CACHED_NUMBERS = 2**62 if step is old else portion
        for some in features.split(rows) if rows > 1 else features[:8].split(1):
            with torch.autocast("cpu", torch.bfloat16, enabled=step is half):
                decode(step, start(some), config)

    for method, config in METHODS.items():
        for rows in (PICTURES, 1):
            found = seconds(
                {
                    "now": lambda: captions(stepper, decoder.initial_state, config, rows),  # noqa: B023
                    "before": lambda: captions(old, begin, config, rows),  # noqa: B023
                    "bfloat16": lambda: captions(half, decoder.initial_state, config, rows),  # noqa: B023
                }
            )
            count = PICTURES if rows > 1 else 8
            print(f"{name} {method}, {rows} at once: {count / found['now']:.0f} captions per CPU second")
            figure = f"decoding over word by word as before, {name} 512, {method}, {rows} at once"
            at_least(figure, round(found["before"] / found["now"], 2), 1, "x")
            if rows > 1:
                figure = (
                    f"decoding in bfloat16 over word by word as before in float32, {name} 512, {method}, {rows} at once"
                )
                limit = 2.5 if (name, method) == ("attention", "beam 5") else 2
                at_least(figure, round(found["before"] / found["bfloat16"], 2), limit, "x")


def memory() -> None:
    """Pieces first: the peak of a process only grows."""
    decoder, features = build("lstm", 50_000), torch.randn(400, D)
    tokens, before = torch.randint(3, 50_000, (400, T)), peak()
    teacher_forced_loss(decoder, features, tokens)[0].backward()
    pieces = peak() - before
    objective.MOST_LOGITS = 2**62
    decoder.zero_grad()
    teacher_forced_loss(decoder, features, tokens)[0].backward()
    whole = peak() - before
    print(f"{pieces:.0f} MB in pieces, {whole:.0f} MB with all logits")
    at_most("memory of a step at 50,000 words, batch 400, over all logits at once", round(pieces / whole, 2), 0.25, "x")


def peak() -> float:
    """The largest resident memory so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    torch.set_num_threads(1)
    memory()
    for part in ("lstm", "attention"):
        training(part)
        decoding(part)
