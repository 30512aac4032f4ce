"""Figures: pictures per second of building a store with `features.backend=openvino` over that with torch.

Pictures of flickr800 are decoded, encoded and written, in turns of 16, in one process with one thread; CPU seconds. In
float32, and in the precision that `features.precision=auto` chooses here. Random weights for ResNet50: values do not
matter.
"""

import torch
from machine import DATA, at_least
from store_building import measure

from showtell.config import EncoderConfig
from showtell.models.encoders.base import build_encoder
from showtell.models.encoders.encoding import FastEncoder, folded_copy
from showtell.models.encoders.openvino import OpenVinoEncoder
from showtell.models.precision import encoding_precision


def main() -> None:
    torch.set_num_threads(1)
    device = torch.device("cpu")
    paths = sorted((DATA / "flickr800").rglob("*.jpg"))[:48]
    for name, weights in (("efficientnet_lite0", "imagenet"), ("resnet50", "none")):
        encoder = build_encoder(EncoderConfig(name=name, weights=weights, pooling="grid:7"))
        batch = torch.randn(8, 3, encoder.transform.size, encoder.transform.size)
        for precision in dict.fromkeys(("float32", encoding_precision("auto", device))):
            encoders = FastEncoder(encoder, device, precision), OpenVinoEncoder(folded_copy(encoder), precision)
            spent = []
            for one in encoders:
                one(batch)
                spent.append(measure(paths, one, batch, encoder))
            torchs, ours = spent
            print(f"{name} {precision}, bare: {torchs['bare'] / ours['bare']:.2f} x")
            figure = f"building a store with OpenVINO over torch, {name}, {precision}"
            at_least(figure, round(torchs["building"] / ours["building"], 2), 2.5, "x")


if __name__ == "__main__":
    main()
