"""What each `features.dtype` takes on the disk, and how far it is from what the encoder said.

    python -m benchmarks.feature_dtypes FOLDER efficientnet_lite0 efficientnet_lite2 --pooling grid

Encodes pictures of a folder in float32. The error is the root mean square of the difference over that of the features.
What it costs in CIDEr, training tells: `python benchmarks/recipes.py RECIPE RECIPE,features.dtype=int8`.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor

from showtell.config.registry import settings
from showtell.data.features.dtypes import DTYPES, FeatureDtype
from showtell.data.images import load_picture
from showtell.models.encoders.base import build_encoder
from showtell.models.encoders.encoding import FastEncoder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("encoders", nargs="+")
    parser.add_argument("--pooling", default="grid")
    parser.add_argument("--pictures", type=int, default=100)
    options = parser.parse_args()
    paths = sorted(options.folder.glob("*.jpg"))[: options.pictures]
    for name in options.encoders:
        encoder = build_encoder(settings("encoder", name, pooling=options.pooling))
        fast = FastEncoder(encoder, torch.device("cpu"), "float32")
        features = torch.cat([fast(load_picture(path, encoder.transform)[None]) for path in paths])
        shape = tuple(features.shape[1:])
        for dtype in DTYPES.values():
            size = dtype.num_bytes(shape)
            print(f"{name:20} {shape!s:12} {dtype.name:9} {size:9,} bytes a picture, error {error(features, dtype)}")


def error(features: Tensor, dtype: FeatureDtype) -> str:
    """In percent, to three digits."""
    off = dtype.decode(torch.from_numpy(dtype.encode(features))).float() - features
    return f"{100 * float(off.norm() / features.norm()):.3g}%"


if __name__ == "__main__":
    main()
