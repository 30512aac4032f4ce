"""8-bit weights: a quarter of the bytes; they are unpacked when a graph is loaded, so that it computes as before.

Each matrix becomes int8 with one scale per row or column, whichever axis loses least, behind a `DequantizeLinear`
(symmetric, as of Jacob et al. 2018, arXiv 1712.05877, section 2). Biases and other small things stay as they are.
"""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

MIN_WEIGHTS = 4096


def quantize(path: Path) -> None:
    """Rewrites a graph's large float32 weights as int8, in place."""
    model = onnx.load(path)
    graph, nodes = model.graph, []
    for weight in [one for one in graph.initializer if _is_large(one)]:
        numbers, scales, axis = _rounded(numpy_helper.to_array(weight))
        name = weight.name
        graph.initializer.remove(weight)
        graph.initializer.extend(
            [numpy_helper.from_array(numbers, f"{name}_int8"), numpy_helper.from_array(scales, f"{name}_scale")]
        )
        nodes.append(helper.make_node("DequantizeLinear", [f"{name}_int8", f"{name}_scale"], [name], axis=axis))
    for place, node in enumerate(nodes):
        graph.node.insert(place, node)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def _is_large(weight: onnx.TensorProto) -> bool:
    return weight.data_type == onnx.TensorProto.FLOAT and len(weight.dims) > 1 and np.prod(weight.dims) >= MIN_WEIGHTS


def _rounded(values: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32], int]:
    """Integers, their scales and the axis that the scales belong to, of least squared error."""
    found = []
    for axis in range(values.ndim):
        others = tuple(one for one in range(values.ndim) if one != axis)
        largest = np.abs(values).max(axis=others, keepdims=True)
        scales = np.where(largest > 0, largest, 1).astype(np.float32) / np.float32(127)
        numbers = np.rint(values / scales).astype(np.int8)
        error = float(np.square(numbers * scales - values).sum())
        found.append((error, axis, numbers, scales.ravel()))
    _, axis, numbers, scales = min(found, key=lambda one: one[:2])
    return numbers, scales, axis
