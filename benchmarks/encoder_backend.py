"""Figures: pictures per second of building a store with `features.backend=openvino` over that with torch.

And with torch, of keeping freed memory (`launching/allocator.py`) over what glibc does by itself, as it was before.
Pictures of flickr800 are decoded, encoded and written, in turns of 16, in one process with one thread; CPU seconds. In
float32, and in the precision that `features.precision=auto` chooses here. Random weights for ResNet50: values do not
matter.
"""

import torch
from machine import DATA, at_least
from store_building import measure

from showtell.config import EncoderConfig
from showtell.launching.allocator import keep_freed_memory
from showtell.models.encoders.base import build_encoder
from showtell.models.encoders.encoding import FastEncoder, folded_copy
from showtell.models.encoders.openvino import OpenVinoEncoder
from showtell.models.precision import encoding_precision

AS_GLIBC = {"largest": 32 << 20, "free": 64 << 20}
"""What its thresholds grow to by themselves."""


def main() -> None:
    torch.set_num_threads(1)
    device = torch.device("cpu")
    paths = sorted((DATA / "flickr800").rglob("*.jpg"))[:48]
    for name, weights in (("efficientnet_lite0", "imagenet"), ("resnet50", "none")):
        encoder = build_encoder(EncoderConfig(name=name, weights=weights, pooling="grid:7"))
        batch = torch.randn(8, 3, encoder.transform.size, encoder.transform.size)
        for precision in dict.fromkeys(("float32", encoding_precision("auto", device))):
            fast = FastEncoder(encoder, device, precision)
            keep_freed_memory(**AS_GLIBC)
            fast(batch)
            before = measure(paths, fast, batch, encoder)
            keep_freed_memory()
            spent = []
            for one in (fast, OpenVinoEncoder(folded_copy(encoder), precision)):
                one(batch)
                spent.append(measure(paths, one, batch, encoder))
            torchs, ours = spent
            for figure, target, (base, other) in (
                ("with freed memory kept over as glibc does", 1.3, (before, torchs)),
                ("with OpenVINO over torch", 2.5, (before, ours)),
            ):
                print(f"{name} {precision}, bare encoder {figure}: {base['bare'] / other['bare']:.2f} x")
                ratio = round(base["building"] / other["building"], 2)
                at_least(f"building a store {figure}, {name}, {precision}", ratio, target, "x")


if __name__ == "__main__":
    main()
