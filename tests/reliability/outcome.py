"""All that a run leaves behind and that an interrupted run has to reproduce bit for bit, under readable names."""

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from showtell.checkpointing.io import load_checkpoint


def outcome(run_dir: Path) -> dict[str, Any]:
    """Everything but clock times, process ids and the `resume=` that the configuration carries."""
    result: dict[str, Any] = {}
    for name in ("last", "best"):
        checkpoint = load_checkpoint(run_dir / "checkpoints" / f"{name}.ckpt")
        result |= {f"{name}.{key}": value for key, value in facts(checkpoint).items()}
    for file in ("predictions/captions_val.json", "predictions/grid.png", "vocabulary.txt", "vocabulary_dropped.txt"):
        result[file] = hashlib.sha256((run_dir / file).read_bytes()).hexdigest()[:12]
    status = json.loads((run_dir / "status.json").read_text())
    result["status"] = {key: value for key, value in status.items() if key not in ("pid", "seconds")}
    result["metrics.csv"] = rows(run_dir)
    result["tensorboard"] = curves(run_dir)
    return result


def facts(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint's parts; weights and optimizer by tensor, as hashes of their bits."""
    checkpoint["showtell"]["config"].pop("resume")
    status = checkpoint["callbacks"].get("Status")
    if status:
        status.pop("seconds")
    # counts validation batches up to the next epoch; Lightning counts the one it believes to repeat twice
    checkpoint["loops"]["fit_loop"].pop("epoch_loop.val_loop.batch_progress")
    return {key: plain(value) for key, value in checkpoint.items()}


def plain(value: Any) -> Any:
    """Tensors as hashes."""
    if isinstance(value, torch.Tensor):
        content = value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        return f"{tuple(value.shape)} {value.dtype} {hashlib.sha256(content).hexdigest()[:12]}"
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value.hex() if isinstance(value, float) else value


def rows(run_dir: Path) -> list[dict[str, str]]:
    """`metrics.csv` without speeds."""
    with (run_dir / "metrics.csv").open() as file:
        return [{key: value for key, value in row.items() if "per_second" not in key} for row in csv.DictReader(file)]


def curves(run_dir: Path) -> dict[str, Any]:
    """TensorBoard's points as its own reader sees them: steps and values of each curve, steps of pictures and texts."""
    events = EventAccumulator(str(run_dir), {"scalars": 0, "images": 0, "tensors": 0})
    events.Reload()
    tags = events.Tags()
    found: dict[str, Any] = {}
    for tag in tags["scalars"]:
        points = events.Scalars(tag)
        found[tag] = [(p.step, p.value.hex() if "per_second" not in tag else "") for p in points]
    for tag in tags["images"]:
        found[tag] = [(p.step, hashlib.sha256(p.encoded_image_string).hexdigest()[:12]) for p in events.Images(tag)]
    for tag in set(tags["tensors"]) - {"run/command/text_summary"}:  # a resume is another command
        texts = [(p.step, p.tensor_proto.string_val[:]) for p in events.Tensors(tag)]
        found[tag] = [(step, [text.decode() for text in value]) for step, value in texts]
    return found


def differences(first: dict[str, Any], second: dict[str, Any], path: str = "") -> list[str]:
    """The names under which two outcomes differ."""
    names: list[str] = []
    for key in sorted(first.keys() | second.keys()):
        one, other = first.get(key), second.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            names += differences(one, other, f"{path}{key}/")
        elif one != other:
            names.append(f"{path}{key}: {str(one)[:300]} | {str(other)[:300]}")
    return names
