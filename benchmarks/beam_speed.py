"""Captions per second of beam search: a batch of 64 pictures against the same pictures one at a time.

    PYTHONPATH=src python benchmarks/beam_speed.py [--pictures 64] [--beam 5] [--device cpu] [--threads N]

The decoder is an LSTM with random weights (embedding 256, hidden 512, vocabulary 7,000), so what it says is noise and
most captions run to 20 words; a second line gives `<end>` a bonus, so that captions end at different lengths and
pictures leave the batch early. Both ways run in turns in one process with the same weights, and the best of the rounds
counts. "Decoder alone" is the same ratio for its bare steps on as many rows, without any search: what matrix products
gain from a batch on this machine, the ceiling for a search that costs nothing. Run it on an idle machine: other work
slows the many short steps of single pictures more than the long ones of a batch, and flatters the ratio.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from showtell.config import DecodingConfig
from showtell.decoding import Hypothesis, State, decode
from showtell.text import END

EMBEDDING, HIDDEN, VOCABULARY, MAX_LENGTH, TARGET = 256, 512, 7000, 20, 10.0


class Decoder(nn.Module):
    """One LSTM cell between an embedding and a linear layer; counts the rows it is asked for."""

    def __init__(self, end_bonus: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, EMBEDDING)
        self.cell = nn.LSTMCell(EMBEDDING, HIDDEN)
        self.output = nn.Linear(HIDDEN, VOCABULARY)
        # the default initialisation gives nearly equal words; this gives a trained model's sharp ones
        nn.init.normal_(self.output.weight, std=0.5)
        with torch.no_grad():
            self.output.bias[END] += end_bonus
        self.calls: list[int] = []

    def forward(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """The step function."""
        self.calls.append(len(tokens))
        hidden, cell = self.cell(self.embedding(tokens), (state[0], state[1]))
        return self.output(hidden), (hidden, cell)


def start(pictures: int, device: str) -> State:
    generator = torch.Generator().manual_seed(1)
    return tuple((torch.randn(pictures, HIDDEN, generator=generator) * 0.5).to(device) for _ in range(2))


def timed(work: Callable[[], object], device: str) -> float:
    if device != "cpu":
        torch.cuda.synchronize()
    begin = time.perf_counter()
    work()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - begin


@torch.no_grad()
def bare(decoder: Decoder, device: str, rows: list[int]) -> None:
    for count in rows:
        state = (torch.zeros(count, HIDDEN, device=device), torch.zeros(count, HIDDEN, device=device))
        decoder(torch.zeros(count, dtype=torch.int64, device=device), state)


def measure(end_bonus: float, args: argparse.Namespace) -> dict[str, float]:
    torch.manual_seed(0)
    decoder = Decoder(end_bonus).to(args.device).eval()
    config = DecodingConfig(method="beam", beam_size=args.beam, max_length=MAX_LENGTH)
    state = start(args.pictures, args.device)
    results: dict[str, list[list[Hypothesis]]] = {}

    def batch() -> None:
        results["batch"] = decode(decoder, state, config)

    def singles() -> None:
        alone = [tuple(tensor[i : i + 1] for tensor in state) for i in range(args.pictures)]
        results["singles"] = [decode(decoder, one, config)[0] for one in alone]

    def steps_of(work: Callable[[], None]) -> list[int]:
        decoder.calls.clear()
        work()
        return list(decoder.calls)

    rows, single_rows = steps_of(batch), steps_of(singles)
    works = (batch, singles, lambda: bare(decoder, args.device, rows), lambda: bare(decoder, args.device, single_rows))
    rounds = [[timed(work, args.device) for work in works] for _ in range(args.rounds)]
    best_batch, best_singles, bare_batch, bare_singles = (min(column) for column in zip(*rounds, strict=True))
    same = sum(a[0].tokens == b[0].tokens for a, b in zip(results["batch"], results["singles"], strict=True))
    words = [len(captions[0].tokens) for captions in results["batch"]]
    return {
        "batch": args.pictures / best_batch,
        "one at a time": args.pictures / best_singles,
        "ratio": best_singles / best_batch,
        "decoder alone: ratio": bare_singles / bare_batch,
        "decoder's share of the batch": bare_batch / best_batch,
        "equal captions": same,
        "mean words": sum(words) / len(words),
    }


def machine(device: str) -> str:
    if device != "cpu":
        return torch.cuda.get_device_name()
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor()
    return f"{name}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, torch {torch.__version__}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--end-bonus", type=float, default=5.0, help="of the second line")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=0, help="0 leaves torch's choice")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    print(machine(args.device))
    ratios = []
    for name, bonus in (("captions run long", 0.0), ("<end> is likely", args.end_bonus)):
        figures = measure(bonus, args)
        ratios.append(figures["ratio"])
        print(name + ": " + ", ".join(f"{key} {value:.2f}" for key, value in figures.items()))
    result = {
        "figure": f"beam {args.beam} captions/s, batch of {args.pictures} over one picture at a time",
        "value": round(ratios[0], 2),
        "unit": "x",
        "target": TARGET,
        "passed": ratios[0] >= TARGET,
        "machine": machine(args.device),
    }
    print("RESULT " + json.dumps(result))


if __name__ == "__main__":
    main()
