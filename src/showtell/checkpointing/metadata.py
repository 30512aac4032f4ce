"""What a checkpoint tells about itself is as foreign as the file: looked at before anything is built from it."""

import os
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from showtell.checkpointing.archive import CheckpointError, called
from showtell.checkpointing.io import STAMP
from showtell.config import ConfigError, restore
from showtell.config.plugins import MODEL, check_origins, without_missing
from showtell.text import SPECIAL_TOKENS

RESAMPLING = ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming")


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _are_words(value: object) -> bool:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        return False
    return len(set(value)) == len(value) and tuple(value[: len(SPECIAL_TOKENS)]) == tuple(SPECIAL_TOKENS)


def _are_sizes(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(type(size) is int and 0 < size < 1 << 20 for size in value)


def _is_identity(value: object) -> bool:
    return isinstance(value, dict) and _is_text(value.get("sha256")) and isinstance(value.get("public"), bool)


def _is_transform(value: object) -> bool:
    names = {"size", "interpolation", "mean", "std"}
    if not isinstance(value, dict) or set(value) - {"beside"} not in (names, names | {"fit", "crop"}):
        return False
    fit, crop = value.get("fit", "stretch"), value.get("crop", 1.0)
    if fit not in ("stretch", "center", "squash", "pad") or type(crop) not in (float, int) or not 0 < crop <= 1:
        return False
    if "beside" in value and ("beside" in value["beside"] or not _is_transform(value["beside"])):
        return False
    means = [value["mean"], value["std"]]
    triples = all(isinstance(part, list | tuple) and len(part) == 3 for part in means)
    numbers = triples and all(isinstance(number, float | int) for part in means for number in part)
    resized = ("bilinear", "bicubic") if fit == "stretch" else RESAMPLING
    return numbers and type(value["size"]) is int and 0 < value["size"] <= 4096 and value["interpolation"] in resized


TOKENIZER = "tokenizer.json"
_METADATA: dict[str, Callable[[object], bool]] = {
    "config": lambda value: isinstance(value, dict),
    "vocabulary": _are_words,
    "encoder": _is_identity,
    "data": _is_text,
    "transform": _is_transform,
    "feature_shape": _are_sizes,
}


def checked_metadata(
    checkpoint: Mapping[str, Any], path: str | os.PathLike[str], model_only: bool = False
) -> dict[str, Any]:
    """The part of a checkpoint that describes it; with `model_only` for who does not train on with its objective.

    Raises:
        CheckpointError: something is missing in it or is of another kind.
        ConfigError: a plugin is missing that it was written with.
    """
    metadata = dict(checkpoint[STAMP])
    for key, fits in _METADATA.items():
        if key not in metadata or not fits(metadata[key]):
            state = "is of a wrong kind" if key in metadata else "is missing"
            raise CheckpointError(f"{called(path)}: its {key} {state}; pass one that a run wrote")
    weights = checkpoint.get("state_dict")
    if not isinstance(weights, dict) or not all(isinstance(value, torch.Tensor) for value in weights.values()):
        raise CheckpointError(f"{called(path)} holds no weights; pass one that a run wrote")
    if not _is_text(metadata.setdefault("tokenizer", "")):
        raise CheckpointError(f"{called(path)}: its tokenizer is of a wrong kind; pass one that a run wrote")
    files = metadata.setdefault("decoder_files", {})
    if not isinstance(files, dict) or not all(_is_text(one) for entry in files.items() for one in entry):
        raise CheckpointError(f"{called(path)}: its decoder_files are of a wrong kind; pass one that a run wrote")
    plugins = metadata.setdefault("plugins", [])
    check_origins(plugins, path, *([MODEL] if model_only else []))  # before a name that only a plugin knows is refused
    if model_only:
        metadata["config"] = without_missing(metadata["config"], plugins)
    try:
        restore(metadata["config"])
    except ConfigError as error:
        raise CheckpointError(f"{called(path)} cannot be used: {error}") from None
    return metadata


def files_of(metadata: Mapping[str, Any]) -> dict[str, str]:
    """What the decoder is built by, see `Decoder.files`; its tokenizer stands once, as the vocabulary's."""
    kept: dict[str, str] = metadata["decoder_files"]
    return {**kept, TOKENIZER: metadata["tokenizer"]} if kept else {}


def load_weights(model: nn.Module, weights: Mapping[str, torch.Tensor], path: str | os.PathLike[str]) -> None:
    """Puts weights into a model built from the checkpoint's own metadata.

    Raises:
        CheckpointError: a tensor is missing, left over, or of another shape: the two do not belong together.
    """
    check_weights(model, {name: tuple(value.shape) for name, value in weights.items()}, path)
    model.load_state_dict(dict(weights))


def check_weights(model: nn.Module, shapes: Mapping[str, tuple[int, ...]], path: str | os.PathLike[str]) -> None:
    """Compares the shapes of stored weights with those of the model that is to take them.

    Raises:
        CheckpointError: see `load_weights`.
    """
    wanted = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    wrong = [name for name in sorted(wanted.keys() | shapes.keys()) if wanted.get(name) != shapes.get(name)]
    if wrong:
        raise CheckpointError(
            f"{os.fspath(path)}: its weights do not fit the model that it describes ({wrong[0]} has the shape "
            f"{shapes.get(wrong[0])}, not {wanted.get(wrong[0])}); pass one that a run wrote"
        )


def inference_weights(state: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The weights of the decoder that validation judged: the averaged one where the run kept an average."""
    return _under("ema.", state) or _under("decoder.", state)


def finetuned_weights(state: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The weights of the encoder's fine-tuned blocks that go with it; empty where the encoder was frozen."""
    return _under("finetuned_ema.", state) or _under("finetuned.", state)


def _under(prefix: str, state: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
