"""Figures: an encoder in 8 bits (NNCF's post-training quantization) over OpenVINO's bfloat16: speed, and what becomes of features.

    pip install openvino nncf
    PYTHONPATH=src python benchmarks/eight_bits.py

Calibrated on 96 training pictures of flickr800; the first two convolutions stay as they are, for they need it most.
CPU seconds of one thread, in turns. docs/decisions/encoder_speed.md says why it is no setting.
"""

import json
import logging
import warnings
from collections import Counter

import nncf
import openvino
import torch
from machine import DATA, cpu, machine
from store_building import measure
from torch import Tensor
from torch.nn.functional import cosine_similarity

from showtell.config import EncoderConfig
from showtell.data.images import load_picture
from showtell.launching.allocator import keep_freed_memory
from showtell.models.encoders.base import Encoder, build_encoder
from showtell.models.encoders.encoding import FastEncoder, folded_copy
from showtell.models.encoders.openvino import OpenVinoEncoder

CALIBRATION, ROUNDS = 96, 5


def pictures(split: str, count: int, encoder: Encoder) -> Tensor:
    file = DATA / "flickr800" / f"captions_{split}.json"
    names = [one["file_name"] for one in json.loads(file.read_text())["images"][:count]]
    return torch.stack([load_picture(DATA / "flickr800" / "images" / name, encoder.transform) for name in names])


def quantized(encoder: Encoder) -> OpenVinoEncoder:
    size, found = encoder.transform.size, OpenVinoEncoder(folded_copy(encoder), "bfloat16")
    model = openvino.convert_model(
        folded_copy(encoder), example_input=torch.zeros(1, 3, size, size), input=[8, 3, size, size]
    )
    first = [one.get_friendly_name() for one in model.get_ordered_ops() if "Convolution" in one.get_type_name()][:2]
    parts = pictures("train", CALIBRATION, encoder).numpy().reshape(-1, 8, 3, size, size)
    model = nncf.quantize(
        model, nncf.Dataset(list(parts)), preset=nncf.QuantizationPreset.PERFORMANCE, subset_size=len(parts),
        ignored_scope=nncf.IgnoredScope(names=first),
    )  # fmt: skip
    settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "bf16", "PERFORMANCE_HINT": "LATENCY"}
    found.compiled = openvino.Core().compile_model(model, "CPU", settings)
    return found


def compare(name: str, weights: str) -> None:
    encoder = build_encoder(EncoderConfig(name=name, weights=weights, pooling="grid"))
    began = cpu()
    ours = quantized(encoder)
    print(f"{name}: calibrated in {cpu() - began:.0f} s")
    bfloat16 = OpenVinoEncoder(folded_copy(encoder), "bfloat16")
    shown = pictures("val", 48, encoder)
    expected = FastEncoder(encoder, torch.device("cpu"), "float32")(shown)
    for kind, one in (("bfloat16", bfloat16), ("8 bits", ours)):
        found = one(shown)
        error = (found - expected).norm() / expected.norm()
        cosine = cosine_similarity(found, expected, dim=-1).mean()
        print(f"{name}, {kind}: relative error {error:.3f}, mean cosine of a region {cosine:.4f}")
    for folder in ("flickr800", "coco_mini"):
        paths = sorted((DATA / folder).rglob("*.jpg"))[:32]
        spent: Counter[tuple[str, str]] = Counter()
        for _ in range(ROUNDS):
            for kind, one in (("bfloat16", bfloat16), ("8 bits", ours)):
                for what, seconds in measure(paths, one, shown[:8], encoder).items():
                    spent[what, kind] += 1000 * seconds / ROUNDS / len(paths)
        for what in ("bare", "building"):
            before, after = spent[what, "bfloat16"], spent[what, "8 bits"]
            print(f"{name}, {folder}, {what}: 8 bits {before / after:.2f} x bfloat16 ({before:.1f} and {after:.1f} ms)")


def main() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    nncf.set_log_level(logging.ERROR)
    keep_freed_memory()
    print(machine())
    for name, weights in (("efficientnet_lite0", "imagenet"), ("efficientnet_lite2", "imagenet"), ("resnet50", "none")):
        compare(name, weights)


if __name__ == "__main__":
    main()
