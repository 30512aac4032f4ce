"""Figure: pictures per second of building a store, over the bare forward pass of the encoder at its best setting.

    PYTHONPATH=src python benchmarks/store_building.py [--data DIR] [--pictures 32] [--encoders NAME...]

Building decodes, resizes, encodes and writes; the bare pass is the same encoder object on eight pictures that lie in
memory, again and again, for as many pictures. They take turns of 16 pictures in one process. CPU time of the process
and its children: on a machine whose cores the encoder fills, decoding cannot hide and this is what the ratio is made
of. Random weights: the values do not matter here. `--encoders efficientnet_lite0 efficientnet_lite1 efficientnet_lite2`
measures those that need no download; the smaller the network, the more decoding weighs.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from machine import DATA, at_least, cpu
from torch import Tensor

from showtell.config import EncoderConfig
from showtell.data.features.encoding import PictureEncoder
from showtell.data.features.request import StoreRequest
from showtell.data.features.store import open_or_build
from showtell.models.encoders.base import build_encoder
from showtell.models.encoders.encoding import FastEncoder
from showtell.models.precision import encoding_precision

TURN = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--pictures", type=int, default=32)
    parser.add_argument("--encoders", nargs="+", default=["resnet50"])
    args = parser.parse_args()
    for name in args.encoders:
        compare(name, args.data, args.pictures)


def compare(name: str, data: Path, pictures: int) -> None:
    """Reports the ratio of one encoder for each of two data sets."""
    device = torch.device("cpu")
    encoder = build_encoder(EncoderConfig(name=name, weights="none", pooling="average"))
    fast = FastEncoder(encoder, device, encoding_precision("auto", device))
    size = encoder.transform.size
    batch = torch.randn(8, 3, size, size)
    fast(batch)
    for folder in ("flickr800", "coco_mini"):
        paths = sorted((data / folder).rglob("*.jpg"))[:pictures]
        spent = measure(paths, fast, batch, encoder)
        ratio = spent["bare"] / spent["building"]
        for kind, seconds in spent.items():
            print(f"{folder} {kind}: {len(paths) / seconds:.1f} pictures per CPU second")
        figure = f"building a store over the bare encoder, {name}, pictures of {folder}"
        at_least(figure, round(ratio, 3), 0.9, "x")


def measure(paths: list[Path], fast: PictureEncoder, batch: Tensor, encoder: torch.nn.Module) -> dict[str, float]:
    spent = {"building": 0.0, "bare": 0.0}
    with TemporaryDirectory() as root:
        for start in range(0, len(paths), TURN):
            part = paths[start : start + TURN]
            request = StoreRequest(f"part{start}", part, "random", encoder.transform, "float16")
            began = cpu()
            open_or_build(Path(root), request, lambda: fast, batch_size=32, num_workers=2)
            spent["building"] += cpu() - began
            began = cpu()
            for _ in range(0, len(part), 8):
                fast(batch)
            spent["bare"] += cpu() - began
    return spent


if __name__ == "__main__":
    main()
